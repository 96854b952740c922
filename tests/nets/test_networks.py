"""The networks under study: against PyTorch's, and as lists of layers that can be cut anywhere."""

import functools
import json
import math
import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb import nets
from perturb.errors import UserError
from perturb.nets import network as network_module
from perturb.nets.network import INPUT
from perturb.nets.zoo import NETWORKS, fit
from tests import fixtures

RECORDED = pathlib.Path(__file__).parents[1] / 'recorded'

# The networks, narrow: the same layers, and quick to run one by one.
NARROW = {
  'alexnet': nets.AlexNet(
    convs=((4, 11, 4, 2, True), (6, 5, 1, 2, True), *[(4, 3, 1, 1, False)] * 2, (4, 3, 1, 1, True)),
    window=1,
    hidden=6,
    classes=5,
  ),
  'vgg16': nets.VGG(groups=((2, 2), (3, 3), (4, 4, 4), (4, 4, 4), (4, 4, 4)), hidden=6, classes=5),
  'vgg16_bn': nets.VGG(
    groups=((2, 2), (3, 3), (4, 4, 4), (4, 4, 4), (4, 4, 4)), hidden=6, classes=5, batch_norm=True
  ),
  'googlenet': nets.GoogLeNet(divisor=16, classes=5),
  'resnet50': nets.ResNet(depths=(1, 2, 1), width=4, classes=5),
  'resnet50_caffe': nets.ResNet(depths=(1, 1, 1), width=4, classes=5, caffe=True),
  'resnet18': nets.ResNet(depths=(1, 2), width=4, classes=5, basic=True),
  'small_resnet': nets.ResNet(depths=(1, 1), width=4, classes=5, basic=True, small=True),
  'efficientnet_lite0': nets.EfficientNetLite(
    blocks=((1, 3, 1, 1, 4), (2, 5, 2, 2, 6), (2, 3, 1, 2, 8)), stem=4, head=8, classes=5
  ),
  'vgg_f': nets.VGGF(widths=(4, 6, 4, 4, 4), hidden=6, classes=5),
  'mnist': nets.MNISTNet(),
  'flower': nets.FlowerNet(),
}
SIDES = {
  'vgg_f': 224,
  'mnist': 28,
  'flower': 112,
  'googlenet': 48,
  'efficientnet_lite0': 20,
  'small_resnet': 16,
}


@functools.cache
def narrow(name):
  """(network, variables, images): He's weights, and random scales and variances."""
  network = NARROW[name]
  side, channels = SIDES.get(name, 64), 1 if name == 'mnist' else 3
  random = np.random.RandomState(0)

  def value(path, leaf):
    if leaf.ndim > 1:
      return random.randn(*leaf.shape).astype('f4') * np.sqrt(
        2 / np.prod(leaf.shape[:-1]), dtype='f4'
      )
    if path[-1].key in ('bias', 'mean'):
      return np.zeros(leaf.shape, np.float32)
    return 1 + 0.2 * random.rand(*leaf.shape).astype('f4')

  x = jnp.asarray(random.randn(2, side, side, channels), jnp.float32)
  shapes = jax.eval_shape(network.init, jax.random.key(0), x)  # Compiling `init` takes a minute.
  return network, jax.tree_util.tree_map_with_path(value, shapes), x


@pytest.mark.parametrize(
  'name', sorted(p.stem for p in RECORDED.glob('*.npz') if p.stem in NETWORKS)
)
def test_logits_and_activations_are_pytorchs(name):
  recorded = np.load(RECORDED / f'{name}.npz')
  state = fixtures.torch_like_state(json.loads(str(recorded['shapes'])))
  net = fit(NETWORKS[name], state)
  layers = [key for key in recorded.files if key not in ('shapes', 'logits')]
  x = jnp.asarray(fixtures.noise_images(1, fixtures.INPUTS.get(name, (224, 224, 3))))
  outputs = net.activations(x, [*layers, net.network.logits])
  assert len(layers) == 3
  for key in (*layers, 'logits'):
    value = np.asarray(outputs[net.network.logits if key == 'logits' else key])
    value = value[:, -3:, -3:] if value.ndim == 4 else value
    expected = recorded[key].reshape(value.shape)
    # Activations of these weights are of order one; where they are larger, so is rounding.
    np.testing.assert_allclose(value, expected, atol=1e-4 * max(1, expected.std()), err_msg=key)


