"""Random weights to begin a training with: as torchvision initialises each architecture."""

from collections.abc import Callable
import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from perturb.nets.architectures.alexnet import AlexNet
from perturb.nets.architectures.resnet import ResNet
from perturb.nets.architectures.vgg import VGG
from perturb.nets.layers import Conv
from perturb.nets.network import Network, Variables
from perturb.nets.pretrained import Pretrained

Shape = tuple[int, ...]
Initialiser = Callable[[jax.Array, Shape, int], jax.Array]  # (key, shape, inputs of a unit).


class Scheme(NamedTuple):
  """How layers of a kind begin.

  Attributes:
    kernel: `[k, k, in, out]` or `[in, out]`.
    bias: `[out]`.
  """

  kernel: Initialiser
  bias: Initialiser


def he_normal_fan_out(key: jax.Array, shape: Shape, inputs: int) -> jax.Array:  # noqa: ARG001
  """Normal, of variance 2 / (k^2 out) (He et al., ICCV 2015, eq. 14)."""
  return math.sqrt(2 / (math.prod(shape[:-2]) * shape[-1])) * jax.random.normal(key, shape)


def small_normal(key: jax.Array, shape: Shape, inputs: int) -> jax.Array:  # noqa: ARG001
  """Normal, of standard deviation 0.01."""
  return 0.01 * jax.random.normal(key, shape)


def uniform_fan_in(key: jax.Array, shape: Shape, inputs: int) -> jax.Array:
  """Uniform between -1 and 1 over the root of the unit's inputs: PyTorch's default."""
  return jax.random.uniform(key, shape, minval=-1, maxval=1) / math.sqrt(inputs)


def zeros(key: jax.Array, shape: Shape, inputs: int) -> jax.Array:  # noqa: ARG001
  """Zeros."""
  return jnp.zeros(shape)


_DEFAULT = Scheme(uniform_fan_in, uniform_fan_in)
_HE = Scheme(he_normal_fan_out, zeros)
# Architecture -> (of its convolutions, of its linear layers).
SCHEMES: dict[type[Network], tuple[Scheme, Scheme]] = {
  AlexNet: (_DEFAULT, _DEFAULT),
  VGG: (_HE, Scheme(small_normal, zeros)),
  ResNet: (_HE, _DEFAULT),
}


def initialised(net: Pretrained, key: jax.Array) -> Pretrained:
  """The network with random weights, as a training of it begins.

  AlexNet, VGG and ResNet begin as torchvision's; the others with He's normal weights of the number
  of inputs, and biases of zero. Batch normalisation begins with scale 1, bias 0, and running mean 0
  and variance 1.

  Args:
    net: its weights do not count.
    key: a PRNG key; `jax.random.key(seed)` gives the others the weights of `untrained(..., seed)`.
  """
  channels = len(net.preprocessing.mean)
  images = jax.ShapeDtypeStruct((1, net.size, net.size, channels), jnp.float32)
  return dataclasses.replace(net, variables=_drawn(net.network, key, images))


def _drawn(network: Network, key: jax.Array, images: jax.ShapeDtypeStruct) -> Variables:
  def draw(key: jax.Array) -> Variables:
    variables = dict(network.init(key, jnp.zeros(images.shape)))
    if type(network) in SCHEMES:
      variables['params'] = _by_scheme(network, key, variables['params'])
    return variables

  return jax.jit(draw)(key)


def _by_scheme(network: Network, key: jax.Array, params: Variables) -> Variables:
  convolution, linear = SCHEMES[type(network)]
  drawn = dict(params)
  for number, layer in enumerate(network.layers()):
    if 'kernel' not in params.get(layer.name, {}):
      continue
    scheme = convolution if isinstance(layer.build(parent=None), Conv) else linear
    shape = params[layer.name]['kernel'].shape
    keys = jax.random.split(jax.random.fold_in(key, number))
    drawn[layer.name] = {
      name: getattr(scheme, name)(own, value.shape, math.prod(shape[:-1]))
      for own, (name, value) in zip(keys, params[layer.name].items(), strict=False)
    }
  return drawn
