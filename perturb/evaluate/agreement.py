"""How alike two heatmaps are.

Sources: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3, for the rank
correlations and SSIM; Rebuffi, Fong, Ji and Vedaldi, "There and Back Again: Revisiting
Backpropagation Saliency Methods", CVPR 2020, section 4. A pair is NaN if one of its heatmaps is
constant, or NaN or infinite somewhere. See `perturb.evaluate.structure` for SSIM.
"""

from collections.abc import Callable
import math

import numpy as np

from perturb.errors import UserError
from perturb.evaluate.annotated import Maps, batch_of, check_counts, heatmap_of, informative


def of_each_pair(
  heatmaps: Maps,
  others: Maps,
  alike: Callable[[np.ndarray, np.ndarray], float],
  *,
  absolute: bool = False,
) -> np.ndarray:
  """A likeness `[B]` of each two heatmaps.

  Args:
    heatmaps: `[B, h, w]`, one `[h, w]`, or B of any sizes.
    others: as many, each of the size of its pair.
    alike: of two float32 `[h, w]`.
    absolute: whether |map| is compared; it is NaN too where that is constant.

  Raises:
    UserError: for other counts, axes, types or sizes.
  """
  first, second = batch_of('heatmaps', heatmaps), batch_of('others', others)
  found = np.full(check_counts(heatmaps=first, others=second), np.nan)
  for i in range(len(found)):
    sizes = [np.shape(first[i]), np.shape(second[i])]
    if sizes[0] != sizes[1]:
      raise UserError(f'others[{i}] must be of shape {sizes[0]}, not {sizes[1]}')
    a, b = heatmap_of('heatmaps', first, i), heatmap_of('others', second, i)
    if absolute:
      a, b = (None if each is None else informative(np.abs(each)) for each in (a, b))
    if a is not None and b is not None:
      found[i] = alike(a, b)
  return found


def _average_ranks(values: np.ndarray) -> np.ndarray:
  """From 1/2, which a correlation does not see; equal values share the mean of their ranks."""
  flat = values.ravel()
  order = flat.argsort()
  rising = flat[order]
  starts = np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]]))
  counts = np.diff(starts, append=len(rising))
  ranks = np.empty(len(rising))
  ranks[order] = np.repeat(starts + counts / 2, counts)
  return ranks


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
  a, b = (each.ravel().astype(np.float64) for each in (a, b))
  a, b = (each - each.mean() for each in (a, b))
  return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1, 1))


def rank_correlation(heatmaps: Maps, others: Maps, *, absolute: bool = False) -> np.ndarray:
  """Spearman's rank correlation; equal pixels share the mean of their ranks.

  Args:
    heatmaps: `[B, h, w]`, one `[h, w]`, or B of any sizes.
    others: as many, each of the size of its pair.
    absolute: whether |map| is compared instead of the signed map.

  Returns:
    `[B]`, in [-1, 1].

  Raises:
    UserError: for other counts, axes, types or sizes.
  """
  return of_each_pair(
    heatmaps,
    others,
    lambda a, b: _correlation(_average_ranks(a), _average_ranks(b)),
    absolute=absolute,
  )


def pearson_correlation(heatmaps: Maps, others: Maps, *, absolute: bool = False) -> np.ndarray:
  """Pearson's correlation of the pixels; arguments, result and errors as `rank_correlation`."""
  return of_each_pair(heatmaps, others, _correlation, absolute=absolute)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
  """Bool `[N]`: exactly so many; of equal ones those that come first."""
  flat = values.ravel()
  least = np.partition(flat, flat.size - count)[flat.size - count]
  inside = flat > least
  tied = np.flatnonzero(flat == least)
  inside[tied[: count - np.count_nonzero(inside)]] = True
  return inside


def top_overlap(heatmaps: Maps, others: Maps, *, share: float = 0.1) -> np.ndarray:
  """How many of a heatmap's largest pixels are among the other's, of as many.

  Args:
    heatmaps: `[B, h, w]`, one `[h, w]`, or B of any sizes.
    others: as many, each of the size of its pair.
    share: of the pixels, in (0, 1]; at least one is taken. Of equal ones the first in reading order
      come first.

  Returns:
    `[B]`, in [0, 1]; two unrelated maps have the share.

  Raises:
    UserError: as `rank_correlation`, and for another share.
  """
  if not 0 < share <= 1:
    raise UserError(f'share must be in (0, 1], not {share}')

  def alike(a: np.ndarray, b: np.ndarray) -> float:
    count = max(1, round(share * a.size))
    return np.count_nonzero(_largest(a, count) & _largest(b, count)) / count

  return of_each_pair(heatmaps, others, alike)