def test_every_network_is_recorded():
  same_at_even_sizes = {'vgg16_caffe'}
  assert {p.stem for p in RECORDED.glob('*.npz')} >= set(NETWORKS) - same_at_even_sizes


@pytest.mark.parametrize('name', NETWORKS)
def test_below_and_above_each_layer_together_are_the_whole(name, monkeypatch):
  """For every layer of the full network, with a formula of its name in place of its arithmetic."""

  def formula(module, inputs, _rules):
    assert not any(isinstance(value, jax.Array) for value in inputs)
    weighted = sum((i + 2) * value for i, value in enumerate(inputs))
    return math.sin(weighted + zlib.crc32(module.name.encode()))

  monkeypatch.setattr(network_module, '_run', formula)
  network = NETWORKS[name].network
  layers = (INPUT, *network.layer_names())
  values = network.apply({}, 0.5, stop=layers)
  assert len(set(values.values())) == len(layers)
  for layer in layers:
    below = network.apply({}, 0.5, stop=network.cut(layer))
    assert layer in below
    assert network.apply({}, below, stop='prob') == values['prob'], layer


@pytest.mark.parametrize('name', NARROW)
def test_the_part_above_the_part_below_is_the_whole(name):
  network, variables, x = narrow(name)
  names = network.layer_names()
  cut = network.cut(names[len(names) // 2])
  below = jax.jit(lambda v, x: network.apply(v, x, stop=(*cut, names[-2])))(variables, x)
  whole = below.pop(names[-2])
  above = jax.jit(network.apply)(variables, below)
  np.testing.assert_allclose(above, whole, atol=1e-5 * float(jnp.abs(whole).max()))


def test_the_part_below_a_layer_is_what_the_whole_computes_there():
  network, variables, x = narrow('resnet50')
  layers = ('layer2.1.conv2', 'res3b')
  among = jax.jit(lambda x: network.apply(variables, x, stop=(*layers, 'prob')))(x)
  for layer in layers:
    alone = jax.jit(lambda x, layer=layer: network.apply(variables, x, stop=layer))(x)
    np.testing.assert_allclose(alone, among[layer], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ('name', 'alias', 'layer'),
  [
    ('vgg16', 'conv5_3', 'features.29'),
    ('vgg16', 'pool5', 'features.30'),
    ('vgg16', 'fc8', 'classifier.6'),
    ('vgg16_bn', 'conv5_3', 'features.42'),
    ('alexnet', 'conv5', 'features.11'),
    ('alexnet', 'fc6', 'classifier.2'),
    ('googlenet', 'inception_4d/output', 'inception4d'),
    ('googlenet', 'mixed4d', 'inception4d'),
    ('resnet50', 'layer3', 'layer3.5'),
    ('resnet50', 'res5c', 'layer4.2'),
    ('efficientnet_lite0', '_blocks.4', 'blocks.4'),
    ('vgg_f', 'norm2', 'norm2'),
  ],
)
def test_the_papers_names_and_torchvisions_are_accepted(name, alias, layer):
  assert NETWORKS[name].network.resolve(alias) == layer


@pytest.mark.parametrize('name', NETWORKS)
def test_names_are_unique_and_aliases_lead_to_layers(name):
  network = NETWORKS[name].network
  layers, aliases = network.layer_names(), network.aliases()
  assert len(set(layers)) == len(layers)
  assert not set(aliases) & set(layers) - {key for key, value in aliases.items() if key == value}
  assert set(aliases.values()) <= set(layers)


def test_the_papers_count_of_layers():
  assert [len(NETWORKS[n].network.layer_names()) for n in ('vgg_f', 'mnist', 'flower')] == [
    21,
    8,
    10,
  ]
  # The facts' count of VGG-F's channels up to the last but two layers.
  network = NETWORKS['vgg_f'].network
  names = tuple(network.layer_names()[:19])
  shapes = jax.eval_shape(
    lambda x: network.init_with_output(jax.random.key(0), x, stop=names)[0],
    jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32),
  )
  assert sum(shapes[name].shape[-1] for name in names) == 19456


def test_a_mistyped_layer_gets_its_near_matches():
  for network, typed, near in (
    ('vgg16', 'conv53', 'conv5_3'),
    ('googlenet', 'inception4', 'inception4d'),
    ('resnet50', 'layer3.0.conv4', 'layer3.0.conv1'),
    ('efficientnet_lite0', 'block.3', 'blocks.3'),
  ):
    with pytest.raises(UserError, match=f"no layer '{typed}'.*'{near}'"):
      NETWORKS[network].network.resolve(typed)


def test_a_start_that_other_branches_bypass_says_what_else_is_needed():
  net, _ = bound('resnet50')
  with pytest.raises(
    UserError, match=r"layer3\.0\.conv1 alone.*\('layer2\.1', 'layer3\.0\.conv1'\)"
  ):
    net.part(start='layer3.0.conv1')
  with pytest.raises(UserError, match=r'layer1\.0 cannot be computed from layer2\.0'):
    net.part(start='layer2.0', stop='layer1.0')


@pytest.mark.parametrize('name', ['alexnet', 'vgg16', 'resnet50', 'googlenet', 'vgg_f'])
def test_class_maps_are_the_network_at_every_window(name):
  """On a larger image, a map of logits; each one is the ordinary head's on its window."""
  network, variables, _ = narrow(name)
  maps = network.clone(class_maps=True)
  window = {'alexnet': 1, 'vgg_f': 6}.get(name, 7)
  last = {'resnet50': 'layer3.0', 'googlenet': 'inception5b'}.get(name, 'pool5')
  channels = variables['params'][network.logits]['kernel'].shape[0]
  if name in ('alexnet', 'vgg16', 'vgg_f'):
    first = next(
      key for key in ('classifier.1', 'classifier.0', 'fc6') if key in variables['params']
    )
    channels = variables['params'][first]['kernel'].shape[2]
  h = jnp.asarray(np.random.RandomState(0).rand(1, window + 1, window + 2, channels), jnp.float32)
  logits = maps.apply(variables, h, start=last)
  assert logits.shape == (1, 2, 3, 5)
  for i, j in ((0, 0), (1, 2)):
    crop = h[:, i : i + window, j : j + window]
    alone = network.apply(variables, crop, start=last)
    np.testing.assert_allclose(logits[:, i, j], alone, atol=1e-5)
    np.testing.assert_allclose(maps.apply(variables, crop, start=last)[:, 0, 0], alone, atol=1e-5)


def test_parameters_of_a_papers_layer_are_its_convolutions():
  network = NETWORKS['vgg16_bn'].network
  assert network.parameter_layer('conv5_3') == 'features.40'
  assert NETWORKS['googlenet'].network.parameter_layer('conv2') == 'conv2.conv'
  with pytest.raises(UserError, match='inception4d is not the output of one layer'):
    NETWORKS['googlenet'].network.parameter_layer('inception4d')


def bound(name):
  network, variables, x = narrow(name)
  look = nets.PREPROCESSINGS['unit']
  names = tuple(f'class {i}' for i in range(network.classes))
  return nets.Pretrained(network, variables, x.shape[1], look, names), x


def test_gradients_at_layers_are_those_of_the_part_above_and_of_differences():
  net, x = bound('resnet50')
  layers = ('input', 'layer2.1', 'layer3.0.conv1', 'fc')
  targets = jnp.asarray([1, 3])
  score, activations, gradients = net.gradients(x, layers, targets)
  logits = net(x)
  np.testing.assert_allclose(score, logits[jnp.arange(2), targets], rtol=1e-5)
  np.testing.assert_allclose(gradients['fc'], np.eye(5)[targets], atol=1e-6)
  above = jax.jit(jax.grad(lambda h: net.part(start='layer2.1')(h)[jnp.arange(2), targets].sum()))
  np.testing.assert_allclose(
    gradients['layer2.1'], above(activations['layer2.1']), rtol=1e-4, atol=1e-6
  )
  image = jax.jit(jax.grad(lambda x: net(x)[jnp.arange(2), targets].sum()))(x)
  np.testing.assert_allclose(gradients['input'], image, rtol=1e-4, atol=1e-6)
  per_class = net.gradients(x, ['fc'], lambda logits: 2 * logits[:, 4])
  np.testing.assert_allclose(per_class.gradients['fc'], 2 * np.eye(5)[[4, 4]], atol=1e-6)
  # Inside a block, against the change of the score along a small step.
  step = 1e-2 * jnp.sign(gradients['layer3.0.conv1'])
  cut = net.network.cut('layer3.0.conv1')
  below = net.activations(x, cut)

  def at(sign):
    moved = below | {'layer3.0.conv1': below['layer3.0.conv1'] + sign * step}
    return jax.jit(net.network.apply)(net.variables, moved)[jnp.arange(2), targets]

  slope = (at(1) - at(-1)) / 2
  expected = (gradients['layer3.0.conv1'] * step).sum((1, 2, 3))
  np.testing.assert_allclose(slope, expected, rtol=0.05)


def test_ablated_filters_are_silent_and_the_rest_is_not():
  net, x = bound('vgg16')
  ablated = net.ablate('conv3_2', [1]).ablate('conv3_2', [2])
  before, after = (n.activations(x, ['conv3_2', 'conv3_3']) for n in (net, ablated))
  np.testing.assert_array_equal(after['conv3_2'][..., 1:3], 0)
  np.testing.assert_array_equal(after['conv3_2'][..., [0, 3]], before['conv3_2'][..., [0, 3]])
  assert not np.allclose(after['conv3_3'], before['conv3_3'])
  by_hand = net.part(start='conv3_2')(before['conv3_2'].at[..., 1:3].set(0))
  np.testing.assert_allclose(ablated(x), by_hand, atol=1e-6)
  # Nothing flows back through a silent filter: to the convolution below its ReLU.
  gradient = np.asarray(ablated.gradients(x, ['features.12'], 0).gradients['features.12'])
  assert np.abs(gradient[..., 1:3]).max() == 0 < np.abs(gradient[..., [0, 3]]).max()
  with pytest.raises(UserError, match='conv3_2 has filters 0 to 3, not 4'):
    net.ablate('conv3_2', [4])


def test_random_weights_of_a_layer_change_what_is_above_it_alone():
  net, x = bound('vgg16')
  layer = net.network.parameter_layer('conv4_1')
  params = dict(net.variables['params'])
  params[layer] = jax.tree.map(lambda p: p[::-1], params[layer])
  changed = nets.Pretrained(
    net.network, {**net.variables, 'params': params}, net.size, net.preprocessing, net.class_names
  )
  before, after = (n.activations(x, ['pool3', 'conv4_1']) for n in (net, changed))
  np.testing.assert_array_equal(before['pool3'], after['pool3'])
  assert not np.allclose(before['conv4_1'], after['conv4_1'])


@pytest.mark.parametrize('name', nets.PREPROCESSINGS)
def test_preprocessing_is_inverted(name):
  look = nets.PREPROCESSINGS[name]
  image = np.random.RandomState(0).randint(0, 256, (5, 6, 3), np.uint8)
  if look.gray:
    image = image[..., :1].repeat(3, -1)
  x = look.apply(image)
  assert x.dtype == np.float32 and x.shape == (5, 6, 1 if look.gray else 3)
  np.testing.assert_array_equal(look.invert(x), image)


def test_caffes_preprocessing_by_hand():
  red = np.array([255, 0, 0], np.uint8)
  expected = [0 - 103.939, 0 - 116.779, 255 - 123.68]  # Blue first, 0-255, the mean subtracted.
  np.testing.assert_allclose(nets.PREPROCESSINGS['caffe'].apply(red), expected, atol=1e-4)


def test_two_names_of_a_layer_have_the_same_gradient():
  """VGG's paper names layers that torchvision numbers."""
  net, images = bound('vgg16')
  alias, layer = next((a, b) for a, b in net.network.aliases().items() if a.startswith('conv5_3'))
  x = images[:1]
  alone = net.gradients(x, [layer], 2).gradients[layer]
  both = net.gradients(x, [alias, layer], 2)
  assert np.abs(alone).max() > 0
  for name in (alias, layer):
    np.testing.assert_array_equal(both.gradients[name], alone)
  np.testing.assert_array_equal(both.activations[alias], both.activations[layer])
