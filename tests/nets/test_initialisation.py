"""Weights that a training begins with: their spread, layer by layer, is torchvision's."""

import math

import jax
import numpy as np
import pytest

from perturb import nets
from perturb.nets.initialisation import initialised
from perturb.nets.pretrained import Pretrained
from perturb.nets.zoo import untrained


def drawn(network, size):
  net = Pretrained(network, {}, size, nets.PREPROCESSINGS['imagenet'], ())
  return initialised(net, jax.random.key(5)).variables


def deviation(kernel):
  """(the standard deviation, four of its standard errors)."""
  found = float(np.asarray(kernel).std())
  return found, 4 * found / math.sqrt(kernel.size)


def check_normal(kernel, expected):
  found, error = deviation(kernel)
  assert abs(found - expected) < error
  assert abs(float(kernel.mean())) < 4 * expected / math.sqrt(kernel.size)
  assert np.abs(kernel).max() > 2.5 * expected  # Not a uniform one.


def check_uniform(values, limit):
  assert np.abs(values).max() <= limit
  found, error = deviation(values)
  assert abs(found - limit / math.sqrt(3)) < max(error, 1e-3)


def test_a_resnet_begins_as_torchvisions():
  variables = drawn(nets.ResNet(depths=(1, 1), width=16, classes=40), 16)
  params = variables['params']
  check_normal(params['conv1']['kernel'], math.sqrt(2 / (49 * 16)))
  check_normal(params['layer2.0.conv2']['kernel'], math.sqrt(2 / (9 * 32)))
  check_normal(params['layer2.0.downsample.0']['kernel'], math.sqrt(2 / 128))
  check_uniform(params['fc']['kernel'], 1 / math.sqrt(128))
  check_uniform(params['fc']['bias'], 1 / math.sqrt(128))
  for name, value in (('scale', 1), ('bias', 0)):
    np.testing.assert_array_equal(params['layer2.0.bn3'][name], value)
  for name, value in (('mean', 0), ('var', 1)):
    np.testing.assert_array_equal(variables['batch_stats']['layer2.0.bn3'][name], value)


def test_vgg_begins_as_torchvisions():
  params = drawn(nets.VGG(groups=((8,), (16,)), hidden=20, classes=30), 16)['params']
  check_normal(params['features.3']['kernel'], math.sqrt(2 / (9 * 16)))
  check_normal(params['classifier.0']['kernel'], 0.01)
  check_normal(params['classifier.3']['kernel'], 0.01)
  assert not any(np.any(layer['bias']) for layer in params.values())


def test_alexnet_begins_as_torchvisions():
  convs = ((8, 11, 4, 2, True), (12, 5, 1, 2, True))
  params = drawn(nets.AlexNet(convs=convs, window=1, hidden=30, classes=50), 64)['params']
  check_uniform(params['features.3']['kernel'], 1 / math.sqrt(25 * 8))
  check_uniform(params['features.3']['bias'], 1 / math.sqrt(25 * 8))
  check_uniform(params['classifier.1']['kernel'], 1 / math.sqrt(12))
  check_uniform(params['classifier.6']['bias'], 1 / math.sqrt(30))


@pytest.mark.parametrize('seed', [0, 7])
def test_the_other_networks_begin_as_they_did(seed):
  net = untrained('mnist', [str(i) for i in range(10)], seed=seed)
  again = initialised(untrained('mnist', net.class_names), jax.random.key(seed))
  jax.tree.map(np.testing.assert_array_equal, again.variables, net.variables)
