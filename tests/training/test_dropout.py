"""Dropout: what share is dropped, in which units, and that the mean stays."""

import jax
import numpy as np
import pytest

from perturb.training.dropout import drop_block, dropout, spatial_dropout

KEY = jax.random.key(1)
ONES = np.ones((40, 12, 10, 32), np.float32)


def test_single_values_are_dropped_and_the_rest_scaled():
  h = np.asarray(dropout(KEY, ONES, 0.8))
  assert set(np.unique(h)) == {0, np.float32(1.25)}
  assert abs((h > 0).mean() - 0.8) < 4 * np.sqrt(0.16 / h.size)


def test_channels_are_dropped_whole():
  h = np.asarray(spatial_dropout(KEY, ONES, 0.5))
  np.testing.assert_array_equal(h.min((1, 2)), h.max((1, 2)))
  assert abs((h[:, 0, 0] > 0).mean() - 0.5) < 4 * np.sqrt(0.25 / (40 * 32))


@pytest.mark.parametrize('block', [1, 3, 4])
def test_a_block_is_dropped_as_often_as_one_begins_within_reach(block):
  keep, (height, width) = 0.9, ONES.shape[1:3]
  h = np.asarray(drop_block(KEY, ONES, keep, block))
  gamma = (1 - keep) / block**2 * height * width / ((height - block + 1) * (width - block + 1))
  reach = [
    [sum(i <= pixel < i + block for i in range(n - block + 1)) for pixel in range(n)]
    for n in (height, width)
  ]
  expected = (1 - gamma) ** np.outer(*reach)  # That none of them begins.
  kept = (h > 0).mean((0, 3))
  assert np.abs(kept - expected).max() < 5 * np.sqrt(0.25 / (40 * 32))
  assert kept.mean() == pytest.approx(expected.mean(), abs=0.01)
  assert h.mean() == pytest.approx(1, abs=1e-5)


def test_a_block_is_a_square_of_one_channel():
  h = np.asarray(drop_block(KEY, np.ones((4, 9, 9, 64), np.float32), 0.995, 3))
  dropped = np.moveaxis(h == 0, 3, 1).reshape(-1, 9, 9)
  dropped = dropped[dropped.any((1, 2))]
  assert len(dropped) > 5
  alone = [each for each in dropped if each.sum() == 9]
  assert len(alone) > len(dropped) / 2
  for each in alone:
    rows, columns = (np.flatnonzero(each.any(axis)) for axis in (1, 0))
    assert [*np.diff(rows)] == [*np.diff(columns)] == [1, 1]


def test_a_block_as_large_as_the_map_drops_all_of_a_channel_or_nothing():
  h = np.asarray(drop_block(KEY, np.ones((4, 5, 5, 64), np.float32), 0.7, 9))
  share = (h == 0).mean((1, 2))
  assert {*np.unique(share)} == {0, 1}
  assert share.mean() == pytest.approx(0.3, abs=0.1)


def test_a_map_that_is_dropped_whole_is_zero():
  np.testing.assert_array_equal(drop_block(KEY, np.ones((1, 2, 2, 1), np.float32), 1e-6, 2), 0)
