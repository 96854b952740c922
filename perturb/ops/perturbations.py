"""The perturbation operator m (x) x (paper sec. 3.4): blur or fade what the mask does not keep.

A pyramid `[levels, H, W, C]` holds the image from level 0, fully perturbed, to the last, the image
itself. A mask value m picks the level m (levels - 1), linearly interpolated. Shapes:
`[B, H, W, C]` images, `[B, H, W]` masks.
"""

from collections.abc import Sequence
import functools
import math
import operator
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError

Perturbation = Literal['blur', 'fade']


def _gaussian(sigma: float, radius: int) -> np.ndarray:
  offsets = np.arange(-radius, radius + 1)
  return np.exp(-0.5 * (offsets / sigma) ** 2)


def blur_matrix(size: int, sigma: float, *, normalised: bool) -> np.ndarray:
  """Gaussian blur along one axis of `size` pixels, as a matrix `[size, size]`.

  Args:
    size: number of pixels along the axis.
    sigma: standard deviation in pixels; 0 for the identity.
    normalised: whether to divide by the weights inside the image (the paper's pi_g); else zeros are
      blurred in from outside and the window ends at 4 sigma, as in TorchRay.
  """
  if sigma == 0:
    return np.eye(size, dtype=np.float32)
  radius = size - 1 if normalised else math.ceil(4 * sigma)
  taps = _gaussian(sigma, radius)
  offsets = np.arange(size)[:, None] - np.arange(size)[None, :]
  inside = np.abs(offsets) <= radius
  matrix = np.where(inside, taps[np.clip(offsets + radius, 0, 2 * radius)], 0.0)
  total = matrix.sum(axis=1, keepdims=True) if normalised else taps.sum()
  return (matrix / total).astype(np.float32)


def blur(x: jax.Array, sigma: float, *, normalised: bool = True) -> jax.Array:
  """Gaussian blur of images `[..., H, W, C]`, sigma in pixels; see `blur_matrix`."""
  rows = blur_matrix(x.shape[-3], sigma, normalised=normalised)
  columns = blur_matrix(x.shape[-2], sigma, normalised=normalised)
  return jnp.einsum('hi,...ijc,wj->...hwc', rows, x, columns, precision=jax.lax.Precision.HIGHEST)


def blur_pyramid(
  x: jax.Array, *, levels: int = 8, sigma_max: float = 20.0, normalised: bool = True
) -> jax.Array:
  """pi_g(x; u, sigma_max (1 - l / (levels - 1))) for each level l: `[..., levels, H, W, C]`."""
  sigmas = [sigma_max * (1 - level / (levels - 1)) for level in range(levels)]
  return jnp.stack([blur(x, sigma, normalised=normalised) for sigma in sigmas], axis=-4)


def fade_pyramid(x: jax.Array, *, value: jax.Array | float = 0.0) -> jax.Array:
  """A fade to a constant: two levels, because it is linear in the mask.

  Args:
    x: images `[..., H, W, C]`.
    value: the constant, in the units of x; a scalar, `[C]`, or what broadcasts to x. For black in
      the picture give the preprocessed value of black; 0 (the paper's) is then the training mean.
  """
  return jnp.stack([jnp.broadcast_to(value, x.shape).astype(x.dtype), x], axis=-4)


def pyramid(
  x: jax.Array,
  perturbation: Perturbation,
  *,
  levels: int = 8,
  sigma_max: float = 20.0,
  normalised: bool = True,
  fade_to: Sequence[float] = (0.0,),
) -> jax.Array:
  """The pyramid of a perturbation by name: 'blur' or 'fade'; see those two for the arguments."""
  if perturbation == 'blur':
    return blur_pyramid(x, levels=levels, sigma_max=sigma_max, normalised=normalised)
  if perturbation == 'fade':
    return fade_pyramid(x, value=jnp.asarray(fade_to, jnp.float32))
  raise ValueError(f"perturbation must be 'blur' or 'fade', not {perturbation!r}")


def check_fade_to(fade_to: Sequence[float], x: jax.Array) -> None:
  """Raises a `UserError` unless there is one value, or one for each channel of x."""
  if len(fade_to) not in (1, x.shape[-1]):
    raise UserError(f'fade_to must be one value or {x.shape[-1]}, not {fade_to!r}')


def blank(
  x: jax.Array,
  perturbation: Perturbation,
  *,
  sigma_max: float = 20.0,
  fade_to: Sequence[float] = (0.0,),
) -> jax.Array:
  """The fully perturbed images, `[..., H, W, C]`: level 0 of the pyramid by name."""
  if perturbation == 'blur':
    return blur(x, sigma_max)
  check_fade_to(fade_to, x)
  return fade_pyramid(x, value=jnp.asarray(fade_to, jnp.float32))[..., 0, :, :, :]


@jax.custom_vjp
def perturb(pyramids: jax.Array, masks: jax.Array) -> jax.Array:
  """m (x) x: each pixel at the strength its mask value asks for, without a gather.

  Args:
    pyramids: `[..., levels, H, W, C]`, from `blur_pyramid` or `fade_pyramid`.
    masks: `[..., H, W]` in [0, 1]: 1 keeps a pixel, 0 perturbs it fully.

  Returns:
    Images `[..., H, W, C]`.
  """
  return _perturb(pyramids, masks)[0]


def _position(pyramids: jax.Array, masks: jax.Array) -> tuple[int, jax.Array]:
  levels = pyramids.shape[-4]
  return levels, masks[..., None] * (levels - 1)


def _perturb(pyramids, masks):
  levels, position = _position(pyramids, masks)
  out = sum(
    pyramids[..., level, :, :, :] * jnp.maximum(0, 1 - jnp.abs(position - level))
    for level in range(levels)
  )
  return out, (pyramids, masks)


def _sum_channels(x: jax.Array) -> jax.Array:
  # XLA's CPU backend reduces a short last axis 15 times slower than it adds its slices.
  x = jax.lax.optimization_barrier(x)
  return functools.reduce(operator.add, (x[..., i] for i in range(x.shape[-1])))


def _perturb_backward(residuals, g):
  pyramids, masks = residuals
  levels, position = _position(pyramids, masks)
  segment = jnp.clip(jnp.floor(position), 0, levels - 2)
  slope = sum(
    (pyramids[..., level + 1, :, :, :] - pyramids[..., level, :, :, :]) * (segment == level)
    for level in range(levels - 1)
  )
  d_masks = _sum_channels(g * slope) * (levels - 1)
  weights = jnp.stack(
    [jnp.maximum(0, 1 - jnp.abs(position - level)) for level in range(levels)], axis=-4
  )
  extra = g.ndim - (pyramids.ndim - 1)
  d_pyramids = jnp.sum(weights * g[..., None, :, :, :], axis=tuple(range(extra)))
  return d_pyramids, d_masks


perturb.defvjp(_perturb, _perturb_backward)
