"""Heatmaps and the masks of what they should mark, pair by pair.

Annotated pictures have sizes of their own, so a batch is an array or any sequence of arrays, which
may read an item when it is asked for. The metrics go through it with NumPy, one map at a time: they
sort, which XLA does many times slower on a CPU, and no program is compiled for a new size.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from perturb.errors import UserError

Batch = np.ndarray | Sequence[Any]  # B maps.
Maps = jax.Array | Batch  # [B, h, w], one map [h, w], or B maps.


def batch_of(name: str, values: Maps) -> Batch:
  """A batch as a sequence of maps, of which none is looked at; one map `[h, w]` counts as B = 1.

  Raises:
    UserError: for an array of another number of axes, and for what is no sequence.
  """
  wanted = f'{name} must be an array [B, h, w] or a sequence of arrays [h, w]'
  if not isinstance(values, jax.Array | np.ndarray):
    if not (hasattr(values, '__len__') and hasattr(values, '__getitem__')):
      raise UserError(f'{wanted}, not a {type(values).__name__}')
    return values
  if values.ndim not in (2, 3):
    raise UserError(f'{wanted}, not of shape {values.shape}')
  array = np.asarray(values)
  return array if array.ndim == 3 else array[None]


def check_counts(**batches: Any) -> int:
  """B, the number of items of each batch.

  Raises:
    UserError: unless they have as many.
  """
  counts = {name: len(batch) for name, batch in batches.items()}
  (first, count), *others = counts.items()
  for name, other in others:
    if other != count:
      raise UserError(f'{name} has {other} items, and {first} has {count}: give as many')
  return count


def _map_of(name: str, batch: Batch, index: int) -> np.ndarray:
  found = np.asarray(batch[index])
  if found.ndim != 2 or not found.size:
    raise UserError(f'{name}[{index}] must be of shape [h, w], not {found.shape}')
  return found


def informative(heatmap: np.ndarray) -> np.ndarray | None:
  """The heatmap itself; None where it says nothing: not finite somewhere, or constant."""
  low, high = heatmap.min(), heatmap.max()
  return heatmap if np.isfinite(low) and np.isfinite(high) and low < high else None


def heatmap_of(name: str, batch: Batch, index: int) -> np.ndarray | None:
  """One heatmap as float32 `[h, w]`; None where it is not `informative`.

  Raises:
    UserError: for another number of axes, or what are no real numbers.
  """
  found = _map_of(name, batch, index)
  if not np.can_cast(found.dtype, np.float64, 'same_kind'):
    raise UserError(f'{name}[{index}] must be of real numbers, not {found.dtype}')
  with np.errstate(over='ignore'):
    return informative(found.astype(np.float32, copy=False))


def value_levels(heatmap: np.ndarray, shares: np.ndarray) -> np.ndarray:
  """The values at these shares `[T]` of the way from a heatmap's least to its largest: float32.

  Comparing with them spares scaling the heatmap to [0, 1].
  """
  low, high = float(heatmap.min()), float(heatmap.max())
  return (low + shares * (high - low)).astype(np.float32)


def mask_of(name: str, batch: Batch, index: int) -> np.ndarray:
  """One mask as bool `[H, W]`: what is not 0 of booleans or integers.

  Raises:
    UserError: for another number of axes, or fractions.
  """
  found = _map_of(name, batch, index)
  if found.dtype.kind not in 'biu':
    raise UserError(f'{name}[{index}] must be of booleans, not {found.dtype}: give mask > 0.5')
  return found.astype(bool, copy=False)


def _lines(values: np.ndarray, count: int, axis: int) -> np.ndarray:
  """Linear resampling along one axis; the ends are held."""
  size = values.shape[axis]
  if size == count:
    return values
  place = np.clip((np.arange(count) + 0.5) * (size / count) - 0.5, 0, size - 1)
  low = place.astype(int)
  share = (place - low).astype(np.float32)
  share = share[:, None] if axis == 0 else share
  first, second = values.take(low, axis), values.take(np.minimum(low + 1, size - 1), axis)
  return first * (1 - share) + second * share


def resized(heatmap: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
  """One map `[h, w]` as `[H, W]`: `perturb.ops.heatmaps.resize`, without compiling for a size.

  None stays None, and so becomes a map of which nothing is left that is `informative`: a small one
  may miss a peak of a large one.
  """
  if heatmap is None or heatmap.shape == size:
    return heatmap
  return informative(_lines(_lines(heatmap, size[1], 1), size[0], 0))


def pairs(heatmaps: Maps, masks: Maps) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
  """Each heatmap at the size of its mask, and the mask.

  Args:
    heatmaps: `[B, h, w]`, or B of any sizes; resampled bilinearly where their mask's size differs,
      pixels being cells with a centre.
    masks: `[B, H, W]`, or B of any sizes.

  Yields:
    (float32 `[H, W]`, or None for a heatmap that is not finite somewhere or constant; bool
    `[H, W]`).

  Raises:
    UserError: for other counts, axes or types.
  """
  maps, regions = batch_of('heatmaps', heatmaps), batch_of('masks', masks)
  for i in range(check_counts(heatmaps=maps, masks=regions)):
    heatmap, mask = heatmap_of('heatmaps', maps, i), mask_of('masks', regions, i)
    yield resized(heatmap, mask.shape), mask
