"""Bilinear upsampling; of binary maps in whole numbers, so that no tie depends on rounding.

The weights of two neighbours are multiples of 1 / unit; in these units a map of zeros and ones has
whole values below 2^24, which float32 adds exactly in any order. Upsampled values of exactly 1/2
do occur (13 to 113 pixels, corners on corners), and every machine decides them alike.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

HIGHEST = jax.lax.Precision.HIGHEST  # No accelerator shortens the whole numbers.
PATTERNS = 15  # Ways in which some of four neighbours are active.


class Cells(NamedTuple):
  """The pixels between each four neighbours of a map.

  Attributes:
    rows: of the cells from top to bottom, which rows of pixels lie in them, int `[h', a]`; the
      number of rows where a cell has fewer than a.
    columns: likewise `[w', b]`.
    covered: whether 1[..] upsampled exceeds 1/2 at a pixel, bool `[h', a, w', b, 15]`, if the
      pattern of the cell is 1 to 15: the sum of 1, 2, 4 and 8 for the active ones of the neighbours
      at its top left, top right, bottom left and bottom right.
  """

  rows: np.ndarray
  columns: np.ndarray
  covered: np.ndarray

  @property
  def number(self) -> int:
    """How many cells there are."""
    return len(self.rows) * len(self.columns)


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


@functools.cache
def cells_of(maps: tuple[int, int], size: tuple[int, int], align_corners: bool = True) -> Cells:
  """The cells of maps (h, w) that are upsampled to (sh, sw) pixels."""
  rows, above_below, high = _along(maps[0], size[0], align_corners)
  columns, left_right, wide = _along(maps[1], size[1], align_corners)
  numbers = np.arange(1, PATTERNS + 1)
  active = numbers >> np.array([[0, 1], [2, 3]])[..., None] & 1
  values = np.einsum('aiu,bjv,uvq->aibjq', above_below, left_right, active)
  return Cells(rows, columns, 2 * values > high * wide)


def _along(source: int, target: int, align_corners: bool) -> tuple[np.ndarray, np.ndarray, int]:
  """(pixels of each cell along one axis `[c, a]`, their weights `[c, a, 2]`, the unit)."""
  weights, unit = bilinear_weights(source, target, align_corners)
  first = np.minimum(np.argmax(weights > 0, axis=1), max(source - 2, 0))
  count = max(source - 1, 1)
  pixels = [np.flatnonzero(first == cell) for cell in range(count)]
  most = max(len(some) for some in pixels)
  index, pairs = np.full((count, most), target), np.zeros((count, most, 2))
  for cell, some in enumerate(pixels):
    index[cell, : len(some)] = some
    found = weights[some, cell : cell + 2]
    pairs[cell, : len(some), : found.shape[1]] = found
  return index, pairs, unit
