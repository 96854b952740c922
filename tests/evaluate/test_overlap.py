"""Heatmaps against exact masks."""

import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.overlap import iou_curves, relevance_mass, relevance_rank
from tests.fixtures import judged_maps
from tests.record import FOLDER


def test_mass_and_rank_are_those_of_quantus():
  theirs = np.load(FOLDER / 'judges.npz')
  heatmaps, masks = judged_maps()
  mass = relevance_mass(heatmaps, masks)
  np.testing.assert_allclose(mass, theirs['mass'], atol=1e-6)
  np.testing.assert_allclose(mass, theirs['positive_inside'], atol=1e-6)
  np.testing.assert_allclose(relevance_rank(heatmaps, masks), theirs['rank'], atol=1e-7)


def test_curves_count_pixels():
  heatmaps, masks = judged_maps()
  found = iou_curves(heatmaps, masks, thresholds=[0.1, 0.5, 0.8])
  for heatmap, mask, ious, area in zip(heatmaps, masks, found.ious, found.areas, strict=True):
    scaled = (heatmap - heatmap.min()) / np.ptp(heatmap)
    regions = [scaled > level for level in (0.1, 0.5, 0.8)]
    expected = [(r & mask).sum() / (r | mask).sum() for r in regions]
    np.testing.assert_allclose(ious, expected)
    a, b, c = expected
    assert area == pytest.approx((0.4 * (a + b) / 2 + 0.3 * (b + c) / 2) / 0.7)


def test_a_region_is_above_its_threshold():
  heatmap, mask = np.float32([[0, 0.5, 1, 0.5]]), np.array([[False, True, True, False]])
  ious = iou_curves(heatmap, mask, thresholds=[0, 0.5, 0.75]).ious
  np.testing.assert_allclose(ious, [[2 / 3, 1 / 2, 1 / 2]])


def test_a_heatmap_equal_to_the_mask_has_all_of_it():
  _, masks = judged_maps()
  curves = iou_curves(masks.astype(np.float32), masks)
  np.testing.assert_array_equal(curves.ious, 1)
  np.testing.assert_allclose(curves.areas, 1)
  np.testing.assert_array_equal(relevance_mass(masks.astype(int), masks), 1)
  np.testing.assert_array_equal(relevance_rank(masks.astype(int), masks), 1)
  np.testing.assert_array_equal(relevance_mass(~masks, masks), 0)
  np.testing.assert_array_equal(relevance_rank(~masks, masks), 0)


def test_noise_has_the_share_of_the_mask():
  random = np.random.RandomState(0)
  mask = random.rand(20, 20) < 0.3
  noise, masks = random.rand(400, 20, 20), np.tile(mask, (400, 1, 1))
  for found in (relevance_mass(noise, masks), relevance_rank(noise, masks)):
    assert abs(found.mean() - mask.mean()) < 4 * found.std() / 20


def test_equal_pixels_count_by_their_share():
  """Of the three largest two are sure, one inside; the third is one of four zeros, one inside."""
  heatmap = np.float32([[3, 2, 0], [0, 0, 0]])
  mask = np.array([[True, False, True], [True, False, False]])
  np.testing.assert_allclose(relevance_rank(heatmap, mask), [(1 + 2 / 4) / 3])
  np.testing.assert_allclose(
    relevance_rank(heatmap[::-1, ::-1], mask[::-1, ::-1]), [(1 + 2 / 4) / 3]
  )


def test_what_says_nothing_is_nan():
  heatmaps = np.random.RandomState(0).rand(4, 5, 6)
  heatmaps[0], heatmaps[1, 2, 3] = 1, np.nan
  masks = np.ones((4, 5, 6), bool)
  masks[2] = False
  for found in (
    relevance_mass(heatmaps, masks),
    relevance_rank(heatmaps, masks),
    iou_curves(heatmaps, masks).areas,
  ):
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])
  assert np.isnan(relevance_mass(-heatmaps[3:], masks[3:])).all()


def test_thresholds_must_rise():
  for thresholds in ([0.5], [0.5, 0.5], [0.5, 0.1]):
    with pytest.raises(UserError, match='thresholds must be two or more that rise'):
      iou_curves(np.eye(3), np.eye(3) > 0, thresholds=thresholds)
