"""The activation maps of features that are chosen image by image."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from concepts.features import Features
from perturb.nets.network import Activations


class LayerMaps(NamedTuple):
  """The maps of the chosen features that are in one layer.

  Attributes:
    inside: which of the chosen features are in this layer, bool `[n, K]`.
    maps: theirs, `[n, K, h, w]`; whatever where `inside` is False.
  """

  inside: jax.Array
  maps: jax.Array


def chosen_maps(
  activations: Activations, features: Features, indices: jax.Array
) -> list[LayerMaps]:
  """By layer with an extent, the maps of the features `indices` int `[n, K]`; -1 is in no layer."""
  found = []
  for number, layer in enumerate(features.layers):
    if features.spatial[number]:
      filters = indices - features.starts[number]
      inside = (filters >= 0) & (filters < features.sizes[number])
      maps = jnp.take_along_axis(
        activations[layer], jnp.where(inside, filters, 0)[:, None, None], axis=-1
      )
      found.append(LayerMaps(inside, jnp.moveaxis(maps, -1, 1)))
  return found
