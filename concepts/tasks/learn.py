"""The vectors of a layer's concepts, learned for a task and kept as they come to be."""

import io
import pathlib
import sys
from typing import NamedTuple

import jax
import ml_collections
import numpy as np

from concepts.concept_classifiers import (
  ClassifierState,
  classifier_accuracy,
  start_classifiers,
  train_classifiers,
)
from concepts.concept_masks import vector_fits
from concepts.concept_vectors import start_vectors, top_filters, train_vectors
from concepts.tasks.labelled import Labelled
from concepts.tasks.layers import Layer
from concepts.vector_steps import VectorState
from perturb.errors import UserError
from perturb.store import files

PART = 'vectors'
ALIKE = 0.9  # The cosine of two vectors that are nearly one.
EPOCHS = 10  # After so many, what is learned is kept.
SEGMENTATION, CLASSIFICATION = 'segmentation', 'classification'


class Learned(NamedTuple):
  """The vectors of a layer for a task, of C concepts.

  Attributes:
    layer: its name.
    task: what they were learned for.
    weights: float32 `[C, K]`; NaN for a concept without a vector.
    bias: of classifiers, float32 `[C]`; else zeros.
    combined: score in validation, `[C]`.
    best: the single filter that is best in training, int `[C]`; -1 for none.
    single: its score in validation, `[C]`.
  """

  layer: str
  task: str
  weights: np.ndarray
  bias: np.ndarray
  combined: np.ndarray
  best: np.ndarray
  single: np.ndarray


def concepts_for(task: str, labelled: Labelled, count: int) -> np.ndarray:
  """The concepts that have pictures for training and for validation: int `[R]`.

  To segment, what always fills the whole picture, as scenes do, teaches nothing. To classify, some
  pictures of each split must be without it.
  """
  pairs, train = labelled.pairs, labelled.train[labelled.pairs.picture]
  if task == SEGMENTATION:
    size = pairs.size[0] * pairs.size[1]
    partly = np.bincount(pairs.concept, train & (pairs.areas() < size), minlength=count) > 0
  else:
    partly = np.ones(count, bool)
  found = []
  for side in (True, False):
    has = np.bincount(pairs.concept[train == side], minlength=count)
    pictures = int((labelled.readable & (labelled.train == side)).sum())
    found.append((has > 0) & ((has < pictures) | (task == SEGMENTATION)))
  return np.flatnonzero(partly & found[0] & found[1])


def learn(
  layer: Layer,
  labelled: Labelled,
  task: str,
  config: ml_collections.ConfigDict,
  path: pathlib.Path,
) -> Learned:
  """The vectors of a layer, and the best single filters; continues what the workdir holds."""
  concepts = concepts_for(task, labelled, layer.iou.shape[1])
  if not len(concepts):
    raise UserError(
      f'config.learned: to learn {task!r}, no concept has pictures for training and for '
      'validation; leave it out'
    )
  state = _trained(layer, labelled, task, concepts, None, config, path / f'{layer.name}_{task}.npz')
  _warn_of_little(layer.name, task, state, _start(task, concepts, layer, None, config.seed))
  weights, bias = _vectors(state)
  combined = _scores(state, layer, labelled, config)
  if task == SEGMENTATION:
    best, single = _single(layer, concepts)
  else:
    mask = top_filters(weights, 1)
    place = path / f'{layer.name}_{task}_1.npz'
    one = _trained(layer, labelled, task, concepts, mask, config, place)
    scores = _scores(one, layer, labelled, config)
    best, single = _spread(layer, concepts, mask.argmax(1), -1), _spread(layer, concepts, scores)
  return Learned(
    layer.name,
    task,
    _spread(layer, concepts, weights),
    _spread(layer, concepts, bias),
    _spread(layer, concepts, combined),
    best,
    single,
  )


def learn_subsets(
  layer: Layer,
  labelled: Labelled,
  learned: Learned,
  config: ml_collections.ConfigDict,
  path: pathlib.Path,
) -> tuple[np.ndarray, np.ndarray]:
  """(F, scores `[T, C]`) of vectors of the F filters of largest weight, learned anew."""
  concepts = concepts_for(learned.task, labelled, len(learned.best))
  counts = np.array([n for n in config.subsets if n < learned.weights.shape[1]], np.int64)
  scores = []
  for number in counts:
    mask = top_filters(learned.weights[concepts], int(number))
    place = path / f'{layer.name}_{learned.task}_{number}.npz'
    state = _trained(layer, labelled, learned.task, concepts, mask, config, place)
    found = _scores(state, layer, labelled, config)
    scores.append(_spread(layer, concepts, found))
  return counts, np.array(scores).reshape(len(counts), len(learned.best))


