"""What the filters of a layer are active for: thresholds, single filters, packed activations."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from concepts.binarised import Binarised, binarised
from concepts.dissection import (
  Best,
  Detectors,
  best_filters,
  count_overlaps,
  empty_counts,
  iou_set,
  unique_detectors,
  without_split,
)
from concepts.quantiles import Thresholds, add, empty_sketch, threshold
from concepts.regions import overlaps
from concepts.tasks.activations import Recorded
from concepts.tasks.labelled import Labelled


class Layer(NamedTuple):
  """The filters of a layer, K, over N pictures and C concepts.

  Attributes:
    name: of the layer.
    thresholds: of the filters.
    iou: IoU_set of training and validation, `[2, C, K]`.
    best: the best filter of each concept.
    detectors: what each filter detects: the union is over the pictures that are labelled in the
      concept's category, as in Network Dissection.
    active: what is active in each picture.
    means: mean_ij A_ijk of each picture, float32 `[N, K]`.
  """

  name: str
  thresholds: Thresholds
  iou: np.ndarray
  best: Best
  detectors: Detectors
  active: Binarised
  means: np.ndarray


def look_at(
  recorded: Recorded,
  labelled: Labelled,
  layer: str,
  categories: list[str],
  groups: list[str],
  *,
  tau: float,
  align_corners: bool,
) -> Layer:
  """Goes twice through the stored activations of a layer, some pictures at a time.

  Args:
    recorded: the activations.
    labelled: what the pictures show.
    layer: its name.
    categories: the first one of each concept, C.
    groups: all categories, in the order of `labelled.categories`.
    tau: see `concepts.quantiles.threshold`.
    align_corners: see `concepts.bilinear.bilinear_weights`.
  """
  sketch = None
  for _, values in recorded.blocks(layer):
    if sketch is None:
      sketch = empty_sketch(values.shape[-1])
    sketch = add(sketch, jnp.asarray(values, jnp.float32))
  assert sketch
  found = threshold(sketch, tau)
  filters, levels = len(found.levels), found.levels
  counts = empty_counts(len(categories), filters)
  by_category = empty_counts(len(categories), filters, len(groups))
  packed, means = dict[int, np.ndarray](), []
  for at, values in recorded.blocks(layer):
    active = values.astype(np.float32) > levels
    packed |= dict(zip(at.tolist(), np.packbits(active, axis=-1), strict=True))
    means.append((at, values.mean((1, 2), dtype=np.float32)))
    known = labelled.readable[at]
    if known.any():
      concepts, masks = labelled.of_pictures(at[known], labelled.most)
      overlap = overlaps(jnp.asarray(active[known]), jnp.asarray(masks), align_corners)
      train, labelled_in = labelled.train[at[known]], labelled.categories[at[known]]
      counts = count_overlaps(counts, overlap, concepts, train)
      by_category = count_overlaps(by_category, overlap, concepts, train, labelled_in)
  group_of = np.array([groups.index(one) for one in categories])
  order = np.argsort(np.concatenate([at for at, _ in means]))
  return Layer(
    layer,
    found,
    iou_set(counts),
    best_filters(counts),
    unique_detectors(iou_set(without_split(by_category), group_of)[0], categories),
    binarised(np.stack([packed[i] for i in range(len(packed))]), filters),
    np.concatenate([values for _, values in means])[order],
  )
