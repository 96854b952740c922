"""Thresholds against a sort, and the sketch against the exact ones."""

import jax.numpy as jnp
import numpy as np
import pytest

from concepts.quantiles import FULL, Sketch, add, empty_sketch, exact_thresholds, merge, threshold
from perturb.errors import UserError

TAU = 0.01
S, K = 2000, 8
BLOCK = 500


def values() -> np.ndarray:
  """Filters as there are: all above zero, behind a ReLU, large, small, constant, mostly zero."""
  a = np.random.default_rng(0).standard_normal((S, K)).astype(np.float32)
  a[:, 1] = np.maximum(a[:, 1], 0)
  a[:, 2] *= 1e4
  a[:, 3] *= 1e-6
  a[:, 4] = 0.7
  a[:, 5] = np.where(np.arange(S) < 7, np.abs(a[:, 5]), 0)
  a[:, 6] = -1 - np.abs(a[:, 6])
  a[:, 7] = np.round(a[:, 7])
  return a


def sketch_of(a, blocks=None):
  sketch = empty_sketch(K)
  for block in blocks or range(S // BLOCK):
    sketch = add(sketch, a[block * BLOCK : (block + 1) * BLOCK])
  return sketch


def test_exact_thresholds_are_those_of_a_sort():
  a = values()
  found = exact_thresholds(a, TAU)
  np.testing.assert_array_equal(found.levels, np.sort(a, 0)[-int(TAU * S) - 1])
  np.testing.assert_array_equal(found.above, (a > found.levels).mean(0))


def test_what_share_exceeds_them():
  """All of tau where values differ; none of a constant; what is not zero where that is less."""
  above = exact_thresholds(values(), TAU).above
  np.testing.assert_array_equal(above[[0, 1, 2, 3, 6]], TAU)
  assert above[4] == 0
  assert above[5] == 7 / S
  assert above[7] < TAU


def test_a_sketch_is_within_its_bound_and_says_the_share():
  a = values()
  exact, found = exact_thresholds(a, TAU), threshold(sketch_of(a), TAU)
  apart = found.levels.astype(np.float64) - exact.levels
  assert (apart >= 0).all()
  assert (apart <= np.maximum(2.0**-10 * np.abs(exact.levels), 2.0**-24)).all()
  np.testing.assert_array_equal(found.above, (a > found.levels).mean(0))
  assert found.levels[5] == 0


def test_a_sketch_of_float16_is_exact():
  a = values().astype(np.float16).astype(np.float32)
  exact, found = exact_thresholds(a, TAU), threshold(sketch_of(a), TAU)
  np.testing.assert_array_equal(a > found.levels, a > exact.levels)


def test_sketches_add_up_in_any_order():
  a = values()
  whole = sketch_of(a)
  merged = merge(sketch_of(a, [3, 1]), sketch_of(a[::-1], [3, 1]))
  for one, other in zip(whole, merged, strict=True):
    np.testing.assert_array_equal(one, other)


def planted(total):
  return Sketch(empty_sketch(K).counts, jnp.uint32(total))


def test_more_values_than_can_be_counted_are_refused_not_wrapped():
  some = np.ones((BLOCK, K), np.float32)
  most = add(planted(FULL - 1 - BLOCK), some)
  assert int(most.total) == FULL - 1
  for tau in (TAU, 0.9):
    np.testing.assert_array_equal(threshold(most, tau).levels, 0)
  once = add(most, some)
  for full in (merge(once, planted(0)), add(once, some), merge(planted(2**31), planted(2**31))):
    assert int(full.total) == FULL
    with pytest.raises(UserError, match='a sketch counts fewer than 4294967295 values'):
      threshold(full, TAU)


def test_what_is_wrong_is_named():
  a = values()
  with pytest.raises(UserError, match='tau must be in'):
    exact_thresholds(a, 1.0)
  with pytest.raises(UserError, match='a sketch of no values'):
    threshold(empty_sketch(K), TAU)
  a[:100, 2] = 1e5
  with pytest.raises(UserError, match='filter 2: its threshold is beyond 65504'):
    threshold(sketch_of(a), TAU)
  a[5, 3] = np.nan
  with pytest.raises(UserError, match='filter 3 has values that are not'):
    threshold(sketch_of(a), TAU)
  with pytest.raises(UserError, match='filter 3 has values that are not'):
    exact_thresholds(a, TAU)
  with pytest.raises(UserError, match='values must be'):
    exact_thresholds(jnp.zeros((0, 3)), TAU)
