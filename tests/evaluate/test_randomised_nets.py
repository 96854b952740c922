"""Networks whose layers are drawn anew: which change, from what, and what heatmaps make of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from perturb import nets
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.evaluate.randomised_nets import (
  layers_from,
  parametrised_layers,
  randomisations,
  randomised,
)
from perturb.nets.layers import BatchNorm, Conv, Dense, GlobalMean, Relu
from perturb.nets.network import Layers, Network
from perturb.nets.preprocessing import PREPROCESSINGS
from perturb.nets.pretrained import Pretrained
from tests.small_net import IMAGES, TARGETS, small_net

LAYERS = ('fc', 'conv3', 'conv2', 'conv1')


class Normalised(Network):
  """A convolution, a batch normalisation and three classes."""

  classes: int = 3

  def build_layers(self) -> Layers:
    layers = Layers()
    layers.add('conv', functools.partial(Conv, 64, 3, 2, 1))
    layers.add('norm', BatchNorm)
    layers.add('relu', Relu)
    layers.add('mean', GlobalMean)
    layers.add('fc', functools.partial(Dense, self.classes))
    return layers


@functools.cache
def learned():
  """`Normalised`, with numbers that no initialisation gives."""
  random = np.random.RandomState(0)
  shapes = jax.eval_shape(Normalised().init, jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))
  variables = jax.tree.map(lambda s: jnp.asarray(1 + random.rand(*s.shape), jnp.float32), shapes)
  return Pretrained(Normalised(), variables, 8, PREPROCESSINGS['unit'], ('a', 'b', 'c'))


def changed(net, other, kind='params'):
  """The layers that differ."""
  pairs = (
    (name, net.variables[kind][name], other.variables[kind][name]) for name in net.variables[kind]
  )
  return {
    name
    for name, a, b in pairs
    if any((x != y).any() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
  }


def test_layers_come_from_the_top():
  assert parametrised_layers(small_net()) == LAYERS
  assert parametrised_layers(learned()) == ('fc', 'norm', 'conv')


@pytest.mark.parametrize('mode', ['cascading', 'independent'])
def test_a_layer_and_all_above_it_or_it_alone_is_drawn(mode):
  net, whole = small_net(), randomised(small_net(), LAYERS)
  found = list(randomisations(net, mode=mode))
  assert [layer for layer, _ in found] == list(LAYERS)
  for place, (layer, other) in enumerate(found):
    expected = set(LAYERS[: place + 1]) if mode == 'cascading' else {layer}
    assert changed(net, other) == expected
    assert changed(whole, other) == set(LAYERS) - expected  # Drawn as in any other company.


@pytest.mark.parametrize('mode', ['cascading', 'independent'])
def test_a_traced_depth_gives_the_same_networks(mode):
  net = learned()
  drawn = randomised(net, parametrised_layers(net), 3, statistics='initial')
  of = jax.jit(lambda depth: layers_from(net, drawn, depth, mode=mode).variables)
  for depth, (_, other) in enumerate(randomisations(net, 3, mode=mode, statistics='initial')):
    jax.tree.map(np.testing.assert_array_equal, of(depth), other.variables)


def test_statistics_of_batches_are_kept_or_begin_again():
  net = learned()
  kept = randomised(net, ['norm', 'conv'])
  assert changed(net, kept) == {'norm', 'conv'} and not changed(net, kept, 'batch_stats')
  np.testing.assert_array_equal(kept.variables['params']['norm']['scale'], 1)
  np.testing.assert_array_equal(kept.variables['params']['norm']['bias'], 0)
  begun = randomised(net, ['norm'], statistics='initial')
  assert changed(net, begun) == changed(net, begun, 'batch_stats') == {'norm'}
  np.testing.assert_array_equal(begun.variables['batch_stats']['norm']['mean'], 0)
  np.testing.assert_array_equal(begun.variables['batch_stats']['norm']['var'], 1)
  assert not changed(net, randomised(net, ['conv'], statistics='initial'), 'batch_stats')


def test_all_layers_drawn_are_those_of_a_network_that_has_learned_nothing():
  net = nets.load('mnist', 'random', seed=3)
  again = randomised(net, parametrised_layers(net), 3, statistics='initial')
  jax.tree.map(np.testing.assert_array_equal, again.variables, net.variables)
  other = randomised(net, parametrised_layers(net), 4)
  assert changed(net, other) == set(parametrised_layers(net))
  kernel = np.asarray(other.variables['params']['conv2']['kernel'])  # 5 x 5 x 20 to 50.
  np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (25 * 20)), rtol=0.02)


def test_one_program_serves_them_all():
  traced = []

  @compiled
  def logits(net, x):
    traced.append(net)
    return net(x)

  net = small_net()
  others = [
    other for mode in ('cascading', 'independent') for _, other in randomisations(net, mode=mode)
  ]
  found = np.stack([logits(each, IMAGES) for each in (net, *others)])
  assert len(traced) == 1
  assert len(np.unique(found[:, 0, 0].round(5))) == len(found) - 1  # Both begin with fc alone.


def test_a_gradient_changes_with_the_network_and_edges_do_not():
  """Rank correlations with the maps of the network that has learned."""

  @jax.jit
  def gradient(net, x):
    return jax.grad(lambda x: net(x)[np.arange(2), TARGETS].sum())(x).sum(-1)

  def edges(net, x):  # noqa: ARG001
    return np.abs(np.diff(x.mean(3), axis=2))

  def alike(method, other):
    pairs = zip(
      *(np.asarray(method(n, IMAGES)).reshape(2, -1) for n in (small_net(), other)), strict=True
    )
    return np.array([stats.spearmanr(*pair).statistic for pair in pairs])

  forgotten = [randomised(small_net(), LAYERS, key) for key in range(30)]
  found = np.array([alike(gradient, other) for other in forgotten])
  # Of 60 maps of eight filters each; their correlations spread by 0.13.
  assert abs(found.mean()) < 0.05 and np.abs(found).max() < 0.5
  np.testing.assert_allclose(alike(gradient, small_net()), 1)
  np.testing.assert_allclose(alike(edges, forgotten[0]), 1)


def test_what_does_not_fit_is_named():
  net = small_net()
  with pytest.raises(UserError, match="SmallNet has no layer 'conv9'; did you mean"):
    randomised(net, ['conv9'])
  with pytest.raises(UserError, match='pool2 is not the output of one layer with parameters'):
    randomised(net, ['pool2'])
  assert changed(net, randomised(net, ['relu2'])) == {'conv2'}
  with pytest.raises(UserError, match='statistics must be one of kept, initial'):
    randomised(net, ['fc'], statistics='drawn')
  with pytest.raises(UserError, match='mode must be one of cascading, independent'):
    randomisations(net, mode='all')
  with pytest.raises(UserError, match='randomisation needs a network of perturb.nets'):
    randomisations(lambda x: x.mean((1, 2)))
