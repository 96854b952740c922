"""Counts of one pass against a loop over pictures, concepts and filters."""

import jax.numpy as jnp
import numpy as np
import pytest

from concepts.bilinear import bilinear_weights, cells_of
from concepts.dissection import (
  Counts,
  best_filters,
  count,
  count_overlaps,
  empty_counts,
  iou_of_images,
  iou_set,
  total,
  unique_detectors,
  without_split,
)
from concepts.regions import (
  Overlaps,
  _by_cells,
  _by_pixels,
  overlaps,
  overlaps_upsampled_first,
  segmentation,
)
from perturb.errors import UserError

N, P, C, K = 6, 3, 5, 4
MAPS, SIZE = (5, 4), (16, 15)


def interpolated(a, size, align_corners):
  """Bilinear upsampling of `[h, w]`, by `np.interp` along each axis."""
  for axis, target in enumerate(size):
    source, pixels = a.shape[axis], np.arange(target)
    if align_corners:
      places = pixels * (source - 1) / (target - 1)
    else:
      places = (pixels + 0.5) * source / target - 0.5
    a = np.apply_along_axis(lambda row, p=places: np.interp(p, np.arange(len(row)), row), axis, a)
  return a


def dataset():
  """(activations, concepts, masks, train): concept 4 has no picture for training."""
  random = np.random.default_rng(0)
  activations = random.standard_normal((N, *MAPS, K)).astype(np.float32)
  concepts = np.array([[0, 1, -1], [1, 2, 3], [-1, -1, -1], [3, 4, 0], [0, 2, -1], [3, 2, 1]])
  masks = (random.random((N, P, *SIZE)) < 0.4) & (concepts >= 0)[..., None, None]
  return activations, concepts, masks, np.array([True, True, True, False, False, False])


def naive_iou(regions, concepts, masks, train, pictures_of):
  """IoU_set `[2, C, K]` with a loop over everything."""
  found = np.full((2, C, K), np.nan)
  for split in range(2):
    chosen = [i for i in range(N) if train[i] == (split == 0)]
    for c in range(C):
      if not any(c in concepts[i] for i in chosen):
        continue
      for k in range(K):
        both = either = 0
        for i in chosen:
          mask = masks[i, list(concepts[i]).index(c)] if c in concepts[i] else np.zeros(SIZE, bool)
          if pictures_of(i, c):
            both += (regions[i, ..., k] & mask).sum()
            either += (regions[i, ..., k] | mask).sum()
        found[split, c, k] = both / either
  return found


@pytest.mark.parametrize('align_corners', [True, False])
def test_weights_are_those_of_bilinear_interpolation(align_corners):
  for source, target in ((5, 16), (4, 15), (2, 3), (6, 6), (9, 4)):
    weights, unit = bilinear_weights(source, target, align_corners)
    expected = interpolated(np.eye(source), (target, source), align_corners)
    np.testing.assert_allclose(weights / unit, expected, atol=1e-6)
    np.testing.assert_array_equal(weights.sum(1), unit)
    np.testing.assert_array_equal(weights, np.round(weights))


