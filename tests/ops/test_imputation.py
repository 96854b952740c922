"""Noisy linear imputation against the sparse system, solved directly; its limits."""

import jax
import numpy as np

from perturb.ops import imputation

linear_imputation = jax.jit(imputation.linear_imputation)
noisy_imputation = jax.jit(imputation.noisy_imputation)

X = np.random.RandomState(0).randn(3, 9, 12, 2).astype(np.float32)
WEIGHTS = {1: 1 / 6, 2: 1 / 12}  # By the squared distance of a neighbour.


def solved(x, known):
  """Each unknown pixel as the weighed mean of its neighbours, by an equation each."""
  places = np.argwhere(~known)
  number = {tuple(place): i for i, place in enumerate(places)}
  matrix, right = np.zeros((len(places), len(places))), np.zeros((len(places), x.shape[-1]))
  for i, (row, column) in enumerate(places):
    for r in range(max(row - 1, 0), min(row + 2, x.shape[0])):
      for c in range(max(column - 1, 0), min(column + 2, x.shape[1])):
        weight = WEIGHTS.get((r - row) ** 2 + (c - column) ** 2, 0)
        matrix[i, i] += weight
        if known[r, c]:
          right[i] += weight * x[r, c]
        elif weight:
          matrix[i, number[r, c]] -= weight
  full = x.astype(float)
  full[~known] = np.linalg.solve(matrix, right)
  return full


def masks():
  """Most pixels at random, the left part, and all but one pixel are unknown."""
  known = np.zeros((3, 9, 12), bool)
  known[0] = np.random.RandomState(1).rand(9, 12) < 0.3
  known[1, :, 8:] = True
  known[2, 4, 4] = True
  return known


def test_it_is_the_solution_of_the_sparse_system():
  known = masks()
  found = linear_imputation(X, known)
  for image in range(3):
    np.testing.assert_allclose(found[image], solved(X[image], known[image]), atol=2e-3)
  np.testing.assert_array_equal(np.asarray(found)[known], X[known])
  np.testing.assert_allclose(found[2], np.broadcast_to(X[2, 4, 4], X[2].shape), atol=1e-5)


def test_between_two_columns_it_is_a_line():
  x = np.broadcast_to(np.linspace(-1, 2, 12)[:, None], X.shape).astype(np.float32)
  known = np.zeros(X.shape[:3], bool)
  known[..., [0, -1]] = True
  np.testing.assert_allclose(linear_imputation(x, known), x, atol=2e-3)


def test_where_nothing_is_known_it_is_the_mean_colour():
  found = linear_imputation(X, np.zeros(X.shape[:3], bool))
  np.testing.assert_allclose(found, np.broadcast_to(X.mean((1, 2), keepdims=True), X.shape), 1e-5)


def test_an_image_does_not_depend_on_the_others():
  alone = linear_imputation(X[:1], masks()[:1])
  np.testing.assert_allclose(linear_imputation(X, masks())[0], alone[0], atol=1e-6)


def test_noise_is_on_what_is_unknown_alone():
  x, known = np.zeros(X.shape, np.float32), masks()
  keys = jax.random.split(jax.random.key(0), 3)
  found = np.asarray(noisy_imputation(x, known, keys, noise=0.1))
  np.testing.assert_array_equal(found[known], 0)
  assert 0.09 < found[~known].std() < 0.11
  np.testing.assert_allclose(
    noisy_imputation(X, known, keys, noise=0.1), linear_imputation(X, known) + found, atol=1e-5
  )
