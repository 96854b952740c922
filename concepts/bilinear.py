"""Bilinear upsampling; of binary maps in whole numbers, so that no tie depends on rounding.

The weights of two neighbours are multiples of 1 / unit; in these units a map of zeros and ones has
whole values below 2^24, which float32 adds exactly in any order. Upsampled values of exactly 1/2
do occur (13 to 113 pixels, corners on corners), and every machine decides them alike.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

HIGHEST = jax.lax.Precision.HIGHEST  # No accelerator shortens the whole numbers.


@functools.cache
def bilinear_weights(
  source: int, target: int, align_corners: bool = True
) -> tuple[np.ndarray, int]:
  """What each of `target` pixels takes of each of `source`, along one axis.

  Args:
    source: pixels there are.
    target: pixels there will be.
    align_corners: whether the first and last centres lie on each other, as in the PyTorch of the
      released code (0.3); else pixels are cells with a centre, as in `perturb.ops.heatmaps.resize`.

  Returns:
    (whole numbers, float32 `[target, source]`; the unit, which is the sum of each row).
  """
  pixels = np.arange(target)
  if align_corners:
    unit, places = max(target - 1, 1), pixels * (source - 1)
  else:
    unit, places = 2 * target, (2 * pixels + 1) * source - target
  low, rest = np.divmod(np.clip(places, 0, (source - 1) * unit), unit)
  weights = np.zeros((target, source), np.float32)
  weights[pixels, low] = unit - rest
  weights[pixels, np.minimum(low + 1, source - 1)] += rest
  weights.flags.writeable = False  # It is kept for the next who asks.
  return weights, unit


def upsampled(
  maps: jax.Array, size: tuple[int, int], align_corners: bool = True
) -> tuple[jax.Array, int]:
  """S of maps `[n, h, w, K]`, in units.

  Returns:
    (float32 `[n, sh, sw, K]`, the unit that 1 has become).
  """
  rows, high = bilinear_weights(maps.shape[1], size[0], align_corners)
  columns, wide = bilinear_weights(maps.shape[2], size[1], align_corners)
  values = jnp.einsum('ih,nhwk->niwk', rows, maps.astype(jnp.float32), precision=HIGHEST)
  return jnp.einsum('jw,niwk->nijk', columns, values, precision=HIGHEST), high * wide


def interpolated(maps: jax.Array, size: tuple[int, int], align_corners: bool = True) -> jax.Array:
  """S of maps of any values: `[..., h, w]` to float32 `[..., sh, sw]`, not in units."""
  (rows, high), (columns, wide) = (
    bilinear_weights(source, target, align_corners)
    for source, target in zip(maps.shape[-2:], size, strict=True)
  )
  return jnp.einsum(
    'yh,...hw,xw->...yx',
    rows / np.float32(high),
    maps,
    columns / np.float32(wide),
    precision=HIGHEST,
  )
