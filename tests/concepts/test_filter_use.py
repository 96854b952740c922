"""Use of filters, counted by hand; statistics of activations, as NumPy has them of all at once."""

import numpy as np
import pytest

from concepts.filter_use import (
  add,
  concepts_above,
  concepts_of_filters,
  contributions,
  empty_statistics,
  filters_used,
  merged,
)
from perturb.errors import UserError

WEIGHTS = np.array([[8.0, -1, 1, 0], [1, 1, -1, 1], [0, 0, 0, 0], [np.nan, 1, 1, 1]])


def test_contributions_add_up_to_one():
  found = contributions(WEIGHTS)
  np.testing.assert_allclose(found[:2], [[0.8, 0.1, 0.1, 0], [0.25] * 4])
  assert np.isnan(found[2:]).any(1).all()


@pytest.mark.parametrize(
  ('share', 'expected'), [(0.5, [1, 2]), (0.8, [1, 4]), (0.85, [2, 4]), (1, [3, 4])]
)
def test_filters_that_carry_a_share(share, expected):
  assert filters_used(WEIGHTS, share).tolist() == [*expected, 0, 0]


def test_all_filters_carry_all_whatever_is_rounded():
  weights = np.random.default_rng(0).normal(size=(50, 300))
  assert (filters_used(weights, 1) <= 300).all()


def test_concepts_of_a_filter():
  assert concepts_of_filters([2, 0, 2, -1], 4).tolist() == [1, 0, 2, 0]
  assert concepts_of_filters(np.array([], int), 2).tolist() == [0, 0]
  assert concepts_above(contributions(WEIGHTS), 0.1).tolist() == [2, 1, 1, 1]


def test_statistics_in_blocks_are_those_of_all_at_once():
  random = np.random.default_rng(0)
  values = np.maximum(random.normal([30, 0, 1, -9, 0], size=(9, 3, 4, 5)), 0).astype(np.float32)
  half = add(add(empty_statistics(5), values[:2]), values[2:5])
  found = merged(half, add(empty_statistics(5), values[5:]))
  flat = values.reshape(-1, 5).astype(float)
  np.testing.assert_allclose(found.mean, flat.mean(0), rtol=1e-6)
  np.testing.assert_allclose(found.deviation(), flat.std(0), rtol=1e-5)
  np.testing.assert_array_equal(found.largest, flat.max(0))
  np.testing.assert_allclose(found.sparsity(), (flat == 0).mean(0))
  assert found.positions == len(flat) and found.sparsity()[3] == 1


def test_statistics_of_nothing():
  assert np.isnan(empty_statistics(2).deviation()).all()
  assert merged(empty_statistics(2), empty_statistics(2)).positions == 0


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: filters_used(WEIGHTS, 0), r'share must be in \(0, 1\]'),
    (lambda: contributions(np.ones(3)), r'weights are \[3\]'),
    (lambda: concepts_of_filters([4], 4), 'filters from 0 to 3'),
    (lambda: add(empty_statistics(3), np.ones((1, 2, 2, 4))), r'\[1, 2, 2, 4\].*3 filters'),
    (lambda: add(empty_statistics(3), np.ones((2, 3))), r'activations are \[2, 3\]'),
  ],
)
def test_bad_input_is_named(call, message):
  with pytest.raises(UserError, match=message):
    call()
