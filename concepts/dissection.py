"""Single filters as segmenters: how well each one's active region covers each concept.

All filters and all concepts are counted in one pass over the pictures, by products of matrices. The
counts are whole numbers: they depend neither on the order of the pictures nor on how these are
divided over blocks, devices or processes.

Source: Fong and Vedaldi, Net2Vec (CVPR 2018), section 3.1.1; Bau et al., Network Dissection (CVPR
2017), where a mode says so.

Letters: n pictures, at most P concepts in each, C concepts, K filters, G groups of pictures.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from concepts.regions import Overlaps, overlaps
from perturb.errors import UserError

NONE = -1  # In place of the index of a concept or a filter, where there is none.
TRAIN, VAL = 0, 1  # The first axis of counts.
DETECTS = 0.04  # The IoU above which a filter is called a detector, in Network Dissection.


class Counts(NamedTuple):
  """Pixels of all pictures so far, int64; the first axis is that of training and validation.

  Counts of the same filters and concepts add up: see `total`.

  Attributes:
    intersections: `[2, C, K]`.
    labels: of each concept `[2, C]`.
    areas: of each filter in the pictures of each group `[2, G, K]`; the group of a concept is that
      of the pictures which contain it, unless other groups were given.
    pictures: that contain each concept `[2, C]`.
  """

  intersections: np.ndarray
  labels: np.ndarray
  areas: np.ndarray
  pictures: np.ndarray


class Best(NamedTuple):
  """The best filter of each concept.

  Attributes:
    filters: k*, int `[C]`: of the largest IoU in training, the first of several; -1 for a concept
      without pictures for training or for validation.
    train: its IoU there `[C]`; NaN where there is none.
    val: its IoU in validation `[C]`; NaN where there is none.
  """

  filters: np.ndarray
  train: np.ndarray
  val: np.ndarray


class Detectors(NamedTuple):
  """What each filter detects, as Network Dissection counts it.

  Attributes:
    concepts: of the largest IoU, int `[K]`; -1 where it does not exceed the bound.
    iou: the largest IoU `[K]`.
    unique: category -> how many of its concepts are detected by some filter.
  """

  concepts: np.ndarray
  iou: np.ndarray
  unique: dict[str, int]


def empty_counts(concepts: int, filters: int, groups: int | None = None) -> Counts:
  """The counts of no pictures, of C concepts and K filters.

  Args:
    concepts: C.
    filters: K.
    groups: G, of the pictures over which areas are summed; None for one a concept.
  """
  areas = np.zeros((2, concepts if groups is None else groups, filters), np.int64)
  pairs = np.zeros((2, concepts, filters), np.int64)
  return Counts(pairs, np.zeros((2, concepts), np.int64), areas, np.zeros((2, concepts), np.int64))


def count(
  counts: Counts,
  active: jax.Array | np.ndarray,
  concepts: np.ndarray,
  masks: jax.Array | np.ndarray,
  train: np.ndarray,
  *,
  align_corners: bool = True,
) -> Counts:
  """The counts with some more pictures. Its arrays are changed in place.

  Args:
    counts: of the pictures so far.
    active: 1[A > T] `[n, h, w, K]`.
    concepts: which ones a picture contains, int `[n, P]`, each once; -1 for none.
    masks: where each of them is, bool `[n, P, sh, sw]`.
    train: whether a picture is for training, bool `[n]`.
    align_corners: see `concepts.bilinear.bilinear_weights`.

  Raises:
    UserError: for shapes that do not match, and a concept that there is not.
  """
  if active.ndim != 4 or active.shape[-1] != counts.areas.shape[-1]:
    filters = counts.areas.shape[-1]
    raise UserError(f'active is {tuple(active.shape)}, not [n, h, w, {filters} filters]')
  if masks.ndim != 4 or len(masks) != len(active):
    raise UserError(f'masks are {tuple(masks.shape)}, not [{len(active)} pictures, P, sh, sw]')
  found = overlaps(jnp.asarray(active), jnp.asarray(masks), align_corners)
  return count_overlaps(counts, found, concepts, train)


def count_overlaps(
  counts: Counts,
  found: Overlaps,
  concepts: np.ndarray,
  train: np.ndarray,
  groups: np.ndarray | None = None,
) -> Counts:
  """As `count`, where the overlaps of the pictures are known.

  Args:
    counts: of the pictures so far.
    found: of these pictures.
    concepts: which ones a picture contains, int `[n, P]`; -1 for none.
    train: whether a picture is for training, bool `[n]`.
    groups: in which groups a picture is, bool `[n, G]`; by default those that contain each concept.
  """
  pictures, places = np.nonzero(np.asarray(concepts) != NONE)
  chosen, split = np.asarray(concepts)[pictures, places], np.where(train, TRAIN, VAL)
  known = counts.labels.shape[1]
  if chosen.size and not 0 <= chosen.min() <= chosen.max() < known:
    raise UserError(f'concepts must be in 0 to {known - 1}, or {NONE} for none')
  at = split[pictures], chosen
  np.add.at(counts.intersections, at, np.asarray(found.intersections)[pictures, places])
  np.add.at(counts.labels, at, np.asarray(found.labels)[pictures, places])
  np.add.at(counts.pictures, at, 1)
  areas = np.asarray(found.areas)
  if groups is None:
    np.add.at(counts.areas, at, areas[pictures])
  else:
    pictures, chosen = np.nonzero(groups)
    np.add.at(counts.areas, (split[pictures], chosen), areas[pictures])
  return counts


def total(counts: Sequence[Counts]) -> Counts:
  """The counts of all pictures of several, in arrays of its own."""
  shapes = {tuple(values.shape for values in one) for one in counts}
  if len(shapes) != 1:
    raise UserError(f'counts of {len(shapes)} shapes: those of one layer and one dataset add up')
  return Counts(*(np.sum(values, axis=0) for values in zip(*counts, strict=True)))


def iou_set(counts: Counts, group_of: np.ndarray | None = None) -> np.ndarray:
  """IoU_set(c; M_k, s) = sum_x |M_k and L_c| / sum_x |M_k or L_c| (eq. 1).

  The sums are over the pictures of the split that contain the concept.

  Args:
    counts: of all pictures.
    group_of: the group of each concept, int `[C]`, if groups were given.

  Returns:
    float64 `[2, C, K]`, or `[1, C, K]` of counts `without_split`; NaN for a concept that no picture
    of the split has.
  """
  areas = counts.areas if group_of is None else counts.areas[:, group_of]
  union = areas + counts.labels[..., None] - counts.intersections
  absent = counts.pictures[..., None] == 0
  return np.where(absent, np.nan, counts.intersections / np.maximum(union, 1))


def without_split(counts: Counts) -> Counts:
  """The counts of training and validation together: `[1, ...]` in place of `[2, ...]`."""
  return Counts(*(values.sum(0, keepdims=True) for values in counts))


def best_filters(counts: Counts, group_of: np.ndarray | None = None) -> Best:
  """k*(c) = argmax_k IoU_set(c; M_k, train), and its IoU in validation; see `iou_set`."""
  train, val = iou_set(counts, group_of)
  usable = (counts.pictures > 0).all(0)
  filters = np.where(usable, np.argmax(np.nan_to_num(train), axis=1), NONE)
  rows = np.arange(len(filters))
  return Best(
    filters,
    np.where(usable, train[rows, filters], np.nan),
    np.where(usable, val[rows, filters], np.nan),
  )


def iou_of_images(found: Overlaps, concepts: np.ndarray, filters: np.ndarray) -> np.ndarray:
  """IoU_ind(x, c; M) = |M and L_c| / |M or L_c| of each picture (eq. 3).

  Args:
    found: overlaps of some pictures.
    concepts: which ones a picture contains, int `[n, P]`; -1 for none.
    filters: the filter of each concept, int `[C]`; -1 for none.

  Returns:
    float64 `[n, P]`; NaN where there is no concept, or no filter for it.
  """
  concepts = np.asarray(concepts)
  chosen = np.where(concepts == NONE, NONE, np.asarray(filters)[concepts])
  both = np.take_along_axis(np.asarray(found.intersections), chosen[..., None], 2)[..., 0]
  union = np.take_along_axis(np.asarray(found.areas), chosen, 1) + np.asarray(found.labels) - both
  return np.where(chosen == NONE, np.nan, both / np.maximum(union, 1))


def unique_detectors(
  iou: np.ndarray, categories: Sequence[str], bound: float = DETECTS
) -> Detectors:
  """The concept that each filter detects, and how many different ones of each category are.

  Source: Bau et al., Network Dissection (CVPR 2017), section 2.3 and fig. 5.

  Args:
    iou: `[C, K]`; NaN counts as none.
    categories: of each concept, the one that it is counted in.
    bound: what the IoU of a detector exceeds.
  """
  scores = np.where(np.isnan(iou), 0, iou)
  concepts, largest = scores.argmax(0), scores.max(0)
  concepts = np.where(largest > bound, concepts, NONE)
  unique = dict.fromkeys(categories, 0)
  for concept in np.unique(concepts[concepts != NONE]):
    unique[categories[concept]] += 1
  return Detectors(concepts, largest, unique)