def test_exactly_one_half_is_not_in_the_region():
  edge = jnp.zeros((1, 13, 13, 1)).at[:, :5].set(1)
  region = np.asarray(segmentation(edge, (113, 113)))[0, :, 7, 0]
  # Pixel 42 lies at 4.5 of the 13, between the last one and the first zero.
  np.testing.assert_array_equal(region, np.arange(113) < 42)


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('maps', [(5, 4), (2, 3), (1, 2), (16, 15)])
def test_counting_by_cells_is_counting_by_pixels(maps, align_corners):
  random = np.random.default_rng(0)
  active = random.random((2, *maps, 40)) < 0.5
  masks = jnp.asarray(random.random((2, 3, *SIZE)) < 0.5)
  regions = segmentation(jnp.asarray(active), SIZE, align_corners)
  cells = cells_of(maps, SIZE, align_corners)
  expected, found = _by_pixels(regions, masks), _by_cells(jnp.asarray(active), masks, cells)
  for one, other in zip(expected, found, strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('align_corners', [True, False])
def test_one_pass_is_the_loop(align_corners):
  activations, concepts, masks, train = dataset()
  active = activations > 0.5
  regions = np.stack(
    [
      [interpolated(active[i, ..., k].astype(float), SIZE, align_corners) > 0.5 for k in range(K)]
      for i in range(N)
    ]
  ).transpose(0, 2, 3, 1)
  expected = naive_iou(regions, concepts, masks, train, lambda i, c: c in concepts[i])
  one = count(empty_counts(C, K), active, concepts, masks, train, align_corners=align_corners)
  np.testing.assert_array_equal(iou_set(one), expected)
  np.testing.assert_array_equal(one.pictures.sum(0), [3, 3, 3, 3, 1])
  parts = [
    count(
      empty_counts(C, K), active[i], concepts[i], masks[i], train[i], align_corners=align_corners
    )
    for i in ([5, 0, 3], [4, 1, 2])
  ]
  for whole, sums in zip(one, total(parts), strict=True):
    np.testing.assert_array_equal(whole, sums)


def test_network_dissection_is_the_loop():
  activations, concepts, masks, train = dataset()
  levels = np.array([0.2, 0.4, 0.6, 0.3], np.float32)
  group_of = np.array([0, 1, 0, 1, 1])
  labelled = np.array([[1, 0], [0, 1], [1, 1], [1, 1], [0, 0], [1, 1]], bool)
  labelled |= np.stack([[(group_of[c[c >= 0]] == g).any() for g in range(2)] for c in concepts])
  regions = np.stack(
    [
      [interpolated(activations[i, ..., k], SIZE, False) > levels[k] for k in range(K)]
      for i in range(N)
    ]
  ).transpose(0, 2, 3, 1)
  expected = naive_iou(regions, concepts, masks, train, lambda i, c: labelled[i, group_of[c]])
  found = overlaps_upsampled_first(activations, levels, masks)
  counts = count_overlaps(empty_counts(C, K, 2), found, concepts, train, labelled)
  np.testing.assert_array_equal(iou_set(counts, group_of), expected)
  together = without_split(counts)
  everything = naive_iou(
    regions, concepts, masks, np.ones(N, bool), lambda i, c: labelled[i, group_of[c]]
  )
  np.testing.assert_array_equal(iou_set(together, group_of)[0], everything[0])


def test_iou_of_images_by_a_loop():
  activations, concepts, masks, _ = dataset()
  active, filters = activations > 0.5, np.array([2, 0, -1, 1, 3])
  found = iou_of_images(overlaps(active, masks), concepts, filters)
  regions = np.asarray(segmentation(active, SIZE))
  for i in range(N):
    for p, c in enumerate(concepts[i]):
      if c < 0 or filters[c] < 0:
        assert np.isnan(found[i, p])
        continue
      region = regions[i, ..., filters[c]]
      assert found[i, p] == (region & masks[i, p]).sum() / (region | masks[i, p]).sum()


def test_the_best_filter_is_chosen_in_training():
  """The first of several; none for a concept that one split lacks."""
  both = np.array([[[2, 4, 4], [3, 0, 1], [1, 1, 5]], [[6, 1, 8], [2, 2, 2], [0, 0, 0]]])
  labels, pictures = np.full((2, 3), 10), np.array([[1, 1, 1], [1, 1, 0]])
  best = best_filters(Counts(both, labels, np.full((2, 3, 3), 10), pictures))
  np.testing.assert_array_equal(best.filters, [1, 0, -1])
  np.testing.assert_array_equal(best.train, [4 / 16, 3 / 17, np.nan])
  np.testing.assert_array_equal(best.val, [1 / 19, 2 / 18, np.nan])


def test_unique_detectors_by_hand():
  iou = np.array([[0.1, 0.2, 0.03, np.nan], [0.3, 0.1, 0.04, np.nan], [0, 0.1, 0, np.nan]])
  found = unique_detectors(np.repeat(iou, 2, axis=1), ('color', 'part', 'part'))
  np.testing.assert_array_equal(found.concepts, [1, 1, 0, 0, -1, -1, -1, -1])
  np.testing.assert_array_equal(found.iou, [0.3, 0.3, 0.2, 0.2, 0.04, 0.04, 0, 0])
  assert found.unique == {'color': 1, 'part': 1}


def test_counts_beyond_what_float32_adds():
  counts, pixels = empty_counts(1, 1), 2**24 - 1
  one = Overlaps(*(np.full(shape, pixels) for shape in ((1, 1, 1), (1, 1), (1, 1))))
  for _ in range(3):
    counts = count_overlaps(counts, one, np.zeros((1, 1), int), np.ones(1, bool))
  assert counts.intersections[0, 0, 0] == 3 * pixels


def test_what_is_wrong_is_named():
  activations, concepts, masks, train = dataset()
  with pytest.raises(UserError, match=r'not \[n, h, w, 7 filters\]'):
    count(empty_counts(C, 7), activations > 0, concepts, masks, train)
  with pytest.raises(UserError, match=r'not \[6 pictures, P, sh, sw\]'):
    count(empty_counts(C, K), activations > 0, concepts, masks[:3], train)
  with pytest.raises(UserError, match='concepts must be in 0 to 3'):
    count(empty_counts(4, K), activations > 0, concepts, masks, train)
  with pytest.raises(UserError, match='counts of 2 shapes'):
    total([empty_counts(4, K), empty_counts(C, K)])
