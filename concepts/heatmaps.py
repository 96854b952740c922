"""Where in an image the features are that a prediction rests on."""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from concepts.feature_maps import chosen_maps
from concepts.features import Features
from perturb.chunks import default_chunk, mapped
from perturb.errors import UserError, check_choice
from perturb.nets import Pretrained, rules
from perturb.nets.layer_gradients import with_added_rules
from perturb.nets.network import Activations, Rule
from perturb.ops.heatmaps import normalise, resize

Kind = Literal['stride_one', 'guided', 'upsampled']
RULES: dict[str, tuple[Rule, ...]] = {
  'stride_one': (rules.guided, rules.stride_one),
  'guided': (rules.guided,),
}


def feature_heatmaps(
  net: Pretrained,
  x: jax.Array,
  features: Features,
  indices: jax.Array,
  kind: Kind = 'stride_one',
  *,
  chunk: int | None = None,
) -> jax.Array:
  """The heatmap of each chosen feature of each image.

  'stride_one': the filter's activation map, with zeros for all other filters of its layer, is sent
  back to the image by guided backpropagation, through strided convolutions as if their stride were
  1; of the signal that arrives, the positive part, its L2 norm over the colours, scaled to [0, 1].
  'guided': the same through convolutions as they are. 'upsampled': the activation map itself,
  resized bilinearly and scaled to [0, 1]; zeros for a feature without extent.

  One compiled program serves every feature: the indices are traced.

  Source: Oramas et al., Visual explanation by interpretation (ICLR 2019), sections 3.2 and 3.3; the
  last steps, which the paper leaves open, from the authors' code.

  Args:
    net: the network, from the images.
    x: preprocessed images `[n, H, W, C]`.
    features: of the network.
    indices: the features of each image, int `[n, K]`; -1 for none.
    kind: 'stride_one', 'guided' or 'upsampled'.
    chunk: images at a time, which bounds the memory; by default as `perturb.chunks.default_chunk`.

  Returns:
    float32 `[n, K, H, W]` in [0, 1]; zeros for an index of -1 and for a map that is constant.

  Raises:
    UserError: for another kind, indices of another shape, or a layer that the network does not
      have; for a network with backward rules of its own for the same layers.
  """
  check_choice('kind', kind, get_args(Kind))
  if indices.ndim != 2 or indices.shape[0] != x.shape[0]:
    raise UserError(f'indices must be [{x.shape[0]}, K], one row an image, not {indices.shape}')
  if kind in RULES:
    net = with_added_rules(net, 'feature_heatmaps', *RULES[kind])
  return _heatmaps(net, x, indices, features, kind, chunk or default_chunk(x.shape[1:3]))


def combined(heatmaps: jax.Array) -> jax.Array:
  """One heatmap for all features of an image: the largest value of each pixel.

  `[n, K, H, W]` to `[n, H, W]`. Source: the authors' code.
  """
  return heatmaps.max(axis=-3)


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _heatmaps(
  net: Pretrained,
  x: jax.Array,
  indices: jax.Array,
  features: Features,
  kind: Kind,
  chunk: int,
) -> jax.Array:
  function = _upsampled if kind == 'upsampled' else _sent_back
  return mapped(lambda i: function(net, x[i], features, indices[i]), x.shape[0], chunk)


def _sent_back(net: Pretrained, x: jax.Array, features: Features, indices: jax.Array) -> jax.Array:
  activations, back = jax.vjp(lambda images: net.activations(images, features.layers), x)

  def one(index: jax.Array) -> jax.Array:
    (signal,) = back(_of_one_filter(activations, features, index))
    return normalise(jnp.linalg.norm(jnp.maximum(signal, 0), axis=-1))

  # One feature after the other: side by side they take longer on a CPU, and K times the memory.
  return jnp.moveaxis(jax.lax.map(one, indices.T), 0, 1)


def _of_one_filter(activations: Activations, features: Features, index: jax.Array) -> Activations:
  """The activations of one filter for each image `[n]`, zeros for all others of all layers."""
  kept = {}
  for layer, start, size in zip(features.layers, features.starts, features.sizes, strict=False):
    values = activations[layer]
    chosen = jax.nn.one_hot(index - start, size, dtype=values.dtype)
    kept[layer] = values * chosen.reshape(len(index), *(1,) * (values.ndim - 2), size)
  return kept


def _upsampled(net: Pretrained, x: jax.Array, features: Features, indices: jax.Array) -> jax.Array:
  activations = net.activations(x, features.layers)
  by_size: dict[tuple[int, ...], jax.Array] = {}  # One resampling for all layers of a size.
  for inside, maps in chosen_maps(activations, features, indices):
    size = maps.shape[2:]
    by_size[size] = by_size.get(size, 0) + jnp.where(inside[:, :, None, None], maps, 0)
  zeros = jnp.zeros((*indices.shape, *x.shape[1:3]), jnp.float32)
  return normalise(sum((resize(maps, x.shape[1:3]) for maps in by_size.values()), zeros))
