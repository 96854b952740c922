"""Boxes around the strongest pixels of heatmaps."""

import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.boxes import tight_boxes
from perturb.evaluate.localisation import GRIDS, heatmap_boxes
from perturb.evaluate.localisation_scores import localisation_ious

WHOLE = [0, 0, 4, 5]


def region(heatmap, rule, alpha):
  """Bool `[h, w]`, as the paper's words have it."""
  if rule == 'value':
    return heatmap - heatmap.min() >= np.float32(alpha) * np.ptp(heatmap)
  if rule == 'mean':
    return heatmap >= np.float32(alpha * heatmap.mean(dtype=float))
  order = np.argsort(-heatmap.ravel(), kind='stable')
  kept, total, inside = 0.0, heatmap.sum(dtype=float), np.zeros(heatmap.size, bool)
  for pixel in order:
    kept += float(heatmap.ravel()[pixel])
    if kept >= alpha * total:
      break
    inside[pixel] = True
  return inside.reshape(heatmap.shape)


@pytest.mark.parametrize('rule', GRIDS)
@pytest.mark.parametrize('kind', ['noise', 'signed', 'ties', 'negative'])
def test_boxes_are_those_of_each_region(rule, kind):
  random = np.random.RandomState(0)
  noise = np.float32(random.rand(2, 7, 9) ** 4)
  heatmaps = {
    'noise': noise,
    'signed': noise - np.float32(0.1),
    'negative': -noise,
    'ties': np.float32(random.randint(-1, 3, (2, 7, 9)))
    * np.float32(random.choice([-0.0, 1], (2, 7, 9))),
  }[kind]
  found = heatmap_boxes(heatmaps, (7, 9), rule=rule)
  for heatmap, boxes in zip(heatmaps, found, strict=True):
    regions = np.stack([region(heatmap, rule, alpha) for alpha in GRIDS[rule]])
    empty = ~regions.any((1, 2))
    expected = np.where(empty[:, None], [0, 0, 7, 9], tight_boxes(regions))
    np.testing.assert_array_equal(boxes, expected)


def test_the_rules_by_hand():
  heatmap = np.zeros((4, 5), np.float32)
  heatmap[1, 2], heatmap[2, 2], heatmap[3, 4] = 4, 3, 1  # The sum 8, the mean 0.4.
  found = heatmap_boxes(heatmap, (4, 5), rule='value', thresholds=[0.25, 0.5, 0.8])[0]
  np.testing.assert_array_equal(found, [[1, 2, 4, 5], [1, 2, 3, 3], [1, 2, 2, 3]])
  found = heatmap_boxes(heatmap, (4, 5), rule='energy', thresholds=[0, 0.5, 0.6, 0.9])[0]
  np.testing.assert_array_equal(found, [WHOLE, WHOLE, [1, 2, 2, 3], [1, 2, 3, 3]])
  found = heatmap_boxes(heatmap, (4, 5), rule='mean', thresholds=[0, 2.5, 2.51, 11])[0]
  np.testing.assert_array_equal(found, [WHOLE, [1, 2, 4, 5], [1, 2, 3, 3], WHOLE])


def test_boxes_are_scaled_or_the_heatmap_is():
  small = np.zeros((4, 4), np.float32)
  small[1, 2] = 1
  released = heatmap_boxes([small], [(40, 20)], thresholds=[0.5], mode='released')
  np.testing.assert_array_equal(released, [[[10, 10, 20, 15]]])
  paper = heatmap_boxes([small], [(40, 20)], thresholds=[0.5])[0, 0]
  # Linear between the centres 5, 15, 25 of the rows: at least half from 10 to 20, less in corners.
  np.testing.assert_array_equal(paper, [10, 10, 20, 15])
  wide = heatmap_boxes([small], [(40, 20)], thresholds=[0.26])[0, 0]
  assert (wide[:2] < paper[:2]).all() and (wide[2:] > paper[2:]).all()


@pytest.mark.parametrize('mode', ['paper', 'released'])
@pytest.mark.parametrize(
  ('rule', 'thresholds'),
  [('value', GRIDS['value'][1:]), ('energy', [0.95]), ('mean', [0.5, 1, 2, 4])],
)
def test_a_heatmap_equal_to_the_mask_finds_its_box(rule, thresholds, mode):
  mask = np.zeros((10, 12), np.float32)
  mask[2:6, 3:9] = 1
  found = heatmap_boxes(mask, (10, 12), rule=rule, thresholds=thresholds, mode=mode)
  ious = localisation_ious(found, [[2, 3, 6, 9]])
  # Of the energy's 24 equal pixels the last two are dropped, in the corner of the last row.
  np.testing.assert_array_equal(ious, 1)


def test_what_says_nothing_has_no_box():
  heatmaps = np.zeros((3, 4, 5))
  heatmaps[1, 2, 2] = np.nan
  heatmaps[2, 1, 1] = 1
  found = heatmap_boxes(heatmaps, (8, 10), thresholds=[0.5])
  assert np.isnan(found[:2]).all() and not np.isnan(found[2]).any()


def test_what_does_not_fit_is_named():
  heatmaps = np.random.RandomState(0).rand(2, 4, 5)
  with pytest.raises(UserError, match='rule must be one of value, energy, mean'):
    heatmap_boxes(heatmaps, (4, 5), rule='otsu')
  with pytest.raises(UserError, match='sizes has 3 items, and heatmaps has 2'):
    heatmap_boxes(heatmaps, [(4, 5)] * 3)
  with pytest.raises(UserError, match=r'sizes must be \(H, W\) or \[B, 2\]'):
    heatmap_boxes(heatmaps, (4, 0))
  with pytest.raises(UserError, match=r'thresholds must be numbers \[T\], not of shape \(\)'):
    heatmap_boxes(heatmaps, (4, 5), thresholds=0.5)
