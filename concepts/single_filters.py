"""Which filter of a layer stands for each concept, in a notebook."""

from collections.abc import Iterator
import itertools
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from concepts.dissection import (
  NONE,
  Best,
  Counts,
  Detectors,
  best_filters,
  count_overlaps,
  empty_counts,
  iou_set,
  unique_detectors,
  without_split,
)
from concepts.features import features_of
from concepts.probe import Probe
from concepts.quantiles import TAU, Thresholds, add, empty_sketch, exact_thresholds, threshold
from concepts.regions import Overlaps, overlaps, overlaps_upsampled_first
from perturb.data.fitting import fit_picture
from perturb.data.loader import load_ahead
from perturb.errors import UserError, check_choice
from perturb.nets import Pretrained

Mode = Literal['net2vec', 'netdissect']
KEPT = 2**30  # Bytes of activations that are kept in memory.
_ROOM = 8  # Concepts of a picture are filled up to a multiple, so that few shapes are compiled.


class Labelled(NamedTuple):
  """What some pictures of a probe dataset show.

  Attributes:
    concepts: which ones each contains, int64 `[n, P]`; -1 for none.
    masks: where each is, bool `[n, P, sh, sw]`.
    train: whether a picture is for training, bool `[n]`.
    labelled: in which categories a picture is labelled, bool `[n, G]`; see `categories_of`.
  """

  concepts: np.ndarray
  masks: np.ndarray
  train: np.ndarray
  labelled: np.ndarray


class Dissection(NamedTuple):
  """What the filters of a layer respond to.

  Attributes:
    layer: its name.
    names: of the concepts `[C]`.
    thresholds: T_k, and the share of the values above it.
    iou: IoU_set of each concept and filter in training and validation `[2, C, K]`; NaN for a
      concept without pictures there.
    best: the best filter of each concept.
    detectors: what each filter detects, of the IoU over all pictures.
    left_out: the concepts that have no picture for training, or none for validation.
    silent: the filters that never exceed their threshold, such as constant ones.
  """

  layer: str
  names: tuple[str, ...]
  thresholds: Thresholds
  iou: np.ndarray
  best: Best
  detectors: Detectors
  left_out: tuple[str, ...]
  silent: tuple[int, ...]


def dissect(
  net: Pretrained,
  layer: str,
  probe: Probe,
  *,
  tau: float = TAU,
  mode: Mode = 'net2vec',
  align_corners: bool | None = None,
  batch: int = 32,
  workers: int = 2,
  kept: int = KEPT,
) -> Dissection:
  """Which filter of a layer segments each concept best, and how well.

  'net2vec': activations are thresholded, then upsampled; the IoU of a concept is over the pictures
  that contain it. 'netdissect': they are upsampled, then thresholded; the union is over the
  pictures that are labelled in the concept's category, the first of its categories.

  Memory does not grow with the number of pictures. Where the activations of all take at most `kept`
  bytes, these are kept, and the thresholds are exact. Otherwise the pictures go through the network
  twice, and the thresholds are those of `concepts.quantiles.threshold`.

  Example:
    >>> found = concepts.dissect(net, 'relu3', probe)
    >>> found.iou.shape == (2, len(found.names), 10)
    True

  Source: Fong and Vedaldi, Net2Vec (CVPR 2018), section 3.1.1; Bau et al., Network Dissection (CVPR
  2017).

  Args:
    net: the network.
    layer: whose filters, after the ReLU.
    probe: the pictures, with what they show.
    tau: the share of its values that exceeds a filter's threshold.
    mode: 'net2vec' or 'netdissect'.
    align_corners: see `concepts.bilinear.bilinear_weights`; by default as each mode's released
      code: True for 'net2vec', False for 'netdissect'.
    batch: pictures that go through the network at once.
    workers: threads that read pictures.
    kept: bytes.

  Raises:
    UserError: for another mode, a probe without pictures, a layer that the network does not have,
      or one without extent.
    ImageError: names a picture that cannot be read.
  """
  check_choice('mode', mode, get_args(Mode))
  filters = _check_layer(net, layer)
  corners = mode == 'net2vec' if align_corners is None else align_corners
  if not len(probe.train):
    raise UserError('the probe dataset has no pictures')

  def activations() -> Iterator[jax.Array]:
    for x in inputs_of(net, probe, batch, workers):
      yield net.activations(jnp.asarray(x), [layer])[layer]

  thresholds, values = _thresholds(activations(), len(probe.train), tau, kept)
  by_category = mode == 'netdissect'
  groups = len(categories_of(probe)) if by_category else None
  counts = empty_counts(len(probe.concepts), filters, groups)
  known = labels_of(probe, batch, workers)
  for some, a in zip(known, values or activations(), strict=True):
    found = _overlaps(a, jnp.asarray(thresholds.levels), some.masks, mode, corners)
    labelled = some.labelled if by_category else None
    count_overlaps(counts, found, some.concepts, some.train, labelled)
  return _summary(layer, probe, thresholds, counts, by_category)


