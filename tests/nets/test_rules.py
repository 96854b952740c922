"""Backward rules against hand-computed networks and the properties that define them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import perturb
from perturb import nets
from perturb.errors import UserError
from perturb.nets import rules
from perturb.nets.layers import (
  AdaptiveMeanPool,
  Add,
  BatchNorm,
  Conv,
  Dense,
  GlobalMean,
  LocalResponseNorm,
  MaxPool,
  MeanPool,
  Relu,
  WindowDense,
)
from perturb.nets.network import Layers, Network
from tests.small_net import IMAGES, small_net


class TwoLayers(Network):
  """dense1, relu1, dense2, relu2 on vectors."""

  def build_layers(self):
    layers = Layers()
    layers.add('dense1', functools.partial(Dense, 3))
    layers.add('relu1', Relu)
    layers.add('dense2', functools.partial(Dense, 2))
    layers.add('relu2', Relu)
    return layers


# x W1 = (1, 3, -2), relu -> (1, 3, 0); (1, 3, 0) W2 = (5, 4), relu -> (5, 4).
X = np.array([[1.0, 2.0]])
W1 = np.array([[1.0, -1.0, 2.0], [0.0, 2.0, -2.0]])
W2 = np.array([[2.0, -2.0], [1.0, 2.0], [4.0, 1.0]])
VARIABLES = {
  'params': {
    'dense1': {'kernel': jnp.asarray(W1), 'bias': jnp.zeros(3)},
    'dense2': {'kernel': jnp.asarray(W2), 'bias': jnp.zeros(2)},
  }
}


@pytest.mark.parametrize(
  ('chosen', 'expected'),
  [
    # From p = (1, -1) on relu2. Plain: W2 p = (4, -1, 3), through relu1 (4, -1, 0), W1 -> (5, -2).
    ((), [5, -2]),
    # Guided: p+ = (1, 0); W2 -> (2, 1, 4), where x > 0 (2, 1, 0); W1 -> (1, 2).
    ((rules.guided,), [1, 2]),
    # DeconvNet: p+ = (1, 0); (2, 1, 4) whatever x; W1 -> (2 - 1 + 8, 2 - 8) = (9, -6).
    ((rules.deconvnet,), [9, -6]),
    # Another p would show the sign after dense2; the first rule that answers is the one used.
    ((rules.stride_one, rules.guided, rules.deconvnet), [1, 2]),
  ],
)
def test_guided_and_deconvnet_by_hand(chosen, expected):
  y, back = jax.vjp(lambda x: TwoLayers().apply(VARIABLES, x, stop='relu2', rules=chosen), X)
  np.testing.assert_allclose(y, [[5, 4]])
  np.testing.assert_allclose(back(jnp.asarray([[1.0, -1.0]]))[0], [expected])


def test_excitation_by_hand():
  # p = (1, 0) on dense2. w+ of unit 0: (2, 1, 4); x w+ = (2, 3, 0), shares (0.4, 0.6, 0).
  # Of dense1, unit 0: w+ = (1, 0) -> all of 0.4 to x_0; unit 1: (0, 2) -> 0.6 to x_1.
  _, back = jax.vjp(
    lambda x: TwoLayers().apply(VARIABLES, x, stop='dense2', rules=(rules.excitation,)), X
  )
  np.testing.assert_allclose(back(jnp.asarray([[1.0, 0.0]]))[0], [[0.4, 0.6]], rtol=1e-6)


@pytest.mark.parametrize('size', [6, 7])
@pytest.mark.parametrize(
  'module',
  [
    Conv(5, 3, 1, 1, use_bias=True),
    Conv(5, 3, 2, 1),
    Conv(5, 3, 2),
    Conv(0, 3, 1, depthwise=True),
    WindowDense(5, 6, slide=True),
    MeanPool(3),
    AdaptiveMeanPool(4),
    GlobalMean(),
    MaxPool(3, 2, 1),
    BatchNorm(),
    LocalResponseNorm(),
    Relu(),
  ],
  ids=lambda module: type(module).__name__ if not isinstance(module, int) else None,
)
def test_excitation_conserves_mass_on_non_negative_inputs(module, size):
  x = jnp.asarray(np.random.RandomState(0).rand(2, size, size, 4) + 0.1, jnp.float32)
  variables = module.init(jax.random.key(0), x)
  shifted = jax.tree.map(lambda v: v + 0.3, variables)  # Something positive for every output.

  def forward(x):
    y = rules.excitation(module, shifted, (x,))
    return module.apply(shifted, x) if y is None else y  # A maximum, a ReLU: the gradient.

  y, back = jax.vjp(forward, x)
  np.testing.assert_allclose(y, module.apply(shifted, x), rtol=1e-6)
  p = jnp.asarray(np.random.RandomState(1).rand(*y.shape), jnp.float32)
  (down,) = back(p)
  assert down.min() >= 0
  axes = (1, 2, 3)
  np.testing.assert_allclose(down.sum(axes), p.reshape(2, -1).sum(1), rtol=1e-4)


def test_excitation_shares_a_residual_sum_and_caffes_gives_all_to_the_branch():
  branch, shortcut = jnp.asarray([1.0, 0.0]), jnp.asarray([3.0, 0.0])
  p = jnp.asarray([2.0, 1.0])
  for rule, expected in (
    (rules.excitation, ([0.5, 0], [1.5, 0])),
    (rules.excitation_caffe, ([2, 1], [0, 0])),
  ):
    y, back = jax.vjp(lambda a, b, rule=rule: rule(Add(), {}, (a, b)), branch, shortcut)
    np.testing.assert_array_equal(y, [4, 0])
    for got, wanted in zip(back(p), expected, strict=True):
      np.testing.assert_allclose(got, wanted)


class Strided(Network):
  """One strided convolution."""

  stride: int = 2
  kernel: int = 3
  padding: int = 1

  def build_layers(self):
    layers = Layers()
    layers.add('conv', functools.partial(Conv, 2, self.kernel, self.stride, self.padding))
    return layers


def sent_back(network, variables, x, p, *chosen):
  """(output, signal at the image) of one strided convolution."""

  @jax.jit
  def both(x, p):
    y, back = jax.vjp(lambda x: network.apply(variables, x, stop='conv', rules=chosen), x)
    return y, back(p)[0]

  return both(x, p)


@pytest.mark.parametrize(
  ('size', 'kernel', 'stride', 'padding'),
  [(11, 3, 2, 1), (12, 7, 2, 0), (13, 11, 4, 2), (12, 2, 3, 0), (12, 3, 1, 1)],
)
def test_stride_one_keeps_the_size_of_the_input(size, kernel, stride, padding):
  network = Strided(kernel=kernel, stride=stride, padding=padding)
  x = jnp.asarray(np.random.RandomState(1).randn(1, size, size, 3), jnp.float32)
  variables = network.init(jax.random.key(0), x)
  outputs = (size + 2 * padding - kernel) // stride + 1
  p = jnp.asarray(np.random.RandomState(0).rand(1, outputs, outputs, 2), jnp.float32)
  y, signal = sent_back(network, variables, x, p, rules.stride_one)
  plain_y, plain = sent_back(network, variables, x, p)
  np.testing.assert_array_equal(y, plain_y)
  assert signal.shape == x.shape
  if stride == 1:
    np.testing.assert_array_equal(signal, plain)
  # By the definition: resample to A + 2 O - M + 1, then the transpose of the same filters.
  grown = size + 2 * padding - kernel + 1
  dense = Strided(kernel=kernel, stride=1, padding=padding)
  expected = sent_back(dense, variables, x, rules.nearest(p, grown, grown))[1]
  np.testing.assert_allclose(signal, expected, atol=1e-5)


def test_nearest_neighbours_are_the_same_from_both_ends():
  """So that a heatmap is not moved; but for a tie between two pixels, as 2 to 3."""
  values = jnp.arange(27.0)[None, :, None, None] * jnp.ones((1, 27, 5, 1))
  grown = rules.nearest(values, 53, 9)
  np.testing.assert_array_equal(grown[:, ::-1, ::-1], rules.nearest(values[:, ::-1, ::-1], 53, 9))
  np.testing.assert_array_equal(rules.nearest(values, 27, 5), values)
  np.testing.assert_array_equal(grown[0, :6, 0, 0], [0, 0, 1, 1, 2, 2])


def test_stride_one_leaves_no_grid():
  """The energy at the frequency of the stride, of a constant signal sent back, vanishes."""
  network = Strided(stride=4, kernel=5, padding=2)
  x = jnp.ones((1, 48, 48, 1))
  variables = network.init(jax.random.key(3), x)

  def grid(*chosen):
    signal = sent_back(network, variables, x, jnp.ones((1, 12, 12, 2)), *chosen)[1]
    image = np.asarray(signal)[0, 8:40, 8:40, 0]  # Away from the border.
    spectrum = np.abs(np.fft.fft2(image)) ** 2
    return spectrum[8, 0] + spectrum[0, 8] + spectrum[8, 8]

  assert grid(rules.stride_one) < 1e-6 * grid()


def test_rules_change_no_output_and_reach_the_image_through_whole_networks():
  x = jnp.asarray(np.random.RandomState(0).randn(1, 48, 48, 3), jnp.float32)
  network = nets.ResNet(depths=(1, 1), width=4, classes=4)
  variables = jax.jit(network.init)(jax.random.key(0), x)
  plain = network.apply(variables, x)
  for name, rule in rules.RULES.items():

    @jax.jit
    def logits_and_signal(x, rule=rule):
      y, back = jax.vjp(lambda x: network.apply(variables, x, rules=(rule,)), x)
      return y, back(jnp.eye(4)[:1])[0]

    y, signal = logits_and_signal(x)
    np.testing.assert_allclose(y, plain, rtol=1e-4, atol=1e-5, err_msg=name)
    assert np.isfinite(signal).all() and np.abs(signal).max() > 0, name


def test_rules_of_a_method_hold_beside_those_of_its_network():
  net = small_net()
  own, bound = perturb.guided_backprop(net, IMAGES, 0, stride_one=True), net.with_rules
  np.testing.assert_array_equal(
    perturb.guided_backprop(bound(rules.stride_one), IMAGES, 0), own, strict=True
  )
  assert np.abs(own - perturb.guided_backprop(net, IMAGES, 0)).max() > 0
  same = perturb.guided_backprop(bound(rules.guided, rules.stride_one), IMAGES, 0)
  np.testing.assert_array_equal(same, own)


@pytest.mark.parametrize(
  ('method', 'rule', 'layer'),
  [
    (perturb.guided_backprop, rules.deconvnet, 'Relu'),
    (perturb.deconvnet, rules.guided, 'Relu'),
    (perturb.excitation_backprop, rules.stride_one, 'Conv'),
    (perturb.contrastive_excitation_backprop, rules.excitation_caffe, 'Conv'),
  ],
)
def test_two_rules_for_one_layer_are_refused(method, rule, layer):
  with pytest.raises(UserError, match=rf'both say how .* through a {layer}; .*with_rules\(\)'):
    method(small_net().with_rules(rule), IMAGES, 0)


@pytest.mark.parametrize(
  'method',
  [
    functools.partial(perturb.extremal_perturbation, areas=[0.1]),
    perturb.meaningful_perturbation,
    perturb.channel_attribution,
  ],
)
def test_what_follows_gradients_refuses_rules(method):
  with pytest.raises(UserError, match=r'follows gradients, .* give it net\.with_rules\(\)'):
    method(small_net().with_rules(rules.guided), IMAGES, 0)
