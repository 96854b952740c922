"""Activations and gradients at the layers of a network: what the backpropagation methods read."""

from collections.abc import Sequence
import functools

import jax
import jax.numpy as jnp

from perturb.base import Function, Images, Target, check_arguments, pick
from perturb.errors import UserError
from perturb.nets import layers as modules
from perturb.nets.network import INPUT, Network, Rule
from perturb.nets.pretrained import Gradients, Pretrained
from perturb.nets.rules import Together

_HEAD = (modules.Dense, modules.WindowDense, modules.GlobalMean, modules.AdaptiveMeanPool)
_POOLS = (modules.MaxPool, modules.MeanPool)


def gradients(f: Function, x: jax.Array, layers: Sequence[str], targets: jax.Array) -> Gradients:
  """The score of each target, the layers' activations, and its gradients with respect to them.

  Args:
    f: a network of `perturb.nets`; or any differentiable function, of which `'input'` is the only
      layer.
    x: images `[B, H, W, C]`.
    layers: names of the layers.
    targets: `[B]`, the index of each image's output.

  Raises:
    UserError: for a layer that f does not have.
  """
  if isinstance(f, Pretrained):
    return f.gradients(x, layers, targets)
  for layer in layers:
    if layer != INPUT:
      raise UserError(
        f'layer {layer!r}: a plain function has no layers but {INPUT!r}; '
        'give a network of perturb.nets'
      )
  score, back = jax.vjp(lambda images: pick(f(images), targets), x)
  slope = back(jnp.ones_like(score))[0]
  return Gradients(score, dict.fromkeys(layers, x), dict.fromkeys(layers, slope))


def network_of(f: Function, method: str) -> Pretrained:
  """`f`, if it is a network with layers.

  Raises:
    UserError: names the method that needs one.
  """
  if isinstance(f, Pretrained):
    return f
  raise UserError(
    f'{method} needs a network of perturb.nets, whose layers it knows, not a {type(f).__name__}'
  )


def with_added_rules(net: Pretrained, method: str, *added: Rule) -> Pretrained:
  """The network with the rules of a method beside those that it is bound to.

  When it is applied, it raises a `UserError` for a layer that rules of both concern.
  """
  if not net.rules:
    return net.with_rules(*added)
  return net.with_rules(Together(method, added, net.rules))


def refuse_rules(f: Function, method: str) -> None:
  """Raises a `UserError` for a network with backward rules: what follows needs true gradients."""
  if isinstance(f, Pretrained) and f.rules:
    raise UserError(
      f'{method} follows gradients, which the rules of the network replace; '
      'give it net.with_rules()'
    )


@functools.lru_cache(maxsize=64)
def features_layer(network: Network) -> str:
  """The last layer with spatial extent that is neither a pooling nor part of the classifier.

  Its name is that of the last convolutional features: `features.29` of VGG16, `layer4` of ResNet50.
  """
  found = INPUT
  for layer in network.layers():
    module = layer.build(parent=None)
    if isinstance(module, _HEAD):
      break
    if not isinstance(module, _POOLS):
      found = layer.name
  return found


def default_layer(f: Function) -> str:
  """`features_layer` of a network, `'input'` of a plain function."""
  return features_layer(f.network) if isinstance(f, Pretrained) else INPUT


def _check_spatial(f: Function, x: jax.Array, layer: str) -> None:
  if not isinstance(f, Pretrained):
    return
  shape = f.shapes([layer], x)[layer].shape
  if len(shape) != 4 or shape[1] * shape[2] == 1:
    extent = ' x '.join(str(n) for n in shape[1:])
    raise UserError(
      f'layer {layer!r}: its output ({extent}) has no spatial extent; '
      f'the last layer that has is {features_layer(f.network)!r}'
    )


def check_at_layer(
  f: Function, x: Images, target: Target, layer: str | None
) -> tuple[jax.Array, jax.Array, str]:
  """(x, target, layer) of a method that reads a layer, by default `default_layer`.

  Raises:
    UserError: as `check_arguments`; for an unknown layer, or one without spatial extent.
  """
  layer = layer or default_layer(f)
  x, targets = check_arguments(f, x, target)
  _check_spatial(f, x, layer)
  return x, targets, layer
