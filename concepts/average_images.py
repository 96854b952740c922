"""What a feature stands for: the mean of the patches of images that it responds to most.

Source: Oramas et al., Visual explanation by interpretation (ICLR 2019), section 4.1: the 100
patches of highest response, each the receptive field where the filter's activation is largest.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from concepts.feature_maps import chosen_maps
from concepts.features import Features
from perturb.chunks import default_forward_chunk, mapped
from perturb.errors import UserError
from perturb.nets import Pretrained
from perturb.nets.receptive_fields import Box, receptive_field

EMPTY = 255  # A pixel of an average image that no patch has.


def strongest_positions(
  net: Pretrained,
  x: jax.Array,
  features: Features,
  indices: jax.Array,
  *,
  chunk: int | None = None,
) -> jax.Array:
  """Where the activation of each chosen feature of each image is largest, whatever its sign.

  A response is a norm: before a ReLU, negative activations are part of it.

  Args:
    net: the network.
    x: preprocessed images `[n, H, W, C]`.
    features: of the network.
    indices: the features of each image, int `[n, K]`; -1 for none.
    chunk: images at a time; by default as `perturb.chunks.default_forward_chunk`.

  Returns:
    int32 `[n, K, 2]`: (row, column) in the output of the feature's layer, the first in reading
    order of several; (0, 0) for a feature without extent, and for none.
  """
  if indices.ndim != 2 or indices.shape[0] != x.shape[0]:
    raise UserError(f'indices must be [{x.shape[0]}, K], one row an image, not {indices.shape}')
  return _positions(net, x, indices, features, chunk or default_forward_chunk(x.shape[1:3]))


@functools.partial(jax.jit, static_argnums=(3, 4))
def _positions(
  net: Pretrained, x: jax.Array, indices: jax.Array, features: Features, chunk: int
) -> jax.Array:
  def some(i: jax.Array) -> jax.Array:
    found = jnp.zeros((*indices[i].shape, 2), jnp.int32)
    activations = net.activations(x[i], features.layers)
    for inside, maps in chosen_maps(activations, features, indices[i]):
      place = jnp.abs(maps).reshape(*maps.shape[:2], -1).argmax(-1)
      position = jnp.stack(jnp.divmod(place, maps.shape[-1]), axis=-1)
      found = jnp.where(inside[..., None], position, found)
    return found

  return mapped(some, x.shape[0], chunk)


def box_of(
  net: Pretrained,
  features: Features,
  index: int,
  position: tuple[int, int],
  size: tuple[int, int],
) -> Box:
  """The receptive field of a feature at a position, in an image of (H, W) pixels.

  The whole image for a feature without extent.
  """
  layer, _ = features.place(index)
  if not features.spatial[features.layer_of(index)]:
    return Box(0, 0, *size)
  return receptive_field(net, layer, position, size)


def patch(image: np.ndarray, box: Box, size: int) -> tuple[np.ndarray, np.ndarray]:
  """What is in a receptive field, at one size for all patches of a feature.

  The window of the field may leave the image. It is cut out whole, so that patches lie on each
  other as the filter sees them; what is outside of the field repeats its edge. A window that is
  larger than the image, as deep filters have, is the image.

  Args:
    image: uint8 `[H, W, 3]`.
    box: the field.
    size: S, the side of the patch in pixels.

  Returns:
    (uint8 `[S, S, 3]`, bool `[S, S]`: whether a pixel is inside the field), resampled bicubically
    and by nearest neighbours.
  """
  window = box.window
  rows = _cut(window.top, window.bottom, image.shape[0])
  columns = _cut(window.left, window.right, image.shape[1])
  cut = image[
    np.clip(rows, box.top, box.bottom - 1)[:, None], np.clip(columns, box.left, box.right - 1)
  ]
  inside = ((box.top <= rows) & (rows < box.bottom))[:, None] & (
    (box.left <= columns) & (columns < box.right)
  )
  pixels = Image.fromarray(cut).resize((size, size), Image.Resampling.BICUBIC)
  kept = Image.fromarray(inside).resize((size, size), Image.Resampling.NEAREST)
  return np.asarray(pixels), np.asarray(kept)


def _cut(first: int, end: int, size: int) -> np.ndarray:
  """The pixels of a window along an axis."""
  return np.arange(size) if end - first > size else np.arange(first, end)


def average_image(patches: np.ndarray, inside: np.ndarray) -> np.ndarray:
  """The mean of each pixel over the patches that have it.

  Args:
    patches: uint8 `[P, S, S, 3]`.
    inside: which pixels they have, bool `[P, S, S]`.

  Returns:
    uint8 `[S, S, 3]`; white where no patch has the pixel.
  """
  count = inside.sum(0)[..., None]
  total = np.where(inside[..., None], patches, 0).sum(0, dtype=np.int64)
  return np.where(count > 0, np.rint(total / np.maximum(count, 1)), EMPTY).astype(np.uint8)
