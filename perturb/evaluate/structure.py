"""Structural similarity of heatmaps (SSIM).

Source: Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to
Structural Similarity", IEEE Transactions on Image Processing 2004, equation 13.
"""

import math
from typing import Literal, get_args

import numpy as np

from perturb.errors import UserError, check_choice
from perturb.evaluate.agreement import of_each_pair
from perturb.evaluate.annotated import Maps

Window = Literal['uniform', 'gaussian']
K1, K2 = 0.01, 0.03
SIGMA, REACH = 1.5, 5  # Of the Gaussian window in pixels: 11 x 11, as in the paper.
SIDE = 7  # Of the uniform window.


def _taps(window: str) -> np.ndarray:
  if window == 'uniform':
    return np.full(SIDE, 1 / SIDE)
  taps = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / SIGMA) ** 2)
  return taps / taps.sum()


def _filtered(values: np.ndarray, taps: np.ndarray) -> np.ndarray:
  """Weighted means of `[h, w]` over the windows that lie inside."""
  for _ in range(2):
    count = values.shape[0] - len(taps) + 1
    total = taps[0] * values[:count]
    part = np.empty_like(total)  # One for all: each stays in the cache.
    for i, tap in enumerate(taps[1:], 1):
      total += np.multiply(values[i : i + count], tap, out=part)
    values = np.ascontiguousarray(total.T)
  return values


def _ssim(
  a: np.ndarray, b: np.ndarray, taps: np.ndarray, unbias: float, data_range: float
) -> float:
  mean_a, mean_b, squares, product = (_filtered(m, taps) for m in (a, b, a * a + b * b, a * b))
  squared_means, product_of_means = mean_a**2 + mean_b**2, mean_a * mean_b
  variances = unbias * (squares - squared_means)
  covariance = unbias * (product - product_of_means)
  c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
  closeness = (2 * product_of_means + c1) / (squared_means + c1)
  return float((closeness * (2 * covariance + c2) / (variances + c2)).mean())


def structural_similarity(
  heatmaps: Maps,
  others: Maps,
  *,
  window: Window = 'uniform',
  data_range: float | None = None,
  absolute: bool = False,
) -> np.ndarray:
  """The mean SSIM over all windows that lie inside the heatmaps.

  Args:
    heatmaps: `[B, h, w]`, one `[h, w]`, or B of any sizes, at least as large as the window.
    others: as many, each of the size of its pair.
    window: 7 x 7 equal weights ('uniform', with unbiased variances, as in scikit-image), or 11 x 11
      of a Gaussian of sigma 1.5 ('gaussian', the paper's).
    data_range: of the values, which are compared as they are; by default each map is scaled to
      [0, 1] first.
    absolute: whether |map| is compared instead of the signed map.

  Returns:
    `[B]`, in [-1, 1]; NaN if one of the heatmaps is constant, or NaN or infinite somewhere.

  Raises:
    UserError: for other counts, axes, types or sizes, and a range that is not positive.
  """
  check_choice('window', window, get_args(Window))
  if data_range is not None and not (math.isfinite(data_range) and data_range > 0):
    raise UserError(f'data_range must be a positive number, not {data_range}')
  taps = _taps(window)
  unbias = SIDE**2 / (SIDE**2 - 1) if window == 'uniform' else 1.0

  def alike(a: np.ndarray, b: np.ndarray) -> float:
    if min(a.shape) < len(taps):
      raise UserError(f'heatmaps must have at least {len(taps)} pixels a side, not {a.shape}')
    a, b = a.astype(np.float64), b.astype(np.float64)
    if data_range is None:
      a, b = ((each - each.min()) / np.ptp(each) for each in (a, b))
    return _ssim(a, b, taps, unbias, 1.0 if data_range is None else data_range)

  return of_each_pair(heatmaps, others, alike, absolute=absolute)