def categories_of(probe: Probe) -> list[str]:
  """The categories of the concepts, each once, in the order of the concepts."""
  return list(dict.fromkeys(name for concept in probe.concepts for name in concept.categories))


def inputs_of(net: Pretrained, probe: Probe, batch: int, workers: int = 2) -> Iterator[np.ndarray]:
  """All pictures, preprocessed, some at a time: float32 `[n, H, W, C]`.

  They are squashed to the size of the network, as the label maps are of whole pictures.

  Raises:
    ImageError: names a picture that cannot be read.
  """

  def load(index: int) -> np.ndarray:
    picture, _ = probe.pictures.picture(index)
    place = probe.pictures.sources[index].place
    return net.preprocess(fit_picture(picture, size=net.size, fit='squash', place=place))

  loaded = load_ahead(load, range(len(probe.train)), ahead=2 * batch, workers=workers)
  while some := list(itertools.islice(loaded, batch)):
    yield np.stack(some)


def labels_of(probe: Probe, batch: int, workers: int = 2) -> Iterator[Labelled]:
  """What all pictures show, as many at a time as `inputs_of` gives.

  Raises:
    ImageError: names a picture whose labels cannot be read.
  """
  categories = categories_of(probe)

  def load(index: int) -> tuple[np.ndarray, np.ndarray, list[bool]]:
    labels, indices, masks = probe.labelled(index)
    there = labels.categories()
    return indices, masks, [name in there for name in categories]

  loaded = load_ahead(load, range(len(probe.train)), ahead=2 * batch, workers=workers)
  start = 0
  while some := list(itertools.islice(loaded, batch)):
    most = max(len(concepts) for concepts, _, _ in some)
    room = max(-(-most // _ROOM), 1) * _ROOM
    concepts = np.full((len(some), room), NONE, np.int64)
    masks = np.zeros((len(some), room, *probe.size), bool)
    for i, (indices, places, _) in enumerate(some):
      concepts[i, : len(indices)], masks[i, : len(indices)] = indices, places
    labelled = np.array([known for _, _, known in some], bool)
    yield Labelled(concepts, masks, probe.train[start : start + len(some)], labelled)
    start += len(some)


def _check_layer(net: Pretrained, layer: str) -> int:
  """K of a layer whose filters have maps."""
  features = features_of(net, [layer])
  if not features.spatial[0]:
    raise UserError(f'layer {layer!r} has one value a filter, no map: nothing to segment with')
  return features.count


def _thresholds(
  activations: Iterator[jax.Array], pictures: int, tau: float, kept: int
) -> tuple[Thresholds, list[jax.Array]]:
  """T_k, and the activations if they are kept."""
  first = next(activations)
  filters = first.shape[-1]
  if first.nbytes // len(first) * pictures <= kept:
    values = [first, *activations]
    return exact_thresholds(jnp.concatenate(values).reshape(-1, filters), tau), values
  sketch = empty_sketch(filters)
  for a in itertools.chain([first], activations):
    sketch = add(sketch, a)
  return threshold(sketch, tau), []


def _overlaps(
  activations: jax.Array, levels: jax.Array, masks: np.ndarray, mode: Mode, corners: bool
) -> Overlaps:
  if mode == 'netdissect':
    return overlaps_upsampled_first(activations, levels, masks, corners)
  return overlaps(activations > levels, masks, corners)


def _summary(
  layer: str,
  probe: Probe,
  thresholds: Thresholds,
  counts: Counts,
  by_category: bool,
) -> Dissection:
  names = tuple(concept.name for concept in probe.concepts)
  first = [concept.categories[0] for concept in probe.concepts]
  groups = categories_of(probe)
  group_of = np.array([groups.index(one) for one in first]) if by_category else None
  iou = iou_set(without_split(counts), group_of)[0]
  missing = (counts.pictures == 0).any(0)
  return Dissection(
    layer,
    names,
    thresholds,
    iou_set(counts, group_of),
    best_filters(counts, group_of),
    unique_detectors(iou, first),
    tuple(name for name, without in zip(names, missing, strict=True) if without),
    tuple(np.flatnonzero(thresholds.above == 0).tolist()),
  )
