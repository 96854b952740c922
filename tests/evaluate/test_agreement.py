"""How alike heatmaps are."""

import numpy as np
import pytest
from scipy import stats

from perturb.errors import UserError
from perturb.evaluate.agreement import pearson_correlation, rank_correlation, top_overlap

RANDOM = np.random.RandomState(0)
MAPS = np.float32(RANDOM.randn(6, 9, 11))
OTHERS = np.float32(0.5 * MAPS + RANDOM.randn(6, 9, 11))
MAPS[3:5], OTHERS[3:5] = np.round(MAPS[3:5]), np.maximum(OTHERS[3:5], 0)  # Many ties.


@pytest.mark.parametrize('absolute', [False, True])
@pytest.mark.parametrize(
  ('ours', 'theirs'),
  [(rank_correlation, stats.spearmanr), (pearson_correlation, stats.pearsonr)],
)
def test_correlations_are_those_of_scipy(ours, theirs, absolute):
  change = np.abs if absolute else np.asarray
  expected = [
    theirs(change(a).ravel(), change(b).ravel())[0] for a, b in zip(MAPS, OTHERS, strict=True)
  ]
  np.testing.assert_allclose(ours(MAPS, OTHERS, absolute=absolute), expected, atol=1e-7)


@pytest.mark.parametrize('scale', [1e-38, 1, 1e37])
def test_correlations_know_no_scale(scale):
  maps = MAPS[:2] * np.float32(scale)
  np.testing.assert_allclose(rank_correlation(maps, maps), 1)
  np.testing.assert_allclose(pearson_correlation(maps, -maps), -1)
  np.testing.assert_allclose(rank_correlation(maps, np.exp(MAPS[:2])), 1)


def test_the_largest_pixels_are_counted():
  """Of 99 pixels ten are a tenth."""
  found = top_overlap(MAPS[:3], OTHERS[:3])
  for share, a, b in zip(found, MAPS, OTHERS, strict=False):
    best = [set(np.argsort(-each, axis=None)[:10].tolist()) for each in (a, b)]
    assert share == len(best[0] & best[1]) / 10
  np.testing.assert_array_equal(top_overlap(MAPS, MAPS), 1)
  np.testing.assert_array_equal(top_overlap(MAPS, OTHERS, share=1), 1)


def test_of_equal_pixels_the_first_are_taken():
  first, second = np.zeros((1, 10)), np.zeros((1, 10))
  first[0, 0] = second[0, 9] = 1  # The largest two: 0, 1 and 9, 0.
  np.testing.assert_array_equal(top_overlap(first, second, share=0.2), [0.5])


@pytest.mark.parametrize('alike', [rank_correlation, pearson_correlation, top_overlap])
def test_what_says_nothing_is_nan(alike):
  maps = MAPS[:4].copy()
  maps[0], maps[1, 0, 0], maps[2, 3, 3] = 2, np.nan, -np.inf
  np.testing.assert_array_equal(np.isnan(alike(maps, MAPS[:4])), [True, True, True, False])
  np.testing.assert_array_equal(np.isnan(alike(MAPS[:4], maps)), [True, True, True, False])


def test_a_constant_size_is_nan_without_signs():
  signs = np.sign(MAPS[:1])
  assert np.isfinite(rank_correlation(signs, MAPS[:1])).all()
  assert np.isnan(rank_correlation(signs, MAPS[:1], absolute=True)).all()


def test_what_does_not_fit_is_named():
  with pytest.raises(UserError, match=r'others\[1\] must be of shape \(9, 11\), not \(9, 10\)'):
    rank_correlation([MAPS[0], MAPS[0]], [MAPS[0], MAPS[0][:, 1:]])
  with pytest.raises(UserError, match='others has 1 items, and heatmaps has 6'):
    pearson_correlation(MAPS, MAPS[0])
  with pytest.raises(UserError, match=r'share must be in \(0, 1\], not 0'):
    top_overlap(MAPS, MAPS, share=0)
