"""Extract and aggregate, layer combination and meta-saliency: what defines them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb import nets
from perturb.data.digits import load_digits
from perturb.errors import UserError
from perturb.methods import class_activation
from perturb.methods.backprop import (
  aggregate_channels,
  extract_aggregate,
  gradient,
  guided_backprop,
  linear_approximation,
  norm_grad,
  selective_norm_grad,
)
from perturb.methods.combine_layers import (
  combine,
  combine_layers,
  feature_spread,
  linear_weights,
  probe_accuracy,
  uniform_weights,
)
from perturb.methods.excitation import contrastive_excitation_backprop, excitation_backprop
from perturb.methods.meta_saliency import meta_saliency, training_step
from perturb.nets.layers import Conv, Dense, GlobalMean, Relu
from perturb.nets.network import Layers, Network
from perturb.ops.heatmaps import normalise
from perturb.training.optimisers import adam, cosine
from perturb.training.recipe import Recipe
from perturb.training.state import start, trained
from perturb.training.steps import make_epoch
from tests.small_net import IMAGES, TARGETS, small_net


def unfolded(h, window, stride, padding):
  """Patches `[B, h, w, N N c]`, in the order of a kernel `[N, N, c]`."""
  low, high = padding
  padded = np.pad(h, ((0, 0), (low, high), (low, high), (0, 0)))
  rows = (padded.shape[1] - window) // stride + 1
  columns = (padded.shape[2] - window) // stride + 1
  parts = [
    padded[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
    for i in range(window)
    for j in range(window)
  ]
  return np.stack(parts, -2).reshape(*parts[0].shape[:3], -1)


def of_matrix(outer, aggregate):
  flat = outer.reshape(*outer.shape[:3], -1)
  return aggregate_channels(jnp.asarray(flat), aggregate)


@pytest.mark.parametrize('aggregate', ['sum', 'max', 'norm', 'selective'])
@pytest.mark.parametrize('window', [1, 3])
def test_virtual_convolutions_aggregate_the_whole_matrix(aggregate, window):
  net = small_net()
  passed = net.gradients(IMAGES, ['relu2'], TARGETS)
  h, g = np.asarray(passed.activations['relu2']), np.asarray(passed.gradients['relu2'])
  pad = (window // 2, window // 2)
  outer = g[..., :, None] * unfolded(h, window, 1, pad)[..., None, :]
  heat = extract_aggregate(
    net,
    IMAGES,
    TARGETS,
    'relu2',
    extract='conv',
    aggregate=aggregate,
    window=window,
    resize=False,
  )
  np.testing.assert_allclose(heat, of_matrix(outer, aggregate), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize('aggregate', ['sum', 'max', 'norm', 'selective'])
@pytest.mark.parametrize(
  ('layer', 'below', 'stride'), [('conv1', 'input', 2), ('conv2', 'relu1', 1)]
)
def test_contributions_of_a_real_convolution_sum_to_its_weights_gradient(
  layer, below, stride, aggregate
):
  net = small_net()
  passed = net.gradients(IMAGES, [below, layer], TARGETS)
  h, g = np.asarray(passed.activations[below]), np.asarray(passed.gradients[layer])
  outer = unfolded(h, 3, stride, (1, 1))[..., :, None] * g[..., None, :]

  def score(params):
    moved = dataclasses.replace(net, variables={'params': params})
    return jnp.take_along_axis(moved(IMAGES), TARGETS[:, None], axis=1).sum()

  slope = jax.grad(score)(net.variables['params'])[layer]
  np.testing.assert_allclose(
    outer.sum((0, 1, 2)).reshape(slope['kernel'].shape), slope['kernel'], rtol=1e-3, atol=1e-6
  )
  np.testing.assert_allclose(g.sum((0, 1, 2)), slope['bias'], rtol=1e-3, atol=1e-6)
  heat = extract_aggregate(
    net, IMAGES, TARGETS, layer, extract='real', aggregate=aggregate, resize=False
  )
  np.testing.assert_allclose(heat, of_matrix(outer, aggregate), rtol=1e-3, atol=1e-7)


class DepthwiseNet(Network):
  """A depthwise convolution of 8 channels between two others."""

  def build_layers(self):
    layers = Layers()
    layers.add('conv1', functools.partial(Conv, 8, 3, 2, 1))
    layers.add('depthwise', functools.partial(Conv, 0, 3, 1, 1, depthwise=True))
    layers.add('relu', Relu)
    layers.add('conv2', functools.partial(Conv, 6, 1))
    layers.add('mean', GlobalMean)
    layers.add('fc', functools.partial(Dense, 5))
    return layers


@functools.cache
def depthwise_net():
  network = DepthwiseNet()
  random = np.random.RandomState(5)
  shapes = jax.eval_shape(network.init, jax.random.key(0), IMAGES)
  variables = jax.tree.map(lambda leaf: random.randn(*leaf.shape).astype('f4'), shapes)
  return dataclasses.replace(small_net(), network=network, variables=variables)


@pytest.mark.parametrize('aggregate', ['sum', 'max', 'norm', 'selective'])
def test_contributions_of_a_depthwise_convolution(aggregate):
  net = depthwise_net()
  passed = net.gradients(IMAGES, ['conv1', 'depthwise'], TARGETS)
  h, g = np.asarray(passed.activations['conv1']), np.asarray(passed.gradients['depthwise'])
  patches = unfolded(h, 3, 1, (1, 1)).reshape(*h.shape[:3], 9, h.shape[-1])
  heat = extract_aggregate(
    net, IMAGES, TARGETS, 'depthwise', extract='real', aggregate=aggregate, resize=False
  )
  np.testing.assert_allclose(
    heat, of_matrix(patches * g[..., None, :], aggregate), rtol=1e-3, atol=1e-6
  )


def test_scaling_contributions_sum_to_the_gradient_of_a_scale():
  net = small_net()

  def score(scale):
    top = net.part(start='relu2')
    out = top(scale * net.part(stop='relu2')(IMAGES))
    return jnp.take_along_axis(out, TARGETS[:, None], axis=1).sum()

  heat = linear_approximation(net, IMAGES, TARGETS, 'relu2', resize=False)
  slope = jax.grad(score)(jnp.ones(12))
  np.testing.assert_allclose(heat.sum(), slope.sum(), rtol=1e-4)


def test_norm_grad_is_a_product_of_norms():
  net = small_net()
  passed = net.gradients(IMAGES, ['relu3'], TARGETS)
  norms = [np.linalg.norm(v['relu3'], axis=-1) for v in (passed.activations, passed.gradients)]
  np.testing.assert_allclose(
    norm_grad(net, IMAGES, TARGETS, resize=False), norms[0] * norms[1], rtol=1e-4
  )


@pytest.mark.parametrize('method', [norm_grad, selective_norm_grad])
def test_a_norm_grad_can_be_differentiated_where_it_is_zero(method):
  """Black pixels have norms of exactly zero."""
  x = jnp.asarray(IMAGES[:1]).at[:, :16].set(0)

  def total(x):
    return method(lambda x: jnp.square(x).sum((1, 2)), x, 0).sum()

  slope = jax.grad(total)(x)
  assert np.isfinite(slope).all() and float(jnp.abs(slope).max()) > 0


def test_below_a_global_mean_grad_cam_is_linear_approximation_and_cam():
  net = small_net()
  slope = net.gradients(IMAGES, ['relu3'], TARGETS).gradients['relu3']
  np.testing.assert_allclose(slope, slope[:, :1, :1] * np.ones((1, 8, 8, 1)), rtol=1e-5)
  linear = linear_approximation(net, IMAGES, TARGETS, resize=False)
  grad_cam = class_activation.grad_cam(net, IMAGES, TARGETS, resize=False)
  np.testing.assert_allclose(np.maximum(linear, 0), grad_cam, atol=1e-6)
  class_map = class_activation.cam(net, IMAGES, TARGETS, resize=False)
  np.testing.assert_allclose(class_map / 64, linear, atol=1e-6)
  bias = net.variables['params']['fc']['bias'][TARGETS]
  logits = np.asarray(net(IMAGES))[[0, 1], TARGETS]
  np.testing.assert_allclose(class_map.mean((1, 2)) + bias, logits, rtol=1e-5)


def test_cam_needs_a_global_mean():
  net = nets.load('mnist', 'random')
  with pytest.raises(UserError, match=r'CAM needs a global mean .* MNISTNet .* grad_cam'):
    class_activation.cam(net, np.zeros((28, 28, 1)), 0)


def positive_net():
  """`small_net` with no negative weight or bias: every ReLU is the identity."""
  net = small_net()
  params = jax.tree.map(np.abs, net.variables['params'])
  return dataclasses.replace(net, variables={'params': params})


def test_guided_backprop_is_the_gradient_of_a_positive_network():
  net = positive_net()
  np.testing.assert_allclose(
    guided_backprop(net, IMAGES, TARGETS), gradient(net, IMAGES, TARGETS), rtol=1e-5
  )


def test_excitation_keeps_its_mass_down_to_a_non_negative_image():
  for layer in ('relu3', 'relu1', 'input'):
    heat = excitation_backprop(small_net(), IMAGES, TARGETS, layer, resize=False)
    assert float(heat.min()) >= 0
    np.testing.assert_allclose(heat.sum((1, 2)), 1, rtol=1e-4)


def test_contrastive_excitation_by_formula():
  net = small_net()
  h = np.asarray(net.activations(IMAGES, ['relu3'])['relu3'])
  means = h.mean((1, 2))
  weights = np.asarray(net.variables['params']['fc']['kernel'])[:, TARGETS].T

  def winning(w):
    p = means * np.maximum(w, 0)
    return p / p.sum(1, keepdims=True)

  difference = winning(weights) - winning(-weights)
  share = h / np.maximum(h.sum((1, 2), keepdims=True), 1e-20)
  expected = np.maximum((share * difference[:, None, None]).sum(-1), 0)
  heat = contrastive_excitation_backprop(net, IMAGES, TARGETS, resize=False)
  np.testing.assert_allclose(heat, expected, atol=1e-6)
  lower = contrastive_excitation_backprop(net, IMAGES, TARGETS, 'relu1', resize=False)
  assert lower.shape == (2, 16, 16)
  assert float(lower.max()) > 0


# Combination of layers.


def test_weights_of_the_layers():
  np.testing.assert_allclose(uniform_weights(4).sum(), 1)
  np.testing.assert_allclose(linear_weights(4), [0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize('how', ['sum', 'product'])
def test_combination(how):
  maps = jnp.asarray(np.random.RandomState(0).rand(3, 2, 8, 8), jnp.float32)
  alone = combine(maps[:1], [7.0], how)
  np.testing.assert_allclose(alone, normalise(maps[0]), atol=1e-6)
  scaled = combine(3 * maps + 5, [1, 2, 1], how)  # Maps are scaled to [0, 1] each.
  np.testing.assert_allclose(scaled, combine(maps, [0.25, 0.5, 0.25], how), atol=1e-5)
  np.testing.assert_allclose(
    combine(maps, [1, 0, 1], how), combine(maps[::2], [1, 1], how), atol=1e-6
  )
  low, high = np.asarray(normalise(maps)).min(0), np.asarray(normalise(maps)).max(0)
  both = np.asarray(combine(maps, [1, 1, 1], how))
  assert (both >= low - 1e-6).all() and (both <= high + 1e-6).all()
  with pytest.raises(UserError, match='weights must be 3 numbers'):
    combine(maps, [1, 2], how)


def test_layers_in_one_call_are_the_layers_one_by_one():
  net, layers = small_net(), ['relu1', 'relu2', 'relu3']
  together = combine_layers(selective_norm_grad, net, IMAGES, TARGETS, layers, linear_weights(3))
  maps = jnp.stack([selective_norm_grad(net, IMAGES, TARGETS, layer) for layer in layers])
  np.testing.assert_allclose(together, combine(maps, linear_weights(3)), atol=1e-5)


def test_feature_spread_and_probe_accuracy_tell_layers_that_separate_classes():
  random = np.random.RandomState(0)
  labels = np.repeat([0, 1], 12)
  # Class 1 is brighter by less than the noise of a pixel and more than that of a mean.
  images = random.rand(24, 32, 32, 3).astype(np.float32) * 0.5 + 0.1 * labels[:, None, None, None]
  net = small_net()
  spread = feature_spread(net, images, ['relu1', 'relu3'])
  means = net.activations(images, ['relu1'])['relu1'].mean((1, 2))
  np.testing.assert_allclose(
    spread[0], np.linalg.norm(means - means.mean(0), axis=1).mean(), rtol=1e-4
  )
  assert probe_accuracy(net, images, labels, ['relu1'])[0] == 1
  held_out = probe_accuracy(net, images, labels, ['relu1'], test=(images, 1 - labels))
  assert held_out[0] == 0


# Meta-saliency.


def test_no_step_changes_nothing():
  net = small_net()
  np.testing.assert_allclose(
    meta_saliency(linear_approximation, net, IMAGES, TARGETS, epsilon=0.0, layer='relu2'),
    linear_approximation(net, IMAGES, TARGETS, 'relu2'),
    rtol=1e-4,
    atol=1e-7,
  )


def test_each_image_takes_its_own_step_of_twice_epsilon_in_the_papers_mode():
  net = small_net()
  stepped = training_step(net, IMAGES[1:], jnp.asarray(TARGETS[1:]), 0.02)
  expected = norm_grad(stepped, IMAGES[1:], TARGETS[1:])
  for mode, epsilon in (('paper', 0.01), ('released', 0.02)):
    heat = meta_saliency(norm_grad, net, IMAGES, TARGETS, epsilon=epsilon, mode=mode)
    np.testing.assert_allclose(heat[1:], expected, rtol=1e-4, atol=1e-7)
  back = meta_saliency(norm_grad, net, IMAGES, TARGETS, epsilon=0.01, ascent=True)
  other = training_step(net, IMAGES[1:], jnp.asarray(TARGETS[1:]), -0.02)
  np.testing.assert_allclose(
    back[1:], norm_grad(other, IMAGES[1:], TARGETS[1:]), rtol=1e-4, atol=1e-7
  )


class SmoothNet(Network):
  """No ReLU: the expansion in epsilon needs derivatives."""

  def build_layers(self):
    layers = Layers()
    layers.add('conv1', functools.partial(Conv, 8, 3, 2, 1, use_bias=True))
    layers.add('mean', GlobalMean)
    layers.add('fc', functools.partial(Dense, 5))
    return layers


def test_the_step_is_that_of_the_cross_entropy_and_second_order():
  """grad l(theta - 2 eps grad l) is grad of l(theta - eps grad l) up to eps^2 (eq. 4-6)."""
  net = dataclasses.replace(small_net(), network=SmoothNet())
  x, targets = jnp.asarray(IMAGES[:1]), jnp.asarray(TARGETS[:1])

  def loss(params):
    out = dataclasses.replace(net, variables={'params': params})(x)
    return -jax.nn.log_softmax(out)[0, TARGETS[0]]

  params = {
    'conv1': jax.random.normal(jax.random.key(0), (3, 3, 3, 8)),
    'fc': jax.random.normal(jax.random.key(1), (8, 5)),
  }
  params = {name: {'kernel': k, 'bias': jnp.zeros(k.shape[-1])} for name, k in params.items()}
  net = dataclasses.replace(net, variables={'params': params})

  def gap(epsilon):
    def ahead(p):
      return loss(jax.tree.map(lambda w, g: w - epsilon * g, p, jax.grad(loss)(p)))

    stepped = training_step(net, x, targets, 2 * epsilon).variables['params']
    difference = jax.tree.map(jnp.subtract, jax.grad(ahead)(params), jax.grad(loss)(stepped))
    return np.sqrt(sum(float(jnp.square(d).sum()) for d in jax.tree.leaves(difference)))

  assert 3 < gap(0.004) / gap(0.002) < 5
  before, after = (loss(n.variables['params']) for n in (net, training_step(net, x, targets, 0.02)))
  assert after < before


def rank_correlation(maps, others):
  """Spearman's, of each pair of maps."""
  ranks = [np.argsort(np.argsort(np.asarray(m).reshape(len(m), -1))) for m in (maps, others)]
  return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(*ranks, strict=True)])


def test_meta_saliency_makes_the_least_likely_classs_map_less_like_the_likeliests():
  examples = load_digits()
  images, labels = examples.images[::8], examples.labels[::8]
  net = nets.load('mnist', 'random')
  x = jnp.asarray(net.preprocess(images))
  rule = adam(cosine(1e-3, 4 * len(x) // 50))
  epoch, state = make_epoch(net, rule, Recipe(), 50), start(net, rule, Recipe())
  for _ in range(4):
    state, _ = epoch(state, x, jnp.asarray(labels), jnp.arange(len(x)), jax.random.key(0))
  net = trained(net, state)
  some = x[::25]
  scores = np.asarray(net(some))
  most, least = scores.argmax(1), scores.argmin(1)

  def similarity(method, **options):
    maps = [method(net, some, classes, layer='conv1', **options) for classes in (most, least)]
    return np.abs(rank_correlation(*maps)).mean()

  meta = functools.partial(meta_saliency, linear_approximation)
  assert similarity(meta) < 0.9 * similarity(linear_approximation)
