"""Class activation maps: CAM, Grad-CAM, Grad-CAM++ and guided Grad-CAM."""

import jax
import jax.numpy as jnp

from perturb.base import Function, Images, Target, check_arguments
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.methods.backprop import guided_backprop
from perturb.nets.layer_gradients import check_at_layer, gradients, network_of
from perturb.nets.layers import Dense, GlobalMean
from perturb.nets.network import Network
from perturb.nets.pretrained import Pretrained
from perturb.ops.heatmaps import resize as to_size
from perturb.options import checked


def _pooled_features(network: Network) -> str:
  """The layer whose global mean the one linear layer of the classifier reads."""
  by_name = {layer.name: layer for layer in network.layers()}
  classifier = by_name[network.logits]
  pool = by_name.get(classifier.inputs[0])
  if (
    pool is None
    or not isinstance(classifier.build(parent=None), Dense)
    or not isinstance(pool.build(parent=None), GlobalMean)
  ):
    raise UserError(
      f'CAM needs a global mean followed by one linear layer, which {type(network).__name__} '
      'does not end with; grad_cam works for any network'
    )
  return pool.inputs[0]


@compiled
def _cam(net, x, targets, *, layer):
  features = net.activations(x, (layer,))[layer]
  weights = net.variables['params'][net.network.logits]['kernel'][:, targets]
  return jnp.einsum('bhwc,cb->bhw', features, weights)


@checked
def cam(net: Pretrained, x: Images, target: Target, *, resize: bool = True) -> jax.Array:
  """sum_k w_k^c x_k, the class activation map (Zhou et al., CVPR 2016, eq. 2), with its sign.

  Args:
    net, x, target: see `perturb.base`; net is a network of `perturb.nets` that ends with a global
      mean and one linear layer.
    resize: whether the heatmap is resized, bilinearly, to the image's size; else it is `[B, h, w]`,
      and its spatial mean plus the bias is the logit.

  Returns:
    `[B, H, W]`.

  Raises:
    UserError: for another network.
  """
  net = network_of(net, 'CAM')
  layer = _pooled_features(net.network)
  x, targets = check_arguments(net, x, target)
  heat = _cam(net, x, targets, layer=layer)
  return to_size(heat, x.shape[1:3]) if resize else heat


@compiled
def _grad_cam(f, x, targets, *, layer):
  passed = gradients(f, x, (layer,), targets)
  weights = passed.gradients[layer].mean((1, 2), keepdims=True)
  return jnp.maximum((weights * passed.activations[layer]).sum(-1), 0)


@compiled
def _grad_cam_plus_plus(f, x, targets, *, layer):
  passed = gradients(f, x, (layer,), targets)
  h, g = passed.activations[layer], passed.gradients[layer]
  scale = 2 * g**2 + h.sum((1, 2), keepdims=True) * g**3
  alpha = jnp.where(g == 0, 0, g**2 / jnp.where(scale == 0, 1, scale))
  weights = (alpha * jnp.maximum(g, 0)).sum((1, 2), keepdims=True)
  return jnp.maximum((weights * h).sum(-1), 0)


@checked
def grad_cam(
  f: Function, x: Images, target: Target, layer: str | None = None, *, resize: bool = True
) -> jax.Array:
  """max(0, sum_k w_k x_k), w_k the spatial mean of the gradient (Selvaraju et al., ICCV 2017).

  Args:
    f, x, target: see `perturb.base`; f is a network of `perturb.nets`, or any differentiable
      function, of which `'input'` is the only layer.
    layer: name of the layer; by default the last one with spatial extent before the classifier;
      earlier ones hardly depend on the class (Rebuffi et al., CVPR 2020, fig. 4).
    resize: whether the heatmap is resized, bilinearly, to the image's size.

  Returns:
    `[B, H, W]`, not negative.

  Raises:
    UserError: for an unknown layer, or one without spatial extent.
  """
  x, targets, layer = check_at_layer(f, x, target, layer)
  heat = _grad_cam(f, x, targets, layer=layer)
  return to_size(heat, x.shape[1:3]) if resize else heat


@checked
def grad_cam_plus_plus(
  f: Function, x: Images, target: Target, layer: str | None = None, *, resize: bool = True
) -> jax.Array:
  """Grad-CAM whose weights w_k = sum_u alpha_ku max(0, g_ku) (Chattopadhyay et al., WACV 2018).

  alpha_ku = g_ku^2 / (2 g_ku^2 + g_ku^3 sum_v x_kv): the closed form for the exponential of the
  score. See `grad_cam` for arguments and errors.
  """
  x, targets, layer = check_at_layer(f, x, target, layer)
  heat = _grad_cam_plus_plus(f, x, targets, layer=layer)
  return to_size(heat, x.shape[1:3]) if resize else heat


@compiled
def _guided_grad_cam(net, x, targets, *, layer):  # Compiled as one: both go forward once.
  return guided_backprop(net, x, targets) * grad_cam(net, x, targets, layer)


@checked
def guided_grad_cam(
  net: Pretrained, x: Images, target: Target, layer: str | None = None
) -> jax.Array:
  """Guided backpropagation at the image times Grad-CAM (Selvaraju et al., ICCV 2017, sec. 3.1).

  See `grad_cam` for arguments and errors; needs a network of `perturb.nets`.
  """
  net = network_of(net, 'guided Grad-CAM')
  x, targets, layer = check_at_layer(net, x, target, layer)
  return _guided_grad_cam(net, x, targets, layer=layer)
