"""Noisy linear imputation: a deleted pixel is the mean of its neighbours, and noise.

Source: Rong, Leemann, Borisov, Kasneci and Kasneci, "A Consistent and Efficient Evaluation Strategy
for Attribution Methods", ICML 2022 (ROAD), section 4.2. Each unknown pixel is the mean of its eight
neighbours inside the image, those beside it weighed twice as much as those across a corner (1/6 and
1/12). The authors solve this sparse system directly. It is symmetric and positive definite, and is
solved here by conjugate gradients that start at a coarse-to-fine guess. Shapes: N images.
"""

import jax
import jax.numpy as jnp

TOLERANCE = 3e-5  # Of the equations' largest residual, in the units of x.
ITERATIONS = 1000  # At most; what is left then is left.


def _neighbours(v: jax.Array) -> jax.Array:
  """The weighed sum of the eight neighbours of each pixel of `[N, C, H, W]`, zeros outside."""
  p = jnp.pad(v, ((0, 0), (0, 0), (1, 1), (1, 1)))
  rows = p[..., :-2, :] + 2 * p[..., 1:-1, :] + p[..., 2:, :]
  return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:] - 4 * v) / 12


def _halved(v: jax.Array) -> jax.Array:
  """Sums over 2 x 2 pixels of `[N, C, H, W]`; zeros fill up an odd side."""
  v = jnp.pad(v, ((0, 0), (0, 0), (0, v.shape[2] % 2), (0, v.shape[3] % 2)))
  return v.reshape(*v.shape[:2], v.shape[2] // 2, 2, v.shape[3] // 2, 2).sum((3, 5))


def _guess(values: jax.Array, known: jax.Array, default: jax.Array) -> jax.Array:
  """Unknown pixels as the mean of the known ones of the smallest cell that has any.

  Args:
    values: `[N, C, H, W]`.
    known: `[N, 1, H, W]`, zeros and ones.
    default: `[N, C, 1, 1]`, where nothing is known.
  """
  levels = [(values * known, known)]
  while max(levels[-1][1].shape[2:]) > 1:
    total, count = map(_halved, levels[-1])
    levels.append((total, count))
  found = default
  for total, count in reversed(levels):
    shape = (*total.shape[:2], *total.shape[2:])
    coarse = jax.image.resize(found, shape, 'linear', antialias=False)
    found = jnp.where(count > 0, total / jnp.maximum(count, 1), coarse)
  return found


def linear_imputation(x: jax.Array, known: jax.Array) -> jax.Array:
  """Images whose unknown pixels are the weighed mean of their neighbours.

  Args:
    x: `[N, H, W, C]`.
    known: `[N, H, W]`, whether a pixel is kept.

  Returns:
    `[N, H, W, C]`; the mean colour of x where no pixel of an image is known.
  """
  values = jnp.moveaxis(x, -1, 1)
  kept = known[:, None].astype(x.dtype)
  weights = _neighbours(jnp.ones_like(kept))

  def residual(v):
    return (1 - kept) * (_neighbours(v) - weights * v)

  def dot(a, b):
    return (a * b).sum((2, 3), keepdims=True)

  def left(r):
    return jnp.abs(r).max((2, 3), keepdims=True) > TOLERANCE

  def going(state):
    return (state[0] < ITERATIONS) & left(state[2]).any()

  def step(state):
    count, v, r, direction, square = state
    applied = -residual(direction)
    curvature = dot(direction, applied)
    go = left(r) & (curvature > 0)  # So that an image does not depend on the others.
    rate = jnp.where(go, square / jnp.where(go, curvature, 1), 0)
    v, r = v + rate * direction, r - rate * applied
    after = dot(r, r)
    direction = jnp.where(go, r + after / jnp.where(go, square, 1) * direction, direction)
    return count + 1, v, r, direction, jnp.where(go, after, square)

  first = _guess(values, kept, values.mean((2, 3), keepdims=True))
  r = residual(first)
  found = jax.lax.while_loop(going, step, (0, first, r, r, dot(r, r)))[1]
  return jnp.moveaxis(found, 1, -1)


def noisy_imputation(
  x: jax.Array, known: jax.Array, keys: jax.Array, *, noise: float = 0.01
) -> jax.Array:
  """As `linear_imputation`, with Gaussian noise on what is not known.

  Args:
    x: `[N, H, W, C]`.
    known: `[N, H, W]`, whether a pixel is kept.
    keys: PRNG keys of the noise, `[N]`.
    noise: its standard deviation, in the units of x.

  Returns:
    `[N, H, W, C]`.
  """
  drawn = jax.vmap(lambda key: jax.random.normal(key, x.shape[1:], x.dtype))(keys)
  return linear_imputation(x, known) + jnp.where(known[..., None], 0, noise * drawn)
