"""Ablation of planted features, and the orders in which features go."""

import jax
import numpy as np
import pytest

from concepts.ablation import (
  ablation_orders,
  accuracy_without,
  at_random,
  by_response,
  by_weight,
  mean_class_accuracy,
  predicted_without,
  silenced,
)
from concepts.features import features_of
from perturb.errors import UserError
from tests.concepts.planted import planted_images, planted_net
from tests.small_net import IMAGES, small_net

NET = planted_net()
FEATURES = features_of(NET)
X, LABELS = planted_images(4)
COUNTS = np.arange(4)


def test_without_the_planted_features_accuracy_is_chance():
  planted = np.array([FEATURES.index('relu1', k) for k in (2, 1, 0)])
  others = planted + 3
  found = accuracy_without(NET, X, LABELS, FEATURES, planted, COUNTS)
  # Without its filter, blue is taken for another; without any, all is class 0.
  np.testing.assert_allclose(found, [1, 2 / 3, 1 / 3, 1 / 3], rtol=1e-6)
  np.testing.assert_array_equal(accuracy_without(NET, X, LABELS, FEATURES, others, COUNTS), 1)


def test_predictions_do_not_depend_on_the_chunk():
  order = np.array([FEATURES.index('conv1', 1), FEATURES.index('mean', 0), 0])
  whole = predicted_without(NET, X, FEATURES, order, COUNTS)
  np.testing.assert_array_equal(predicted_without(NET, X, FEATURES, order, COUNTS, chunk=5), whole)
  assert whole.shape == (len(COUNTS), len(X))


def test_a_layer_is_silenced_as_it_is_listed():
  net = small_net()
  features = features_of(net)
  removed = np.zeros(features.count, bool)
  removed[[features.index('conv1', 2), features.index('relu2', 5)]] = True
  before = net.activations(IMAGES, features.layers)
  after = silenced(net, features, removed).activations(IMAGES, features.layers)
  np.testing.assert_array_equal(after['conv1'][..., 2], 0)  # With its bias.
  np.testing.assert_array_equal(after['relu2'][..., 5], 0)
  others = np.arange(8) != 2
  np.testing.assert_array_equal(after['conv1'][..., others], before['conv1'][..., others])
  assert np.abs(after['conv2'][..., 5]).max() > 0  # relu2 alone, not what is below it.


def test_what_is_silenced_stays_so():
  gone = silenced(NET.ablate('relu1', [1]), FEATURES, np.zeros(FEATURES.count, bool))
  np.testing.assert_array_equal(gone.gains['relu1'], [1, 0, 1, 1, 1, 1])


def test_mean_class_accuracy_by_hand():
  predicted = np.array([0, 0, 1, 1, 1, 3, 2])
  labels = np.array([0, 0, 0, 0, 1, 3, -1])  # Half of class 0, all of 1 and 3; none of class 2.
  np.testing.assert_allclose(mean_class_accuracy(predicted, labels, 4), 2.5 / 3, rtol=1e-6)
  assert np.isnan(mean_class_accuracy(predicted[-1:], labels[-1:], 4))


WEIGHTS = np.zeros((FEATURES.count, 3))
WEIGHTS[[1, 7, 8, 14], [0, 2, 1, 0]] = [-3, 1, 5, 3]  # conv1:1, relu1:1, relu1:2, mean:2.
RESPONSES = np.random.RandomState(0).rand(5, FEATURES.count)


def test_orders():
  found = ablation_orders(FEATURES, WEIGHTS, RESPONSES.mean(0), jax.random.key(0), repetitions=4)
  np.testing.assert_array_equal(found['All'], [[8, 1, 14, 7]])
  np.testing.assert_array_equal(found['OnlyConv'], [[8, 1, 7]])
  strongest = sorted(range(FEATURES.count), key=lambda i: -RESPONSES[:, i].mean())[:4]
  np.testing.assert_array_equal(found['Top activations'], [strongest])
  assert found['Random'].shape == (4, 4)
  layers = FEATURES.of_layers()
  for draw in found['Random']:
    assert len(set(draw)) == 4
    np.testing.assert_array_equal(layers[draw], layers[found['All'][0]])
  assert len({tuple(draw) for draw in found['Random']}) > 1
  again = ablation_orders(FEATURES, WEIGHTS, RESPONSES.mean(0), jax.random.key(0), repetitions=4)
  np.testing.assert_array_equal(again['Random'], found['Random'])


def test_random_features_are_all_alike_likely():
  order, draws = np.array([7, 8]), 400
  found = [at_random(FEATURES, order, key) for key in jax.random.split(jax.random.key(1), draws)]
  counts = np.bincount(np.ravel(found), minlength=FEATURES.count)
  assert counts[:6].sum() == counts[12:].sum() == 0
  # Each of the six in a third of the draws: within 4.5 standard deviations.
  np.testing.assert_allclose(counts[6:12], draws / 3, atol=4.5 * np.sqrt(draws * 2 / 9))


def test_what_is_wrong_is_named():
  with pytest.raises(UserError, match='no feature has a weight'):
    ablation_orders(FEATURES, 0 * WEIGHTS, RESPONSES.mean(0), jax.random.key(0))
  with pytest.raises(UserError, match='feature 18: there are 0 to 17'):
    at_random(FEATURES, np.array([18]), jax.random.key(0))
  with pytest.raises(UserError, match='feature 18: there are 0 to 17'):
    accuracy_without(NET, X, LABELS, FEATURES, np.array([18]), COUNTS)
  with pytest.raises(UserError, match=r'removed must be bool \[18\], not of shape \(6,\)'):
    silenced(NET, FEATURES, np.zeros(6, bool))
  with pytest.raises(UserError, match='count must be 1 to 18'):
    by_response(RESPONSES.mean(0), 0)
  assert not len(by_weight(WEIGHTS, among=np.zeros(FEATURES.count, bool)))
