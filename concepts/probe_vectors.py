"""The vectors of a layer's concepts, in a notebook."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from concepts.binarised import binarised
from concepts.concept_masks import vector_fits
from concepts.concept_vectors import Order, start_vectors, train_vectors
from concepts.features import features_of
from concepts.labelled_pairs import Pairs
from concepts.probe import Probe
from concepts.quantiles import TAU, exact_thresholds
from concepts.single_filters import NONE, inputs_of, labels_of
from concepts.vector_steps import Loss
from perturb.errors import UserError
from perturb.nets import Pretrained


class Vectors(NamedTuple):
  """Concept vectors that segment, of those C concepts that can be trained and judged.

  Attributes:
    layer: its name.
    names: of the concepts.
    concepts: their indices in the probe dataset, int `[C]`.
    weights: w, float32 `[C, K]`.
    thresholds: T_k, float32 `[K]`.
    iou: IoU_set in training and validation, float64 `[2, C]`.
    left_out: names of concepts without pictures for training, or without any for validation.
  """

  layer: str
  names: tuple[str, ...]
  concepts: np.ndarray
  weights: np.ndarray
  thresholds: np.ndarray
  iou: np.ndarray
  left_out: tuple[str, ...]


def segment_vectors(
  net: Pretrained,
  layer: str,
  probe: Probe,
  *,
  tau: float = TAU,
  epochs: int = 30,
  batch_size: int = 64,
  learning_rate: float | None = None,
  momentum: float = 0.9,
  loss: Loss = 'overlap',
  order: Order = 'released',
  align_corners: bool = True,
  key: jax.Array | int | None = None,
  batch: int = 32,
  workers: int = 2,
) -> Vectors:
  """The vector of each concept that segments it by the filters of a layer; see `train_vectors`.

  The activations of all pictures are kept in memory: this is for small data.

  Example:
    >>> wheel = concepts.segment_vectors(net, 'relu3', probe, epochs=2)
    >>> wheel.weights.shape == (len(wheel.names), 10)
    True

  Args:
    net: the network.
    layer: whose filters, after the ReLU.
    probe: the pictures, with what they show.
    tau: the share of its values that exceeds a filter's threshold.
    epochs, batch_size, momentum, loss, order, align_corners: see `train_vectors`.
    learning_rate: of a step; by default 1e-4 for masks of 112 x 112 pixels, and for others as much
      more as they are smaller, since the loss is a sum over pixels.
    key: a PRNG key or its seed, for the first weights and the shuffled order.
    batch: pictures that go through the network at once.
    workers: threads that read pictures.

  Raises:
    UserError: for a layer that the network does not have, or one without maps; if no concept has
      pictures for both training and validation.
    ImageError: names a picture that cannot be read.
  """
  features = features_of(net, [layer])
  if not features.spatial[0]:
    raise UserError(f'layer {layer!r} has one value a filter, no map: nothing to segment with')
  activations = np.concatenate(
    [
      np.asarray(net.activations(jnp.asarray(x), [layer])[layer])
      for x in inputs_of(net, probe, batch, workers)
    ]
  )
  thresholds = np.asarray(exact_thresholds(activations.reshape(-1, features.count), tau).levels)
  active = binarised(np.packbits(activations > thresholds, axis=-1), features.count)
  pairs = pairs_of(probe, batch, workers)
  training, validation = (pairs.take(probe.train[pairs.picture] == side) for side in (True, False))
  concepts = np.intersect1d(training.concept, validation.concept)
  if not len(concepts):
    raise UserError('no concept has pictures for training and for validation: there are too few')
  if learning_rate is None:
    learning_rate = 1e-4 * 112 * 112 / (probe.size[0] * probe.size[1])
  state = train_vectors(
    start_vectors(concepts, features.count, key=key),
    active,
    training,
    epochs=epochs,
    batch_size=batch_size,
    learning_rate=learning_rate,
    momentum=momentum,
    loss=loss,
    order=order,
    align_corners=align_corners,
  )
  weights = np.asarray(state.weights)
  iou = [
    vector_fits(weights, concepts, active, side, align_corners=align_corners).of_sets(len(concepts))
    for side in (training, validation)
  ]
  names = [concept.name for concept in probe.concepts]
  return Vectors(
    layer,
    tuple(names[i] for i in concepts),
    concepts,
    weights,
    thresholds,
    np.stack(iou),
    tuple(name for i, name in enumerate(names) if i not in concepts),
  )


def pairs_of(probe: Probe, batch: int = 32, workers: int = 2) -> Pairs:
  """All pairs of a picture and a concept in it, by rising picture.

  Raises:
    ImageError: names a picture whose labels cannot be read.
  """
  concept, picture, masks, first = [], [], [], 0
  for some in labels_of(probe, batch, workers):
    within, slot = np.nonzero(some.concepts != NONE)
    concept.append(some.concepts[within, slot])
    picture.append(first + within)
    masks.append(np.packbits(some.masks[within, slot].reshape(len(within), -1), axis=-1))
    first += len(some.concepts)
  return Pairs(np.concatenate(concept), np.concatenate(picture), np.concatenate(masks), probe.size)
