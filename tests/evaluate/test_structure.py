"""Structural similarity."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity as skimage_ssim

from perturb.errors import UserError
from perturb.evaluate.structure import structural_similarity

RANDOM = np.random.RandomState(0)
MAPS = np.float32(RANDOM.rand(3, 20, 23))
OTHERS = np.float32(0.7 * MAPS + 0.5 * RANDOM.rand(3, 20, 23))
THEIRS = {
  'uniform': {},
  'gaussian': {'gaussian_weights': True, 'use_sample_covariance': False, 'sigma': 1.5},
}


def scaled(heatmap):
  return (heatmap.astype(np.float64) - heatmap.min()) / np.ptp(heatmap).astype(np.float64)


@pytest.mark.parametrize('window', THEIRS)
def test_it_is_that_of_scikit_image(window):
  pairs = list(zip(MAPS, OTHERS, strict=True))
  expected = [skimage_ssim(scaled(a), scaled(b), data_range=1, **THEIRS[window]) for a, b in pairs]
  found = structural_similarity(MAPS, OTHERS, window=window)
  np.testing.assert_allclose(found, expected, atol=1e-6)
  expected = [
    skimage_ssim(np.float64(a), np.float64(b), data_range=2.5, **THEIRS[window]) for a, b in pairs
  ]
  found = structural_similarity(MAPS, OTHERS, window=window, data_range=2.5)
  np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_map_is_like_itself_and_signs_may_count():
  signed = MAPS - np.float32(0.5)
  np.testing.assert_allclose(structural_similarity(signed, signed * 3), 1)
  np.testing.assert_allclose(structural_similarity(signed, -signed, absolute=True), 1)
  assert (structural_similarity(signed, -signed) < 0.2).all()


def test_what_says_nothing_is_nan_and_what_does_not_fit_is_named():
  maps = MAPS.copy()
  maps[0], maps[1, 0, 0] = 1, np.nan
  np.testing.assert_array_equal(np.isnan(structural_similarity(maps, MAPS)), [True, True, False])
  with pytest.raises(UserError, match=r'at least 11 pixels a side, not \(10, 23\)'):
    structural_similarity(MAPS[:, :10], MAPS[:, :10], window='gaussian')
  with pytest.raises(UserError, match='data_range must be a positive number, not 0'):
    structural_similarity(MAPS, MAPS, data_range=0)
