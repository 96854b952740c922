"""Channel attribution where the answer is known, and its parts."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.methods.channels import (
  ChannelResult,
  channel_attribution,
  channel_counts,
  class_channels,
)
from perturb.nets.layers import Add, Conv, Dense, GlobalMean, Relu
from perturb.nets.network import Layers, Network
from tests.small_net import IMAGES, TARGETS, small_net


@functools.cache
def attributed():
  net = small_net()
  params = net.variables['params']
  louder = params | {'fc': jax.tree.map(lambda p: 20 * p, params['fc'])}
  net = dataclasses.replace(net, variables={'params': louder})
  areas = [1, 2, 3, 10]
  result = channel_attribution(
    net, IMAGES, TARGETS, 'relu3', areas, mode='paper', area_weight=300.0
  )
  return net, result


def test_the_papers_channels_of_a_linear_head_are_those_that_contribute_most():
  net, result = attributed()
  means = net.activations(IMAGES, ['relu3'])['relu3'].mean((1, 2))
  contributions = means * net.variables['params']['fc']['kernel'][:, TARGETS].T
  for image in range(2):
    order = np.argsort(-contributions[image])
    for i, area in enumerate((1, 2, 3)):
      mask = np.asarray(result.masks[image, i])
      assert set(np.argsort(-mask)[:area]) == set(order[:area])
      np.testing.assert_allclose(mask.sum(), area, atol=0.3)


def test_all_channels_are_the_network_itself_in_the_papers_mode():
  _, result = attributed()
  np.testing.assert_allclose(result.masks[:, 3], 1, atol=0.1)
  np.testing.assert_allclose(result.scores[:, 3], result.full_score, rtol=0.05)


def test_saliency_is_equation_11():
  net, result = attributed()
  activations = np.asarray(net.activations(IMAGES, ['relu3'])['relu3'])
  v = (np.asarray(result.masks)[:, 1, None, None] * activations).sum(-1)
  np.testing.assert_allclose(result.saliency[:, 1], v, rtol=1e-4, atol=1e-6)
  assert result.heatmap.shape == (2, 32, 32)


class Residual(Network):
  """A convolution that its shortcut bypasses."""

  def build_layers(self):
    layers = Layers()
    layers.add('conv1', functools.partial(Conv, 6, 3, 2, 1))
    layers.add('relu1', Relu)
    layers.add('conv2', functools.partial(Conv, 6, 3, 1, 1))
    layers.add('add', Add, 'conv2', 'relu1')
    layers.add('mean', GlobalMean)
    layers.add('fc', functools.partial(Dense, 5))
    return layers


def test_a_layer_that_others_bypass():
  network = Residual()
  variables = network.init(jax.random.key(0), jnp.asarray(IMAGES))
  net = dataclasses.replace(small_net(), network=network, variables=variables)
  result = channel_attribution(net, IMAGES, TARGETS, 'conv2', [2, 6])
  np.testing.assert_allclose(result.scores[:, 1], net(IMAGES)[[0, 1], TARGETS], rtol=1e-5)
  silent = net.ablate('conv2', range(6))(IMAGES)[[0, 1], TARGETS]
  np.testing.assert_allclose(result.deleted_scores[:, 1], silent, rtol=1e-4, atol=1e-6)


def test_the_channel_of_a_class_is_that_of_its_mean_mask():
  masks = np.zeros((3, 2, 4), np.float32)
  masks[0, 0] = [1, 0, 0, 0]
  masks[1, 0] = [1, 1, 0, 0]
  masks[2, 1] = [0, 0, 0, 1]
  result = ChannelResult(
    areas=np.array([1.0, 2.0]),
    masks=masks,
    scores=np.array([[5.0, 5.0], [5.0, 5.0], [1.0, 5.0]]),
    deleted_scores=np.zeros((3, 2)),
    full_score=np.array([4.0, 4.0, 4.0]),
    blank_score=np.zeros(3),
    saliency=np.zeros((3, 2, 2, 2)),
    size=(8, 8),
  )
  np.testing.assert_array_equal(result.best(), [0, 0, 1])
  assert result.reaches().all()
  lower = result._replace(scores=result.scores - [[0, 0], [0, 2], [0, 2]])
  np.testing.assert_array_equal(lower.reaches(), [True, True, False])
  np.testing.assert_array_equal(lower.best(), [0, 0, 1])  # The last one's is its largest area.
  without = result._replace(game='delete', deleted_scores=np.array([[1.0, -1], [-1, 1], [1, 1]]))
  np.testing.assert_array_equal(without.reaches(), [True, True, False])
  np.testing.assert_array_equal(without.best(), [1, 0, 1])
  found = class_channels(result, [7, 7, 2])
  np.testing.assert_array_equal(found.classes, [2, 7])
  np.testing.assert_array_equal(found.channels, [3, 0])
  np.testing.assert_allclose(found.masks[1], [1, 0.5, 0, 0])
  masks[:2, 0] = [1, 1, 0, 0]
  masks[0, 1, 1] = 1  # Of the two that both images keep, one is kept at another area too.
  np.testing.assert_array_equal(class_channels(result, [7, 7, 2]).channels, [3, 1])


@pytest.mark.parametrize('game', ['delete', 'hybrid'])
def test_other_games(game):
  result = channel_attribution(
    small_net(), IMAGES, TARGETS, areas=[3], game=game, mode='paper', iterations=50
  )
  assert np.isfinite(result.scores).all()
  assert (result.deleted_scores[:, 0] < result.full_score).all()
  silent = small_net().ablate('relu3', range(10))(IMAGES)[[0, 1], TARGETS]
  np.testing.assert_allclose(result.blank_score, silent, rtol=1e-5)


def test_errors():
  net = small_net()
  with pytest.raises(UserError, match='area 11: relu3 has 10 channels, so 1 to 10'):
    channel_attribution(net, IMAGES, 0, 'relu3', [1, 11])
  with pytest.raises(UserError, match="'mean': its output has no channels at positions"):
    channel_attribution(net, IMAGES, 0, 'mean')
  with pytest.raises(UserError, match='game must be one of'):
    channel_attribution(net, IMAGES, 0, game='keep')


def test_the_counts_are_the_papers_as_far_as_a_layer_has_so_many():
  """ICCV 2019, section 5.1, of the 528 channels of inception4d."""
  shape = jax.ShapeDtypeStruct((1, 14, 14, 528), np.float32)
  net = types.SimpleNamespace(shapes=lambda layers: dict.fromkeys(layers, shape))
  paper = [1, 5, 10, 20, 25, 35, 40, 50, 60, 70, 80, 90, 100]
  paper += [150, 200, 250, 300, 350, 400, 450, 528]
  assert channel_counts(net, 'inception4d', None) == paper
  assert channel_counts(small_net(), 'relu3', None) == [1, 5, 10]
