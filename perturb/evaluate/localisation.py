"""Weak localisation: the box around a heatmap's strongest pixels.

Source: Fong and Vedaldi, "Interpretable Explanations of Black Boxes by Meaningful Perturbation",
ICCV 2017, section 5.6 and table 1. A box is (top, left, bottom, right) in pixels, the last two
excluded, as in `perturb.evaluate.boxes`; `perturb.evaluate.localisation_scores` judges it. Shapes:
B images, T thresholds alpha.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import jax
import numpy as np

from perturb.errors import UserError, check_choice
from perturb.evaluate.annotated import (
  Maps,
  batch_of,
  check_counts,
  heatmap_of,
  resized,
  value_levels,
)

Rule = Literal['value', 'energy', 'mean']
Mode = Literal['paper', 'released']
GRIDS: dict[str, tuple[float, ...]] = {
  'value': tuple(np.round(np.arange(0, 1, 0.05), 2).tolist()),
  'energy': tuple(np.round(np.arange(0, 1, 0.05), 2).tolist()),
  'mean': tuple(np.arange(0, 10.5, 0.5).tolist()),
}


def _positive_first(values: np.ndarray) -> np.ndarray:
  """The indices of the positive of float32 `[N]`, the largest first; of equal ones the first is.

  Sorted are 64 bits: those of the number, which rise with it, inverted, then its index.
  """
  places = np.flatnonzero(values > 0)
  inverted = (~values[places].view(np.uint32)).astype(np.uint64)
  keys = np.sort(inverted << np.uint64(32) | places.astype(np.uint64))
  return (keys & np.uint64(2**32 - 1)).astype(np.int64)


def _levels(heatmap: np.ndarray, rule: str, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(order `[h, w]`, levels `[T]`): the region of a threshold is where order >= level."""
  if rule == 'mean':
    return heatmap, (alphas * heatmap.mean(dtype=np.float64)).astype(np.float32)
  if rule == 'value':
    return heatmap, value_levels(heatmap, alphas)
  flat = heatmap.ravel()
  falling = _positive_first(flat)  # Beyond, the sum reaches nothing that it has not reached.
  energy = np.cumsum(flat[falling], dtype=np.float64)
  kept = np.searchsorted(energy, alphas * heatmap.sum(dtype=np.float64))
  order = np.full(flat.size, -flat.size, np.int32)
  order[falling] = np.arange(0, -len(falling), -1)
  return order.reshape(heatmap.shape), 1 - kept


def _ends(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  return inside.argmax(1), inside.shape[1] - inside[:, ::-1].argmax(1)


def _tight_boxes(order: np.ndarray, levels: np.ndarray) -> np.ndarray:
  """The box around the pixels that reach each level, `[T, 4]`; where none does, the whole map.

  The rows and columns of the box are those whose maximum reaches it.
  """
  top, bottom = _ends(order.max(1) >= levels[:, None])
  left, right = _ends(order.max(0) >= levels[:, None])
  return np.stack([top, left, bottom, right], axis=1)


def _check(rule: str, mode: str, thresholds: Sequence[float] | None) -> np.ndarray:
  check_choice('rule', rule, get_args(Rule))
  check_choice('mode', mode, get_args(Mode))
  alphas = np.asarray(GRIDS[rule] if thresholds is None else thresholds, np.float64)
  if alphas.ndim != 1 or not alphas.size:
    raise UserError(f'thresholds must be numbers [T], not of shape {alphas.shape}')
  return alphas


def heatmap_boxes(
  heatmaps: Maps,
  sizes: Sequence[int] | Sequence[Sequence[int]] | jax.Array | np.ndarray,
  *,
  rule: Rule = 'value',
  thresholds: Sequence[float] | None = None,
  mode: Mode = 'paper',
) -> np.ndarray:
  """The box around each heatmap's region of each threshold.

  Args:
    heatmaps: `[B, h, w]`, one `[h, w]`, or B of any sizes, large where the evidence is.
    sizes: (H, W) of each picture `[B, 2]`, or one for all.
    rule: what a region has: the pixels with h - min >= alpha (max - min) ('value'); the largest,
      up to the one at which their sum reaches alpha of the total, without it ('energy'; of equal
      pixels the first in reading order come first, and negative ones are never among them); those
      with h >= alpha mean(h) ('mean').
    thresholds: alpha `[T]`; the paper's grid of the rule by default, see `GRIDS`.
    mode: the heatmap is resampled bilinearly to (H, W) first ('paper'), or the box is found on the
      heatmap as it is, and scaled ('released').

  Returns:
    `[B, T, 4]`, the whole picture where a region is empty. NaN for a heatmap that is constant, or
    NaN or infinite somewhere.

  Raises:
    UserError: for other counts, axes or types, and an unknown rule or mode.
  """
  alphas, maps = _check(rule, mode, thresholds), batch_of('heatmaps', heatmaps)
  pictures = np.asarray(sizes)
  if pictures.ndim == 1:
    pictures = np.tile(pictures, (len(maps), 1))
  if pictures.ndim != 2 or pictures.shape[1] != 2 or (pictures < 1).any():
    raise UserError(f'sizes must be (H, W) or [B, 2], in pixels, not of shape {np.shape(sizes)}')
  boxes = np.full((check_counts(heatmaps=maps, sizes=pictures), len(alphas), 4), np.nan)
  for i, (height, width) in enumerate(pictures.astype(int).tolist()):
    heatmap = heatmap_of('heatmaps', maps, i)
    if mode == 'paper':
      heatmap = resized(heatmap, (height, width))
    if heatmap is None:
      continue
    scale = (height / heatmap.shape[0], width / heatmap.shape[1])
    boxes[i] = _tight_boxes(*_levels(heatmap, rule, alphas)) * (scale * 2)
  return boxes
