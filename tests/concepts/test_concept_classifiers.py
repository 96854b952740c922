"""Vectors that classify: steps by hand, balance, and that all together are as each alone."""

import jax
import numpy as np
import pytest

from concepts.concept_classifiers import (
  Classifier,
  _balanced,
  classifier_accuracy,
  start_classifiers,
  train_classifiers,
)
from perturb.errors import UserError

N, K = 40, 6


def problem():
  """Concept 0 is where filter 2 is large, 1 where filter 4 is small, 2 is rare, 3 frequent."""
  random = np.random.RandomState(0)
  means = random.rand(N, K).astype(np.float32)
  rare, frequent = np.arange(N) < 3, np.arange(N) > 4
  return means, np.stack([means[:, 2] > 0.5, means[:, 4] < 0.4, rare, frequent], axis=1)


def trained(concept=(0, 1, 2, 3), *, state=None, mask=None, **options):
  state = state or start_classifiers(concept, K, mask=mask, key=3)
  defaults = {'epochs': 2, 'batch_size': 8, 'learning_rate': 0.1}
  return train_classifiers(state, *problem(), **defaults | options)


def test_one_step_by_hand():
  """A batch of all: the gradient of the mean cross-entropy is (sigma - y) x, averaged."""
  means, _ = problem()
  there = np.arange(N) < N // 2  # As many with as without: no draw.
  state = start_classifiers([0], K, key=3)
  found = train_classifiers(
    state, means, there[:, None], epochs=1, batch_size=64, learning_rate=0.1
  )
  w, b = (np.asarray(part)[0] for part in state.vectors)
  apart = 1 / (1 + np.exp(-(means @ w + b))) - there
  np.testing.assert_allclose(found.vectors.weights[0], w - 0.1 * apart @ means / N, atol=1e-6)
  np.testing.assert_allclose(found.vectors.bias[0], b - 0.1 * apart.mean(), atol=1e-6)


def test_together_is_as_alone():
  together = trained().vectors
  for concept in (0, 2):
    alone = trained([concept]).vectors
    for one, other in zip(together, alone, strict=True):
      np.testing.assert_allclose(one[concept], other[0], atol=1e-5)


def test_it_goes_on_where_it_was():
  halted = jax.tree.map(np.array, trained(epochs=1))
  jax.tree.map(np.testing.assert_array_equal, trained(state=halted, epochs=1), trained())


drawn_pictures = jax.jit(jax.vmap(lambda key, there: _balanced(key, there, 20), (0, None)))


@pytest.mark.parametrize('having', [1, 3, 10, 17, 19])
def test_a_draw_has_as_many_with_as_without(having):
  there = np.random.RandomState(having).permutation(20) < having
  chosen, count = drawn_pictures(jax.random.split(jax.random.key(0), 200), there)
  half = min(having, 20 - having)
  np.testing.assert_array_equal(count, 2 * half)
  drawn = np.asarray(chosen)[:, : 2 * half]
  assert (there[drawn].sum(1) == half).all()
  assert all(len(set(one)) == 2 * half for one in drawn.tolist())
  assert set(drawn.ravel().tolist()) == set(range(20))  # All come up in the end,
  assert set(there[drawn[:, 0]].tolist()) == {True, False}  # in random order.


def test_a_filter_that_tells_is_found():
  found = trained([0, 1], epochs=100, learning_rate=0.2)
  weights = np.asarray(found.vectors.weights)
  np.testing.assert_array_equal(np.abs(weights).argmax(1), [2, 4])
  assert weights[0, 2] > 0 > weights[1, 4]
  assert (classifier_accuracy(found, *problem()) > 0.9).all()


def test_accuracy_by_hand():
  """Ten pictures, five with the concept; a threshold that is right about eight of them."""
  means = np.arange(10, dtype=np.float32)[:, None]
  there = (np.arange(10) >= 5)[:, None]
  state = start_classifiers([0], 1)
  for bias, expected in ((-4.5, 1), (-2.5, 0.8), (10, 0.5)):
    state = state._replace(vectors=Classifier(np.ones((1, 1)), np.array([bias])))
    np.testing.assert_allclose(classifier_accuracy(state, means, there), [expected])
  assert np.isnan(classifier_accuracy(state, means, np.ones((10, 1), bool)))


def test_vectors_of_one_concept_are_judged_by_the_same_pictures():
  mask = np.eye(K, dtype=bool)[[2, 2]]
  found = trained([0, 0], mask=mask)
  np.testing.assert_array_equal(found.vectors.weights[~mask], 0)
  assert len(set(classifier_accuracy(found, *problem()).tolist())) == 1


@pytest.mark.parametrize(
  ('means', 'present', 'options', 'message'),
  [
    (np.ones((5, 4)), np.eye(5), {}, r'means must be \[N, 6\]'),
    (np.ones((5, K)), np.eye(4), {}, r'present must be bool \[5, 2 or more\]'),
    (np.ones((5, K)), np.eye(5)[:, :1], {}, r'present must be bool \[5, 2 or more\]'),
    (np.ones((5, K)), np.eye(5)[:, [0, 0]] >= 0, {}, 'concept 0 is in all pictures or in none'),
    (np.ones((5, K)), np.eye(5), {'batch_size': 0}, 'batch_size is 0'),
  ],
)
def test_what_is_wrong_is_named(means, present, options, message):
  with pytest.raises(UserError, match=message):
    train_classifiers(start_classifiers([0, 1], K), means, present.astype(bool), **options)
  with pytest.raises(UserError, match='mask must be bool'):
    start_classifiers([0, 1], K, mask=np.ones((2, 3)))
