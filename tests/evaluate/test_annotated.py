"""Batches of heatmaps and masks."""

import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.annotated import pairs, resized
from perturb.ops.heatmaps import resize

RAMP = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize('size', [(9, 13), (2, 3), (1, 9), (5, 7)])
def test_resampling_is_that_of_ops(size):
  heatmap = np.random.RandomState(0).rand(5, 7).astype(np.float32)
  np.testing.assert_allclose(resized(heatmap, size), resize(heatmap, size), atol=1e-6)


def test_one_row_fills_the_map():
  np.testing.assert_array_equal(resized(np.float32([[1, 2]]), (2, 2)), [[1, 2], [1, 2]])


def test_a_peak_that_a_smaller_mask_misses_is_no_corner():
  peak = np.zeros((9, 9), np.float32)
  peak[0, 0] = 1
  assert resized(peak, (3, 3)) is None


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_or_constant_says_nothing(bad):
  broken = RAMP.astype(np.float64)
  broken[1, 2] = bad
  found = [
    heat is None for heat, _ in pairs([broken, RAMP * 0 + 7, RAMP], np.ones((3, 3, 4), bool))
  ]
  assert found == [True, True, False]


def test_sizes_may_differ_and_items_are_read_when_asked_for():
  class Lazy:
    read = 0

    def __len__(self):
      return 2

    def __getitem__(self, index):
      Lazy.read += 1
      return np.ones(((6, 8), (3, 4))[index], np.uint8)

  found = pairs([RAMP, RAMP.astype(np.int64)], Lazy())
  heatmap, mask = next(found)
  assert heatmap.shape == mask.shape == (6, 8) and Lazy.read == 1
  heatmap, mask = next(found)
  np.testing.assert_array_equal(heatmap, RAMP)
  assert mask.dtype == bool and heatmap.dtype == np.float32


def test_one_map_is_a_batch_and_jax_arrays_are_taken():
  ((heatmap, mask),) = pairs(jnp.asarray(RAMP, jnp.bfloat16), jnp.asarray(RAMP > 3))
  np.testing.assert_array_equal(heatmap, RAMP)
  np.testing.assert_array_equal(mask, RAMP > 3)


@pytest.mark.parametrize(
  ('heatmaps', 'masks', 'message'),
  [
    ([RAMP, RAMP], [RAMP > 3], 'masks has 1 items, and heatmaps has 2: give as many'),
    ([RAMP, RAMP[0]], [RAMP > 3] * 2, r'heatmaps\[1\] must be of shape \[h, w\], not \(4,\)'),
    ([RAMP], [RAMP / 11], r'masks\[0\] must be of booleans, not float32: give mask > 0.5'),
    ([RAMP * 1j], [RAMP > 3], r'heatmaps\[0\] must be of real numbers, not complex64'),
    (RAMP[None, None], [RAMP > 3], r'heatmaps must be an array .*, not of shape \(1, 1, 3, 4\)'),
    (3, [RAMP > 3], 'heatmaps must be an array .*, not a int'),
    ([RAMP[:0]], [RAMP > 3], r'heatmaps\[0\] must be of shape \[h, w\], not \(0, 4\)'),
  ],
)
def test_what_does_not_fit_is_named(heatmaps, masks, message):
  with pytest.raises(UserError, match=f'^{message}$'):
    list(pairs(heatmaps, masks))
