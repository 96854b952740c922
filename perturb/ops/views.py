"""Random shifts, scales and rotations, against which an optimised image must be robust.

Source: Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017: what it shows shall
not depend on the alignment of its pixels.
"""

import jax
import jax.numpy as jnp

GREY = 0.5  # Outside the image.
SHIFT = 6  # pixels; the sum of a coarse and a fine jitter of up to 4 and 2 pixels a side.
SCALES = tuple(1 + (i - 5) / 50 for i in range(11))  # 0.9 to 1.1
# Degrees; half of the draws are not rotated.
ANGLES = (*range(-10, 11), *(0,) * 5)


def random_view(key: jax.Array, images: jax.Array) -> jax.Array:
  """Images `[N, H, W, C]` in [0, 1], all shifted, scaled and rotated alike, by a random amount."""
  shift_key, scale_key, angle_key = jax.random.split(key, 3)
  shift = jax.random.randint(shift_key, (2,), -SHIFT, SHIFT + 1, jnp.int32)
  scale = jnp.array(SCALES, jnp.float32)[
    jax.random.randint(scale_key, (), 0, len(SCALES), jnp.int32)
  ]
  angle = jnp.deg2rad(jax.random.choice(angle_key, jnp.array(ANGLES, jnp.float32)))
  return view(images, shift, scale, angle)


def view(images: jax.Array, shift: jax.Array, scale: jax.Array, angle: jax.Array) -> jax.Array:
  """Images `[N, H, W, C]` turned by an angle (radians), scaled and shifted (rows, columns).

  Bilinear; grey outside.
  """
  middle = jnp.array([(n - 1) / 2 for n in images.shape[1:3]], jnp.float32)[:, None, None]
  grid = jnp.stack(jnp.meshgrid(*(jnp.arange(n) for n in images.shape[1:3]), indexing='ij'))
  centred = grid - middle - shift[:, None, None]
  cos, sin = jnp.cos(angle) / scale, jnp.sin(angle) / scale
  source = jnp.stack([cos * centred[0] + sin * centred[1], -sin * centred[0] + cos * centred[1]])
  return _sample(images - GREY, source + middle) + GREY


def _sample(images: jax.Array, source: jax.Array) -> jax.Array:
  """Bilinear samples of `[N, H, W, C]` at (rows, columns) `[2, h, w]`, zeros outside."""
  height, width = images.shape[1:3]
  low = jnp.floor(source)
  part = source - low
  total = jnp.float32(0)
  for i in (0, 1):
    for j in (0, 1):
      row, column = (low[0] + i).astype(jnp.int32), (low[1] + j).astype(jnp.int32)
      inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
      weight = (part[0] if i else 1 - part[0]) * (part[1] if j else 1 - part[1]) * inside
      corner = images[:, jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)]
      total = total + weight[..., None] * corner
  return total
