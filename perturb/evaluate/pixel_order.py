"""The order in which a heatmap has an image's pixels changed."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError
from perturb.ops.area import ranks
from perturb.ops.heatmaps import resize

Ties = Literal['reading', 'random']


def fitted(heatmaps: jax.Array | np.ndarray, x: jax.Array) -> jax.Array:
  """Heatmaps `[B, h, w]` of images x `[B, H, W, C]`, as float32 `[B, H, W]`.

  Those of another size are resampled bilinearly; see `perturb.ops.heatmaps.resize`.

  Raises:
    UserError: for another number of axes or of heatmaps.
  """
  heat = jnp.asarray(heatmaps, jnp.float32)
  if heat.ndim != 3 or heat.shape[0] != x.shape[0] or 0 in heat.shape:
    raise UserError(f'heatmaps must be of shape ({x.shape[0]}, h, w), not {heat.shape}')
  return heat if heat.shape == x.shape[:3] else resize(heat, x.shape[1:3])


def pixel_ranks(heatmaps: jax.Array, ties: Ties, key: jax.Array) -> jax.Array:
  """The place of each pixel in its image's order, 0 for the largest value.

  Args:
    heatmaps: `[B, H, W]`.
    ties: which of equal pixels comes first, the first in 'reading' order or a 'random' one.
    key: of the random ones, which are the same for every image.

  Returns:
    int32 `[B, H, W]`.
  """
  if ties == 'reading':
    return ranks(heatmaps)
  count = heatmaps[0].size
  places = jax.random.permutation(key, count)
  shuffled = heatmaps.reshape(-1, count)[:, places].reshape(heatmaps.shape)
  found = ranks(shuffled).reshape(-1, count)
  return jnp.zeros_like(found).at[:, places].set(found).reshape(heatmaps.shape)


def image_bits(x: jax.Array) -> jax.Array:
  """A number of each image of `[B, H, W, C]` by its values, uint32 `[B]`.

  What is drawn at random by it is an image's own, whatever batch the image is in.
  """
  bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
  return jnp.sum(bits, axis=(1, 2, 3), dtype=jnp.uint32)
