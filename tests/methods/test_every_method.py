"""What all methods of the registry have in common, whichever they are."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import perturb
from perturb.errors import PerturbWarning, UserError
from perturb.methods.registry import METHODS, heatmap_of, method_named
from perturb.options import describe
from tests.small_net import IMAGES, small_net

# Three images of different content, the last of them noise, and segments of different number.
X = np.concatenate([IMAGES, np.random.RandomState(0).randn(1, 32, 32, 3)]).astype(np.float32)
TARGETS = np.array([1, 3, 2])
ROWS, COLUMNS = np.indices((32, 32))
SEGMENTS = np.stack([ROWS // 8, ROWS // 16 * 2 + COLUMNS // 16, COLUMNS // 6])

FEW = {
  'smooth_grad': {'samples': 3},
  'integrated_gradients': {'steps': 3},
  'expected_gradients': {'references': X, 'samples': 3},
  'occlusion': {'size': 8, 'stride': 8},
  'variable_occlusion': {'sizes': (6, 12), 'stride': 8, 'softness': 2.0},
  'rise': {'masks': 5},
  'lime': {'samples': 20},
  'meaningful_perturbation': {'iterations': 3},
  'extremal_perturbation': {'areas': [0.1], 'iterations': 4},
}
WITH_SEGMENTS = ('lime', 'minimal_image')
ONLY_NETWORKS = (
  *('guided_backprop', 'deconvnet', 'cam', 'guided_grad_cam'),
  *('excitation_backprop', 'contrastive_excitation_backprop'),
)
TAKES_CHUNK = [name for name in METHODS if 'chunk' in method_named(name)[2]]


def heat(name, f, x, targets, segments=SEGMENTS, **options):
  own = {'segments': segments} if name in WITH_SEGMENTS else {}
  return heatmap_of(METHODS[name], f, x, targets, **{**own, **FEW.get(name, {}), **options})


@functools.cache
def targets_of(name):
  """Three classes; for a minimal image those that the network sees, or nothing can be deleted."""
  return TARGETS if name != 'minimal_image' else np.asarray(small_net()(X).argmax(-1))


@functools.cache
def together(name):
  """The heatmaps of the three images in one batch."""
  return np.asarray(heat(name, small_net(), X, targets_of(name)))


def assert_same(got, expected, tolerance=1e-4):
  assert got.dtype == np.float32
  scale = max(float(np.abs(expected).max()), 1e-6)
  np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize('name', METHODS)
def test_an_image_has_its_heatmap_whatever_it_is_batched_with(name):
  batch = together(name)
  assert batch.shape == (3, 32, 32) and np.isfinite(batch).all()
  for i in range(3):
    assert np.abs(batch[i]).max() > 0
    alone = heat(name, small_net(), X[i], int(targets_of(name)[i]), SEGMENTS[i])
    assert_same(alone[0], batch[i])


@pytest.mark.parametrize('name', METHODS)
def test_jit_and_vmap_change_nothing(name):
  @jax.jit
  def each(net, x, targets):
    return jax.vmap(lambda image, t: heat(name, net, image, t, SEGMENTS[0])[0])(x, targets)

  assert_same(each(small_net(), X[[0, 0]], targets_of(name)[[0, 0]])[1], together(name)[0])


@pytest.mark.parametrize('name', TAKES_CHUNK)
def test_chunks_change_nothing(name):
  for chunk in (1, 3, 7):
    assert_same(heat(name, small_net(), X, targets_of(name), chunk=chunk), together(name))


@pytest.mark.slow
@pytest.mark.parametrize('name', METHODS)
def test_heatmaps_have_finite_gradients(name):
  slope = jax.jit(jax.grad(lambda x: heat(name, small_net(), x, TARGETS).sum()))
  blank = np.zeros_like(X[:1])  # Where roots and quotients are at their edge.
  through_adam = name == 'extremal_perturbation'  # Its step has no derivative where all is flat.
  for x in [X] if through_adam else [X, np.concatenate([blank, X[1:]])]:
    assert np.isfinite(slope(jnp.asarray(x))).all()


@pytest.mark.slow
@pytest.mark.parametrize('name', METHODS)
def test_double_precision_changes_nothing(name):
  with jax.enable_x64(True):
    assert_same(heat(name, small_net(), X, targets_of(name)), together(name))


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in METHODS if name not in ONLY_NETWORKS])
def test_scores_of_half_precision_will_do(name):
  net = small_net()
  half = heat(name, lambda x: net(x).astype(jnp.bfloat16), X, TARGETS)
  assert half.dtype == np.float32 and np.isfinite(half).all()


@pytest.mark.parametrize('name', METHODS)
def test_a_plain_function_will_do_or_is_refused(name):
  net = small_net()
  if name in ONLY_NETWORKS:
    with pytest.raises(UserError, match=r'needs a network of perturb\.nets'):
      heat(name, lambda x: net(x), X, TARGETS)
  elif name in ('smooth_grad', 'occlusion', 'rise', 'lime'):  # The others take as long.
    assert_same(heat(name, lambda x: net(x), X, targets_of(name)), together(name), 1e-3)


@pytest.mark.parametrize('name', METHODS)
def test_what_breaks_the_contract_is_named(name):
  net = small_net()
  with pytest.raises(UserError, match='target 5: f has outputs 0 to 4'):
    heat(name, net, X, 5)
  with pytest.raises(UserError, match='target must be one integer or 3 of them'):
    jax.jit(lambda targets: heat(name, net, X, targets))(np.zeros(2, np.int32))
  with pytest.raises(UserError, match=r'the axes look swapped'):
    heat(name, net, X.transpose(0, 3, 1, 2), 0)
  with pytest.raises(UserError, match=r'SmallNet takes images \[N, H, W, 3\], not'):
    heat(name, net, X[..., :1], 0)
  for option, known in method_named(name)[2].items():
    wrong = 'none of these' if 'text' not in describe(known.hint) else 3.5
    with pytest.raises(UserError, match=option):
      heat(name, net, X, TARGETS, **{option: wrong})


@pytest.mark.parametrize('name', METHODS)
def test_suspicious_values_are_warned_of(name):
  def message(x):
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter('always')
      with pytest.raises(UserError, match='target'):  # Before anything is computed.
        heat(name, small_net(), x, 5)
    return [str(w.message) for w in caught if w.category is PerturbWarning]

  assert message(X) == []
  holed = X.copy()
  holed[1, 3, 4, 0] = np.nan
  assert message(holed) == ['x has values that are NaN or infinite, in image 1']
  (raw,) = message(np.abs(X) * 100)
  assert 'as raw pixels do' in raw


# Another value of each option, and what else must be given for it to matter.
ANOTHER = {
  'layer': 'relu1',
  'resize': False,
  'stride_one': True,
  'key': jax.random.key(1),
  'aggregate': 'norm',
  'window': 3,
  'value': 'score',
}
FINE = {'segments': ROWS // 4 * 8 + COLUMNS // 4}  # The order of these depends on the score.
OF_EACH = {
  'smooth_grad': {'samples': 4, 'noise': 0.3},
  'integrated_gradients': {'baseline': 0.5, 'steps': 4},
  'expected_gradients': {'references': X[:2], 'samples': 4},
  **{
    name: {'resize': (False, {'layer': 'relu1'})}
    for name in ('gradient', 'gradient_sum', 'guided_backprop', 'deconvnet')
  },
  'occlusion': {
    'shape': 'disc',
    'size': 7,
    'stride': 4,
    'softness': (1.0, {'shape': 'disc'}),
    'perturbation': 'blur',
    'sigma_max': (2.0, {'perturbation': 'blur'}),
    'fade_to': (1.0,),
    'value': 'probability',
  },
  'variable_occlusion': {
    'sizes': (8, 20),
    'stride': 5,
    'softness': 1.0,
    'share': (1.0, {'sizes': (4, 20)}),
    'perturbation': 'fade',
    'sigma_max': (0.3, {'stride': 3}),
    'fade_to': ((5.0,), {'perturbation': 'fade', 'stride': 3}),
    'value': ('probability', {'stride': 3}),
  },
  'rise': {'masks': 6, 'cells': 3, 'keep': 0.8},
  'lime': {'segments': SEGMENTS.swapaxes(1, 2), 'samples': 30, 'width': 0.5, 'ridge': 2.0},
  'minimal_image': {
    'segments': SEGMENTS.swapaxes(1, 2),
    'perturbation': 'fade',
    'sigma_max': 1.0,
    'fade_to': ((2.0,), {'perturbation': 'fade'}),
    'value': ('probability', FINE),
  },
  'meaningful_perturbation': {
    'mode': 'released',
    'game': 'preserve',
    'perturbation': 'constant',
    'objective': 'score',
    'start': 'ones',
    'iterations': 2,
    'learning_rate': 0.2,
    'l1': 1.0,
    'tv': 1.0,
    'beta': 1.5,
    'step': 4,
    'mask_sigma': 2.0,
    'jitter': 2,
    'sigma_max': 3.0,
    'fade_to': ((1.0,), {'perturbation': 'constant'}),
    'noise': (3.0, {'perturbation': 'noise'}),
    'key': (jax.random.key(1), {'start': 'random'}),
  },
  'extremal_perturbation': {
    'areas': [0.3],
    'start': np.tri(32, dtype=np.float32),
    'mode': 'torchray',
    'game': 'delete',
    'objective': 'contrastive',
    'perturbation': 'fade',
    'levels': 3,
    'sigma_max': 2.0,
    'fade_to': ((1.0,), {'perturbation': 'fade'}),
    'iterations': 5,
    'learning_rate': 0.2,
    'nodes': 16,
    'sigma': 0.2,
    'start_area': 0.3,
    'start_width': 0.3,
    'end_width': 0.05,
    'ramp': 0.2,
    **{
      name: (value, {'mode': 'paper'})
      for name, value in {
        'momentum': 0.1,
        'area_weight': 3.0,
        'doublings': 4,
        'growth': 3.0,
        'step': 5,
        'temperature': 0.5,
        'profile': 'torchray',
        'radius': 3,
        'margin': 2,
        'centred': False,
        'mirror': True,
      }.items()
    },
    **{
      name: (value, {'mode': 'robust'})
      for name, value in {
        'searches': 1,
        'restarts': 1,
        'views': 1,
        'discs': 2,
        'disc_views': 1,
        'shift': 0.3,
        'zoom': 0.5,
        'noise': 2.0,
        'fading': 0.0,
        'tolerance': 1e-6,
      }.items()
    },
  },
}
UNCHANGED = ('chunk', 'mode')  # A chunk must change nothing; SmallNet has no residual sum to share.
OPTIONS = [
  (method, option)
  for method in METHODS
  for option in method_named(method)[2]
  if option not in UNCHANGED or option in OF_EACH.get(method, {})
]


BEFORE = {}


def usual(method, base):
  """The heatmaps without the option, computed once for all options of a method."""
  if (method, str(base)) not in BEFORE:
    BEFORE[method, str(base)] = heat(method, small_net(), X, targets_of(method), **base)
  return BEFORE[method, str(base)]


@pytest.mark.slow
@pytest.mark.parametrize(('method', 'option'), OPTIONS)
def test_every_option_changes_something(method, option):
  value, base = OF_EACH.get(method, {}).get(option, ANOTHER.get(option)), {}
  if isinstance(value, tuple) and isinstance(value[-1], dict):
    value, base = value
  before = usual(method, base)
  after = heat(method, small_net(), X, targets_of(method), **{**base, option: value})
  assert before.shape != after.shape or np.abs(before - after).max() > 1e-6


@pytest.mark.slow
def test_what_is_not_in_the_registry_runs_in_double_precision_too():
  net = small_net()
  activations = net.activations(IMAGES, ['relu3'])['relu3']
  calls = (
    lambda: perturb.channel_attribution(net, IMAGES, 1, areas=[3]),
    lambda: perturb.channel_attribution(net, IMAGES, 1, areas=[3], mode='paper', iterations=3),
    lambda: perturb.feature_inversion(net, activations, 'relu3', steps=2).images,
    lambda: perturb.activation_maximisation(net, 'fc', [1], steps=2).images,
    lambda: perturb.pixel_inversion(net, IMAGES, 'relu3', steps=2).images,
    lambda: perturb.meta_saliency(perturb.norm_grad, net, IMAGES, 1),
    lambda: perturb.combine_layers(perturb.grad_cam, net, IMAGES, 1, ['relu2', 'relu3']),
    lambda: perturb.region_scores(net, IMAGES, 1, IMAGES.mean(-1), [0.1]),
  )
  for call in calls:
    with jax.enable_x64(True):
      found = [leaf for leaf in jax.tree.leaves(call()) if isinstance(leaf, jax.Array)]
    assert all(leaf.dtype == np.float32 and np.isfinite(leaf).all() for leaf in found)


def test_a_layer_that_fits_one_size_alone_says_which():
  net = perturb.nets.load('mnist', 'random')
  with pytest.raises(UserError, match=r'cannot take images of 40 x 28 pixels: .* fits 28 x 28'):
    perturb.gradient(net, np.zeros((1, 40, 28, 1)), 0)
