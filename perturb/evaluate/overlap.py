"""How much of a heatmap lies on the exact mask of what it should mark.

Shapes: B images, T thresholds. In every metric a pair is NaN if its mask is empty, or its heatmap
is constant, or NaN or infinite somewhere. Heatmaps are resampled as in
`perturb.evaluate.pointing.pointing_game`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from perturb.errors import UserError
from perturb.evaluate.annotated import Maps, pairs, value_levels

THRESHOLDS = tuple(np.round(np.arange(0, 1, 0.05), 2).tolist())


class IouCurves(NamedTuple):
  """How well thresholded heatmaps cover their masks.

  Attributes:
    thresholds: `[T]`.
    ious: `[B, T]`.
    areas: `[B]`, the area under each curve, over the range of the thresholds: in [0, 1].
  """

  thresholds: np.ndarray
  ious: np.ndarray
  areas: np.ndarray


def iou_curves(
  heatmaps: Maps, masks: Maps, *, thresholds: Sequence[float] = THRESHOLDS
) -> IouCurves:
  """Intersection over union of the thresholded heatmap and the mask, at each threshold.

  A heatmap is scaled to [0, 1]; its region are the pixels above the threshold, so that a heatmap
  equal to the mask has IoU 1 throughout. The area is that under straight lines between the
  thresholds. The paper does not say at which ones it measures.

  Source: Oramas, Wang and Tuytelaars, "Visual Explanation by Interpretation: Improving Visual
  Feedback Capabilities of Deep Neural Networks", ICLR 2019, section 4.3 and table 1.

  Args:
    heatmaps: `[B, h, w]`, one `[h, w]`, or B of any sizes, large where the evidence is.
    masks: bool `[B, H, W]`, one `[H, W]`, or B of any sizes.
    thresholds: `[T]`, rising, in [0, 1).

  Returns:
    An `IouCurves`.

  Raises:
    UserError: for other counts, axes or types, and thresholds that do not rise.
  """
  levels = np.asarray(thresholds, np.float64)
  if levels.ndim != 1 or len(levels) < 2 or (np.diff(levels) <= 0).any():
    raise UserError(f'thresholds must be two or more that rise, not {thresholds}')
  curves = []
  for heatmap, mask in pairs(heatmaps, masks):
    size = np.count_nonzero(mask)
    if heatmap is None or not size:
      curves.append(np.full(len(levels), np.nan))
      continue
    inside, cuts = heatmap[mask], value_levels(heatmap, levels)
    shared = np.array([np.count_nonzero(inside > cut) for cut in cuts])
    region = np.array([np.count_nonzero(heatmap > cut) for cut in cuts])
    curves.append(shared / (size + region - shared))
  ious = np.array(curves).reshape(-1, len(levels))
  areas = np.trapezoid(ious, levels, axis=1) / (levels[-1] - levels[0])
  return IouCurves(levels, ious, areas)


def relevance_mass(heatmaps: Maps, masks: Maps) -> np.ndarray:
  """The share of the positive evidence that lies on the mask.

  Relevance mass accuracy of Arras, Osman and Samek, "CLEVR-XAI", Information Fusion 2022. With
  masks of filled boxes it is the energy-based pointing game of Wang et al., "Score-CAM", CVPR
  workshops 2020.

  Args:
    heatmaps: `[B, h, w]`, one `[h, w]`, or B of any sizes, large where the evidence is.
    masks: bool `[B, H, W]`, one `[H, W]`, or B of any sizes.

  Returns:
    `[B]`; NaN also where nothing is positive.

  Raises:
    UserError: for other counts, axes or types.
  """
  shares = []
  for heatmap, mask in pairs(heatmaps, masks):
    if heatmap is None or not mask.any():
      shares.append(np.nan)
      continue
    positive = np.maximum(heatmap, 0)
    total = positive.sum(dtype=np.float64)
    shares.append(positive[mask].sum(dtype=np.float64) / total if total else np.nan)
  return np.array(shares, np.float64)


def relevance_rank(heatmaps: Maps, masks: Maps) -> np.ndarray:
  """The share of a heatmap's K largest pixels that lies on the mask, of K pixels.

  Relevance rank accuracy of Arras, Osman and Samek, "CLEVR-XAI", Information Fusion 2022. Of
  pixels equal to the K-th largest, the share that a random choice takes in the mean counts.

  See `relevance_mass` for the arguments and errors.

  Returns:
    `[B]`.
  """
  shares = []
  for heatmap, mask in pairs(heatmaps, masks):
    size = np.count_nonzero(mask)
    if heatmap is None or not size:
      shares.append(np.nan)
      continue
    least = np.partition(heatmap, heatmap.size - size, axis=None)[heatmap.size - size]
    inside = heatmap[mask]
    above, tied = np.count_nonzero(heatmap > least), np.count_nonzero(heatmap == least)
    equal = np.count_nonzero(inside == least) * (size - above) / tied
    shares.append((np.count_nonzero(inside > least) + equal) / size)
  return np.array(shares, np.float64)
