"""Responses of features by hand, and by another way."""

import numpy as np
import pytest

from concepts.features import Features, features_of
from concepts.filter_norms import responses
from perturb.errors import UserError
from tests.concepts.planted import planted_net
from tests.small_net import IMAGES, small_net


def test_by_hand():
  # conv1 passes the three colours on to filters 0 to 2 of 6; mean has no extent.
  x = np.zeros((2, 8, 8, 3), np.float32)
  x[0, 0, 0] = [3, 0, 2]
  x[0, 5, 1] = [-4, 0, 0]
  net = planted_net()
  features = features_of(net, ['conv1', 'mean'])
  found = responses(net, x, features, mode='paper')
  # Norms (5, 0, 2) of conv1, whose sum is 7; means after the ReLU (3, 0, 2) / 64.
  np.testing.assert_allclose(
    found[0], [5 / 7, 0, 2 / 7, 0, 0, 0, 3 / 5, 0, 2 / 5, 0, 0, 0], rtol=1e-6
  )
  np.testing.assert_array_equal(found[1], 0)  # An image of zeros, not NaN.
  released = np.array([25 / 29, 0, 4 / 29, 0, 0, 0, 9 / 13, 0, 4 / 13, 0, 0, 0])
  released /= np.linalg.norm(released)
  found = responses(net, x, features, mode='released')
  np.testing.assert_allclose(found[0], released, rtol=1e-6)
  np.testing.assert_array_equal(found[1], 0)


def test_every_layer_against_numpy():
  net = small_net()
  features = features_of(net)
  activations = net.activations(IMAGES, features.layers)
  expected = []
  for layer in features.layers:
    values = np.asarray(activations[layer], np.float64)
    norms = np.sqrt((values.reshape(len(IMAGES), -1, values.shape[-1]) ** 2).sum(1))
    expected.append(norms / norms.sum(1, keepdims=True))
  found = responses(net, IMAGES, features, mode='paper')
  assert found.shape == (len(IMAGES), features.count)
  np.testing.assert_allclose(found, np.concatenate(expected, 1), rtol=1e-4, atol=1e-7)


def test_what_is_wrong_is_named():
  features = Features(('conv9',), (4,), (True,))
  with pytest.raises(UserError, match="no layer 'conv9'"):
    responses(small_net(), IMAGES, features)
  with pytest.raises(UserError, match="mode must be one of paper, released, not 'l1'"):
    responses(small_net(), IMAGES, features, mode='l1')
