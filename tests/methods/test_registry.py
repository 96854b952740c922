"""Every method: the same numbers as an independent implementation, and the same manners."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.methods import averaged_gradients as averaged
from perturb.methods import backprop, class_activation, excitation
from perturb.methods.lime import lime
from perturb.methods.occlusion import occlusion
from perturb.methods.rise import rise
from perturb.nets.network import INPUT
from tests.small_net import IMAGES, TARGETS, small_net


@functools.cache
def recorded():
  return dict(np.load(pathlib.Path(__file__).parents[1] / 'recorded' / 'methods.npz'))


def assert_close(ours, theirs):
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_the_network_is_the_one_recorded():
  assert_close(small_net()(IMAGES), recorded()['logits'])


def at(method, layer=None, **options):
  named = {} if layer is None else {'layer': layer}
  return lambda: method(small_net(), IMAGES, TARGETS, **named, **options)


@pytest.mark.parametrize(
  ('name', 'call', 'aggregate'),
  [
    ('gradient', at(backprop.gradient), lambda g: np.abs(g).max(-1)),
    ('gradient', at(backprop.gradient_sum), lambda g: g.sum(-1)),
    ('guided_backprop', at(backprop.guided_backprop), lambda g: np.abs(g).max(-1)),
    ('deconvnet', at(backprop.deconvnet), lambda g: np.abs(g).max(-1)),
    (
      'linear_approximation_relu2',
      at(backprop.linear_approximation, 'relu2', resize=False),
      lambda g: g.sum(-1),
    ),
    ('grad_cam_relu3', at(class_activation.grad_cam, resize=False), lambda h: h[..., 0]),
    ('grad_cam_relu1', at(class_activation.grad_cam, 'relu1', resize=False), lambda h: h[..., 0]),
    ('guided_grad_cam', at(class_activation.guided_grad_cam), lambda h: np.abs(h).max(-1)),
    ('integrated_gradients', at(averaged.integrated_gradients), lambda g: g.sum(-1)),
    (
      'occlusion',
      at(occlusion, size=8, stride=4, fade_to=(0.25,)),
      lambda h: h[..., 0],
    ),
    ('excitation_input', at(excitation.excitation_backprop, 'input'), lambda p: p.sum(-1)),
    (
      'excitation_relu1',
      at(excitation.excitation_backprop, 'relu1', resize=False),
      lambda p: p.sum(-1),
    ),
    (
      'excitation_relu3',
      at(excitation.excitation_backprop, resize=False),
      lambda p: p.sum(-1),
    ),
  ],
)
def test_equal_to_captum_and_grad_cam(name, call, aggregate):
  assert_close(call(), aggregate(recorded()[name]))


@pytest.mark.parametrize('layer', ['relu1', 'relu3'])
def test_grad_cam_plus_plus_equals_pytorch_grad_cams(layer):
  net = small_net()
  # The recorded scores are 1000 times the logits; so are these.
  params = net.variables['params']
  scaled = params | {'fc': jax.tree.map(lambda p: 1000 * p, params['fc'])}
  net = dataclasses.replace(net, variables={'params': scaled})
  heat = class_activation.grad_cam_plus_plus(net, IMAGES, TARGETS, layer, resize=False)
  assert_close(heat, recorded()[f'grad_cam_plus_plus_{layer}'][..., 0])


def test_errors_name_the_layer_and_what_would_be_right():
  net = small_net()
  with pytest.raises(UserError, match=r"'mean': its output \(10\) has no spatial .* 'relu3'"):
    backprop.norm_grad(net, IMAGES, TARGETS, 'mean')
  with pytest.raises(UserError, match="no layer 'relu4'; did you mean"):
    class_activation.grad_cam(net, IMAGES, TARGETS, 'relu4')
  with pytest.raises(UserError, match="a plain function has no layers but 'input'"):
    backprop.gradient(lambda x: x.mean((1, 2)), IMAGES, 0, 'relu3')
  with pytest.raises(UserError, match="'relu1' is not a convolution"):
    backprop.extract_aggregate(net, IMAGES, 0, 'relu1', extract='real', aggregate='norm')
  with pytest.raises(UserError, match='size must be 1 to 32 pixels'):
    occlusion(net, IMAGES, 0, size=33)
  with pytest.raises(UserError, match=r'x must be \[B, H, W, C\]'):
    rise(net, IMAGES[0, 0], 0)
  with pytest.raises(UserError, match='references must be'):
    averaged.expected_gradients(net, IMAGES, 0, IMAGES[:, :8])
  with pytest.raises(UserError, match='fade_to must be one value or 3'):
    occlusion(net, IMAGES, 0, size=8, fade_to=(0.0, 1.0))
  with pytest.raises(UserError, match='aggregate must be one of sum, max, norm, selective'):
    averaged.smooth_grad(net, IMAGES, 0, aggregate='mean')
  with pytest.raises(UserError, match='segments must be integers'):
    lime(net, IMAGES, 0, np.zeros((4, 4), int))


def test_methods_compose_under_jit_and_leave_the_network_alone():
  net = small_net()
  before = jax.tree.map(np.array, net.variables)
  inside = jax.jit(lambda x, t: backprop.norm_grad(net, x, t, 'relu2'))(IMAGES, TARGETS)
  np.testing.assert_allclose(
    inside, backprop.norm_grad(net, IMAGES, TARGETS, 'relu2'), rtol=1e-4, atol=1e-6
  )
  jax.tree.map(np.testing.assert_array_equal, before, net.variables)


def test_only_the_target_counts():
  net = small_net()
  other = net.variables['params']['fc']['kernel'].copy()
  other[:, 0] += 1  # Class 0 is no target.
  changed = {**net.variables['params'], 'fc': {**net.variables['params']['fc'], 'kernel': other}}
  moved = dataclasses.replace(net, variables={'params': changed})
  for method in (
    backprop.gradient,
    class_activation.cam,
    excitation.contrastive_excitation_backprop,
  ):
    np.testing.assert_allclose(
      method(net, IMAGES, TARGETS), method(moved, IMAGES, TARGETS), rtol=1e-4, atol=1e-6
    )


def test_input_is_the_layer_of_a_plain_function():
  weights = jnp.asarray(np.random.RandomState(0).randn(32, 32, 3, 5), jnp.float32)
  heat = backprop.linear_approximation(
    lambda x: jnp.einsum('nhwc,hwck->nk', x, weights), IMAGES, TARGETS, INPUT
  )
  expected = np.stack([(IMAGES[i] * weights[..., t]).sum(-1) for i, t in enumerate(TARGETS)])
  np.testing.assert_allclose(heat, expected, atol=1e-5)