def _spread(layer: Layer, concepts: np.ndarray, values: np.ndarray, none: float = np.nan):
  """Values of some concepts as `[C, ...]`."""
  found = np.full((layer.iou.shape[1], *values.shape[1:]), none, np.result_type(values, type(none)))
  found[concepts] = values
  return found


def present(labelled: Labelled, concepts: int) -> np.ndarray:
  """Which concepts are in each picture, bool `[N, C]`."""
  found = np.zeros((len(labelled.train), concepts), bool)
  found[labelled.pairs.picture, labelled.pairs.concept] = True
  return found


def _trained(
  layer: Layer,
  labelled: Labelled,
  task: str,
  concepts: np.ndarray,
  mask: np.ndarray | None,
  config: ml_collections.ConfigDict,
  place: pathlib.Path,
) -> VectorState | ClassifierState:
  state = _kept(place, _start(task, concepts, layer, mask, config.seed))
  rate = config.learning_rate if task == SEGMENTATION else config.classifier_rate
  settings = {
    'batch_size': config.batch_size,
    'learning_rate': rate,
    'momentum': config.momentum,
  }
  while (done := int(state.epoch)) < config.epochs:
    epochs = min(EPOCHS, config.epochs - done)
    if task == SEGMENTATION:
      pairs = labelled.pairs.take(labelled.train[labelled.pairs.picture])
      state = train_vectors(
        state, layer.active, pairs, epochs=epochs, loss=config.loss,
        align_corners=config.align_corners, **settings,
      )  # fmt: skip
    else:
      of_training = labelled.train & labelled.readable
      known = present(labelled, layer.iou.shape[1])[of_training]
      state = train_classifiers(state, layer.means[of_training], known, epochs=epochs, **settings)
    arrays = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    files.write_atomically(place, files.npz_bytes(arrays))
  return state


def _start(
  task: str, concepts: np.ndarray, layer: Layer, mask: np.ndarray | None, seed: int
) -> VectorState | ClassifierState:
  begin = start_vectors if task == SEGMENTATION else start_classifiers
  return begin(concepts, layer.iou.shape[-1], mask=mask, key=seed)


def _single(layer: Layer, concepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(best filter of each concept, its IoU), where there is a vector and any filter overlaps."""
  able = np.zeros(len(layer.best.filters), bool)
  able[concepts] = True
  best = np.where(able & (layer.best.train > 0), layer.best.filters, -1)
  return best, np.where(able, np.where(best < 0, 0, layer.best.val), np.nan)


def _warn_of_little(
  layer: str,
  task: str,
  state: VectorState | ClassifierState,
  start: VectorState | ClassifierState,
) -> None:
  """Says so where vectors are still near those that were drawn."""
  (after, _), (before, _) = _vectors(state), _vectors(start)
  sizes = np.linalg.norm(after, axis=1) * np.linalg.norm(before, axis=1)
  near = (after * before).sum(1) / np.maximum(sizes, np.finfo(np.float32).tiny) > ALIKE
  if near.mean() > 0.25:
    print(
      f'warning: {layer}, {task}: {near.sum()} of {len(near)} vectors are nearly as they were '
      'drawn; raise the learning rate or config.epochs',
      file=sys.stderr,
    )


def _kept(place: pathlib.Path, state):
  """A state that is stored, or the first one."""
  if not place.exists():
    return state
  with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as stored:
    leaves = [stored[str(i)] for i in range(len(stored.files))]
  return jax.tree.unflatten(jax.tree.structure(state), leaves)


def _vectors(state: VectorState | ClassifierState) -> tuple[np.ndarray, np.ndarray]:
  if isinstance(state, ClassifierState):
    return np.asarray(state.vectors.weights), np.asarray(state.vectors.bias)
  weights = np.asarray(state.weights)
  return weights, np.zeros(len(weights), np.float32)


def _scores(
  state: VectorState | ClassifierState,
  layer: Layer,
  labelled: Labelled,
  config: ml_collections.ConfigDict,
) -> np.ndarray:
  """In validation: IoU_set, or accuracy on as many pictures with the concept as without, `[R]`."""
  if isinstance(state, ClassifierState):
    judged = ~labelled.train & labelled.readable
    known = present(labelled, layer.iou.shape[1])[judged]
    return np.asarray(classifier_accuracy(state, layer.means[judged], known, key=config.seed))
  pairs = labelled.pairs.take(~labelled.train[labelled.pairs.picture])
  concepts = np.asarray(state.concept)
  fits = vector_fits(
    np.asarray(state.weights), concepts, layer.active, pairs, align_corners=config.align_corners
  )
  return fits.of_sets(len(concepts))
