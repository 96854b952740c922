"""Concepts in the plane."""

import numpy as np
import pytest

from concepts.maps import flat_map
from perturb.errors import UserError


@pytest.fixture(scope='module')
def groups():
  """Three far directions, twelve concepts near each, and one without a vector."""
  random = np.random.default_rng(0)
  vectors = np.repeat(np.eye(3, 10), 12, 0) + 0.05 * random.normal(size=(36, 10))
  return np.vstack([vectors * random.uniform(1, 50, (36, 1)), np.full((1, 10), np.nan)])


def test_what_is_near_stays_near(groups):
  places = flat_map(groups, key=1, perplexity=8)
  assert np.isnan(places[36]).all()
  apart = np.linalg.norm(places[:36, None] - places[:36], axis=-1)
  np.fill_diagonal(apart, np.inf)
  assert (apart.argmin(1) // 12 == np.arange(36) // 12).all()
  np.testing.assert_array_equal(flat_map(groups, key=1, perplexity=8), places)


def test_few_vectors():
  assert np.isfinite(flat_map(np.eye(4))).all()
  with pytest.raises(UserError, match='3 vectors: a map takes 4 or more'):
    flat_map(np.eye(3))
  with pytest.raises(UserError, match='perplexity is 0'):
    flat_map(np.eye(4), perplexity=0)
