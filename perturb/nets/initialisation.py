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
from perturb.nets.layers import BatchNorm, Conv
from perturb.nets.network import Network, Variables
from perturb.nets.pretrained import Pretrained
from perturb.nets.weights.torch_names import abstract_variables

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

_NORM = {'scale': 1.0, 'bias': 0.0, 'mean': 0.0, 'var': 1.0}  # Of batch normalisation.


def initialised(net: Pretrained, key: jax.Array) -> Pretrained:
  """The network with random weights, as a training of it begins.

  AlexNet, VGG and ResNet begin as torchvision's; the others with He's normal weights of the number
  of inputs, and biases of zero. Batch normalisation begins with scale 1, bias 0, and running mean 0
  and variance 1.

  Args:
    net: its weights do not count.
    key: a PRNG key; `jax.random.key(seed)` gives the others the weights of `untrained(..., seed)`.
  """
  shape = (net.size, net.size, len(net.preprocessing.mean))
  if type(net.network) in SCHEMES:
    variables = _by_scheme(net.network, key, abstract_variables(net.network, shape))
  else:
    variables = jax.jit(net.network.init)(key, jnp.zeros((1, *shape)))
  return dataclasses.replace(net, variables=variables)


def _by_scheme(network: Network, key: jax.Array, shapes: Variables) -> Variables:
  """Draws each layer by itself: compiling one program of a deep network would take a minute."""
  modules = {layer.name: layer.build(parent=None) for layer in network.layers()}
  params = {}
  for number, (layer, leaves) in enumerate(shapes['params'].items()):
    if isinstance(modules[layer], BatchNorm):
      params[layer] = {name: jnp.full(leaf.shape, _NORM[name]) for name, leaf in leaves.items()}
      continue
    scheme = SCHEMES[type(network)][not isinstance(modules[layer], Conv)]
    own = jax.random.fold_in(key, number)
    inputs = math.prod(leaves['kernel'].shape[:-1])
    params[layer] = {
      name: getattr(scheme, name)(jax.random.fold_in(own, place), leaf.shape, inputs)
      for place, (name, leaf) in enumerate(leaves.items())
    }
  statistics = jax.tree_util.tree_map_with_path(
    lambda path, leaf: jnp.full(leaf.shape, _NORM[path[-1].key]), shapes.get('batch_stats', {})
  )
  return {'params': params, **({'batch_stats': statistics} if statistics else {})}
