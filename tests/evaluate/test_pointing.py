"""The pointing game."""

import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.class_means import mean_over_classes
from perturb.evaluate.pointing import centre_hits, point_hits, pointing_game
from tests.fixtures import TOLERANCES, judged_maps
from tests.record import FOLDER


def one_pixel(size, *places):
  found = np.zeros(size, np.float32)
  for place in places:
    found[place] = 1
  return found


@pytest.mark.parametrize('tolerance', TOLERANCES)
def test_hits_and_accuracy_are_those_of_torchray(tolerance):
  theirs = np.load(FOLDER / 'judges.npz')
  heatmaps, masks = judged_maps()
  found = {
    'strongest': pointing_game(heatmaps, masks, tolerance=tolerance, mode='torchray'),
    'centre': centre_hits(masks, tolerance=tolerance, mode='torchray'),
  }
  for name, hits in found.items():
    np.testing.assert_array_equal(np.where(hits, 1, -1), theirs[f'{name}_{tolerance}'])
    means = mean_over_classes(hits, np.arange(24) % 4, 5, mode='torchray')
    assert means.over_classes == pytest.approx(theirs[f'{name}_accuracy_{tolerance}'], abs=1e-15)


def test_a_hit_at_the_tolerance_itself():
  heatmap, mask = one_pixel((40, 40), (20, 20)), one_pixel((40, 40), (20 - 9, 20 + 12)) == 1
  assert pointing_game(heatmap, mask).tolist() == [True]
  assert pointing_game(heatmap, mask, mode='torchray').tolist() == [False]
  assert pointing_game(heatmap, mask, mode='torchray', tolerance=15.01).tolist() == [True]
  assert pointing_game(heatmap, mask, tolerance=14.99).tolist() == [False]


def test_without_tolerance_the_maximum_is_on_the_mask():
  heatmap = one_pixel((5, 6), (1, 2))
  assert pointing_game(heatmap, heatmap == 1, tolerance=0).all()
  assert not pointing_game(heatmap, heatmap == 1, tolerance=0, mode='torchray').any()
  assert not pointing_game(heatmap, heatmap == 0, tolerance=0).any()


def test_of_several_maxima_the_first_counts():
  heatmap = one_pixel((5, 6), (1, 4), (3, 0))
  masks = [one_pixel((5, 6), place) == 1 for place in ((1, 4), (3, 0))]
  assert pointing_game([heatmap] * 2, masks, tolerance=0).tolist() == [True, False]


def test_distances_are_in_pixels_of_the_mask():
  """The maximum of a 4 x 4 map lies at the centre of its pixel of 10 x 10: (14.5, 14.5)."""
  small = one_pixel((4, 4), (1, 1))
  mask = one_pixel((40, 40), (14, 17)) == 1
  assert pointing_game(small, mask, tolerance=3).all()
  assert not pointing_game(small, mask, tolerance=2).any()


def test_what_points_nowhere_misses():
  full = np.ones((4, 5, 5), bool)
  heatmaps = np.zeros((4, 5, 5), np.float32)
  heatmaps[1, 2, 2], heatmaps[2, 2, 2], heatmaps[3, 0, 0] = np.nan, np.inf, 1
  assert pointing_game(heatmaps, full).tolist() == [False, False, False, True]
  assert not pointing_game(heatmaps, ~full).any()
  assert not point_hits([[np.nan, 2.0]], full[:1]).any()


def test_noise_hits_as_often_as_the_widened_mask_is_large():
  random = np.random.RandomState(0)
  mask = np.zeros((12, 14), bool)
  mask[3:6, 4:9] = True
  rows, columns = np.mgrid[:12, :14]
  apart = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in np.argwhere(mask)]
  share = (np.min(apart, axis=0) <= 9).mean()
  hits = pointing_game(random.rand(3000, 12, 14), np.tile(mask, (3000, 1, 1)), tolerance=3)
  assert abs(hits.mean() - share) < 4 * np.sqrt(share * (1 - share) / 3000)


def test_the_centre_of_even_sides_is_between_pixels():
  """(W / 2, H / 2) is (3, 2) of 4 x 6 pixels, and (2.5, 1.5) of 3 x 5."""
  masks = [one_pixel((4, 6), (2, 3)) == 1, one_pixel((3, 5), (1, 2)) == 1]
  assert centre_hits(masks, tolerance=0).tolist() == [True, False]
  assert centre_hits(masks, tolerance=0.71).tolist() == [True, True]
  assert centre_hits(masks, tolerance=0.70).tolist() == [True, False]


def test_what_does_not_fit_is_named():
  heatmaps, masks = np.zeros((2, 3, 3)), np.ones((2, 3, 3), bool)
  with pytest.raises(UserError, match='tolerance must be a number of pixels, at least 0, not -1'):
    pointing_game(heatmaps, masks, tolerance=-1)
  with pytest.raises(UserError, match='mode must be one of paper, torchray'):
    centre_hits(masks, mode='theirs')
  with pytest.raises(UserError, match=r'points must be of shape \[B, 2\], not \(2, 3\)'):
    point_hits(np.zeros((2, 3)), masks)
  with pytest.raises(UserError, match='masks has 2 items, and points has 1'):
    point_hits(np.zeros((1, 2)), masks)
