"""Whether an explanation ranks the parts of an object as the network does."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from perturb.errors import UserError, check_choice
from perturb.evaluate.agreement import rank_correlation
from perturb.evaluate.annotated import Batch, Maps, batch_of, check_counts, heatmap_of, resized

Evidence = Literal['sum', 'mean']  # Of a heatmap over the pixels of a part.


class PartImportance(NamedTuple):
  """Shapes: B pictures, P parts. NaN for a part that a picture does not show.

  Attributes:
    network: `[B, P]`: what the score of the class loses when a part is not there.
    explanation: `[B, P]`: the sum, or the mean, of the heatmap over the part's pixels.
    correlation: `[B]`, in [-1, 1]: Spearman's rank correlation of the two over the parts of a
      picture; NaN if either is the same for all of them, or of fewer than two.
  """

  network: np.ndarray
  explanation: np.ndarray
  correlation: np.ndarray


def part_importance(
  scores: ArrayLike,
  without: ArrayLike,
  heatmaps: Maps,
  parts: Maps,
  *,
  evidence: Evidence = 'sum',
) -> PartImportance:
  """The importance of each part: to the network, and by an explanation.

  The single deletion protocol of Hesse, Schaub-Meyer and Roth, "FunnyBirds: A Synthetic Vision
  Dataset for a Part-Based Analysis of Explainable AI Methods", ICCV 2023, section 4, whose score is
  (1 + the mean correlation) / 2. `perturb.data.flower_pictures.render` gives a picture without a
  part.

  Args:
    scores: `[B]`, of the target class, for each whole picture.
    without: `[B, P]`, the same for the picture without each part.
    heatmaps: `[B, h, w]`, one `[h, w]`, or B of any sizes, large where the evidence is; one that is
      constant, or not finite somewhere, says nothing: NaN.
    parts: int `[B, H, W]`, one `[H, W]`, or B of any sizes: which part a pixel shows, 1 to P, or 0.
    evidence: 'sum', as in FunnyBirds, which the size of a part alone makes larger; 'mean', by which
      a heatmap that looks at nothing ranks nothing.

  Raises:
    UserError: for other counts, axes or types, and a part that `without` does not have.
  """
  check_choice('evidence', evidence, get_args(Evidence))
  whole, deleted = np.asarray(scores, float), np.asarray(without, float)
  if whole.ndim != 1 or deleted.ndim != 2:
    raise UserError(
      f'scores must be of shape [B] and without of [B, P], not {whole.shape} and {deleted.shape}'
    )
  maps, shown = batch_of('heatmaps', heatmaps), batch_of('parts', parts)
  check_counts(scores=whole, without=deleted, heatmaps=maps, parts=shown)
  network = whole[:, None] - deleted
  explanation = np.full(network.shape, np.nan)
  for i in range(len(whole)):
    pixels, counts = _counted(shown, i, network.shape[1])
    heatmap = resized(heatmap_of('heatmaps', maps, i), pixels.shape)
    network[i, counts == 0] = np.nan
    if heatmap is not None:
      sums = np.bincount(pixels.ravel(), heatmap.ravel(), 1 + len(counts))[1:]
      found = sums if evidence == 'sum' else sums / np.maximum(counts, 1)
      explanation[i] = np.where(counts > 0, found, np.nan)
  return PartImportance(network, explanation, _correlations(network, explanation))


def _counted(parts: Batch, index: int, count: int) -> tuple[np.ndarray, np.ndarray]:
  """(the part of each pixel, how many pixels each part has, without the background)."""
  pixels = np.asarray(parts[index])
  if pixels.ndim != 2 or pixels.dtype.kind not in 'iu':
    raise UserError(
      f'parts[{index}] must be integers of shape [H, W], not {pixels.dtype} {pixels.shape}'
    )
  if pixels.min() < 0 or pixels.max() > count:
    raise UserError(
      f'parts[{index}] must be from 0 to {count}, the parts of `without`; it has '
      f'{pixels.min()} to {pixels.max()}'
    )
  return pixels, np.bincount(pixels.ravel(), minlength=1 + count)[1:]


def _correlations(network: np.ndarray, explanation: np.ndarray) -> np.ndarray:
  found = np.full(len(network), np.nan)
  for i, (drops, sums) in enumerate(zip(network, explanation, strict=True)):
    known = np.isfinite(drops) & np.isfinite(sums)
    if np.count_nonzero(known) > 1:
      found[i] = rank_correlation(drops[known][None], sums[known][None])[0]
  return found
