"""The pointing game: whether a heatmap's maximum lies on the object.

Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016; Fong, Patrick
and Vedaldi, "Understanding Deep Networks via Extremal Perturbations and Smooth Masks", ICCV 2019,
section 4.2. See `perturb.evaluate.class_means` for the accuracy.
"""

from collections.abc import Sequence
import math
from typing import Literal, get_args

import jax
import numpy as np

from perturb.errors import UserError, check_choice
from perturb.evaluate.annotated import Maps, batch_of, check_counts, mask_of, pairs

Mode = Literal['paper', 'torchray']
TOLERANCE = 15.0  # pixels


def _check(tolerance: float, mode: str) -> None:
  check_choice('mode', mode, get_args(Mode))
  if not (math.isfinite(tolerance) and tolerance >= 0):
    raise UserError(f'tolerance must be a number of pixels, at least 0, not {tolerance}')


def _near(x: float, y: float, mask: np.ndarray, tolerance: float, mode: str) -> bool:
  if not (math.isfinite(x) and math.isfinite(y)):
    return False
  top, left = (max(0, math.ceil(place - tolerance)) for place in (y, x))
  window = mask[top : max(0, math.floor(y + tolerance) + 1)]
  window = window[:, left : max(0, math.floor(x + tolerance) + 1)]
  rows, columns = np.ogrid[: window.shape[0], : window.shape[1]]
  squared = (rows + top - y) ** 2 + (columns + left - x) ** 2
  inside = squared <= tolerance**2 if mode == 'paper' else squared < tolerance**2
  return bool((window & inside).any())


def point_hits(
  points: Sequence[Sequence[float]] | jax.Array | np.ndarray,
  masks: Maps,
  *,
  tolerance: float = TOLERANCE,
  mode: Mode = 'paper',
) -> np.ndarray:
  """Whether each point lies on its mask, or near it.

  Args:
    points: (x, y) `[B, 2]` in pixels of the masks; the centre of the first pixel is (0, 0). One
      that is not finite is a miss.
    masks: as in `pointing_game`.
    tolerance: as in `pointing_game`.
    mode: as in `pointing_game`.

  Returns:
    bool `[B]`.

  Raises:
    UserError: as `pointing_game`.
  """
  _check(tolerance, mode)
  places, regions = np.asarray(points, np.float64), batch_of('masks', masks)
  if places.ndim != 2 or places.shape[1] != 2:
    raise UserError(f'points must be of shape [B, 2], not {places.shape}')
  hits = [
    _near(x, y, mask_of('masks', regions, i), tolerance, mode)
    for i, (x, y) in zip(range(check_counts(points=places, masks=regions)), places, strict=True)
  ]
  return np.array(hits, bool)


def pointing_game(
  heatmaps: Maps, masks: Maps, *, tolerance: float = TOLERANCE, mode: Mode = 'paper'
) -> np.ndarray:
  """Whether the maximum of each heatmap lies on its mask, or near it.

  Args:
    heatmaps: `[B, h, w]`, one `[h, w]`, or B of any sizes, large where the evidence is. Resampled
      bilinearly where their mask's size differs, which should be the picture's own. Of several
      maxima the first in reading order counts. A heatmap that is constant, or NaN or infinite
      somewhere, points nowhere: a miss.
    masks: bool `[B, H, W]`, one `[H, W]`, or B of any sizes; an empty one is missed.
    tolerance: the distance from a pixel of the mask that is still a hit, in pixels of the mask.
    mode: a hit is at most so far away ('paper'), or less far ('torchray', where nothing is within a
      tolerance of 0).

  Returns:
    hits, bool `[B]`.

  Raises:
    UserError: for other counts, axes or types, and a tolerance that is no distance.
  """
  _check(tolerance, mode)
  hits = []
  for heatmap, mask in pairs(heatmaps, masks):
    if heatmap is None:
      hits.append(False)
      continue
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    hits.append(_near(float(x), float(y), mask, tolerance, mode))
  return np.array(hits, bool)


def centre_hits(masks: Maps, *, tolerance: float = TOLERANCE, mode: Mode = 'paper') -> np.ndarray:
  """The baseline of the pointing game that points at (W / 2, H / 2): hits, bool `[B]`.

  See `pointing_game` for the arguments and errors.
  """
  regions = batch_of('masks', masks)
  sizes = [mask_of('masks', regions, i).shape for i in range(len(regions))]
  points = np.array([(width / 2, height / 2) for height, width in sizes]).reshape(-1, 2)
  return point_hits(points, regions, tolerance=tolerance, mode=mode)
