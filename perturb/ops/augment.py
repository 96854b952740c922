"""Random views of images: moved, zoomed, mirrored and noisy, all images of a batch alike.

What is evidence for a class is so in each of them; what only fools a network is not.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Ranges(NamedTuple):
  """How far views may differ from the image.

  Attributes:
    shift: of the image, at most, as a fraction of each side, in each direction.
    zoom: by at most this much, as a fraction: 0.15 is from 0.85 to 1.15.
    mirror: whether half of the views are mirrored, left to right.
    noise: standard deviation of Gaussian noise, as a fraction of that of the image's values.
  """

  shift: float
  zoom: float
  mirror: bool
  noise: float


def random_view(key: jax.Array, images: jax.Array, deviation: jax.Array, r: Ranges) -> jax.Array:
  """Images `[N, H, W, C]` in one random view; at the border the outermost pixels are repeated.

  Args:
    key: PRNG key of the view.
    images: `[N, H, W, C]`.
    deviation: `[N]`, the standard deviation of each original image's values.
    r: how far the view may differ.
  """
  zoom_key, shift_key, mirror_key, noise_key = jax.random.split(key, 4)
  zoom = 1 + r.zoom * jax.random.uniform(zoom_key, (), jnp.float32, -1, 1)
  shift = r.shift * jax.random.uniform(shift_key, (2,), jnp.float32, -1, 1)
  mirrored = jax.random.bernoulli(mirror_key) & r.mirror
  rows = _samples(images.shape[1], zoom, shift[0])
  columns = _samples(images.shape[2], zoom, shift[1])
  columns = jnp.where(mirrored, columns[::-1], columns)
  seen = jnp.einsum('yi,nijc,xj->nyxc', rows, images, columns, precision=jax.lax.Precision.HIGHEST)
  if not r.noise:
    return seen
  noise = jax.random.normal(noise_key, images.shape[1:], jnp.float32)
  return seen + r.noise * deviation[:, None, None, None] * noise


def _samples(size: int, zoom: jax.Array, shift: jax.Array) -> jax.Array:
  """Linear interpolation along an axis, as a matrix `[size, size]`; shift in units of the size."""
  middle = (size - 1) / 2
  pixels = jnp.arange(size, dtype=jnp.float32)
  source = (pixels - middle - shift * size) / zoom + middle
  source = jnp.clip(source, 0, size - 1)
  return jnp.maximum(0, 1 - jnp.abs(source[:, None] - pixels))
