"""How strongly each filter of a network responds to an image."""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from concepts.features import Features
from perturb.errors import check_choice
from perturb.nets import Pretrained
from perturb.nets.network import Activations

Mode = Literal['paper', 'released']


def responses(
  net: Pretrained, x: jax.Array | np.ndarray, features: Features, mode: Mode = 'released'
) -> jax.Array:
  """x_i: the responses of all features to each image, in one pass of the network.

  'paper': the L2 norm of each filter's map over its positions, divided by the sum of these norms
  over the layer. 'released', the authors' code: the squared norm, divided by the sum of the squared
  norms over the layer; then the vector of all layers is divided by its L2 norm. A filter without
  extent is a map of one position. A layer of zeros has responses of zero.

  Source: Oramas et al., Visual explanation by interpretation (ICLR 2019), section 3.1.

  Args:
    net: the network.
    x: preprocessed images `[n, H, W, C]`.
    features: of the layers that count.
    mode: 'paper' or 'released'.

  Returns:
    float32 `[n, m]`, not negative.

  Raises:
    UserError: for another mode, or a layer that the network does not have.
  """
  check_choice('mode', mode, get_args(Mode))
  return _responses(net, jnp.asarray(x), features, mode)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _responses(net: Pretrained, x: jax.Array, features: Features, mode: Mode) -> jax.Array:
  return responses_of(net.activations(x, features.layers), features, mode)


def responses_of(
  activations: Activations, features: Features, mode: Mode = 'released'
) -> jax.Array:
  """As `responses`, where the outputs of the layers are known."""
  layers = [_of_layer(activations[layer], mode) for layer in features.layers]
  values = jnp.concatenate(layers, axis=-1)
  return values if mode == 'paper' else _divided(values, jnp.linalg.norm(values, axis=-1))


def _of_layer(activations: jax.Array, mode: Mode) -> jax.Array:
  """`[n, c]` of the output of one layer, `[n, h, w, c]` or `[n, c]`."""
  positions = tuple(range(1, activations.ndim - 1))
  energies = jnp.square(activations.astype(jnp.float32)).sum(positions)
  values = jnp.sqrt(energies) if mode == 'paper' else energies
  return _divided(values, values.sum(-1))


def _divided(values: jax.Array, totals: jax.Array) -> jax.Array:
  """`[n, c]` by `[n]`; zeros by zero are zeros."""
  return values / jnp.where(totals == 0, 1, totals)[:, None]
