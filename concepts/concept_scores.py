"""How well concepts are encoded: one filter against all of them, over concepts and pictures.

Source: Fong and Vedaldi, Net2Vec (CVPR 2018), section 4.1 (table 1, fig. 2 and 3), 5.1 (fig. 7 and
8) and 5.2. Letters: C concepts, K filters, N pictures, T subsets. A score is larger where it is
better: IoU_set or IoU_ind, or accuracy; NaN where it is not known.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from perturb.errors import UserError
from perturb.evaluate.intervals import LEVEL, Interval

SIGNIFICANT = 0.01  # Largest p of a correlation that counts, as in section 5.2.
SHARES = tuple(k / 10 for k in range(1, 11))


def wins(combined: np.ndarray, single: np.ndarray) -> Interval:
  """Share of concepts for which the combination is as good as the best filter, or better (table 1).

  The interval, of 95 %, is that of the bootstrap over concepts with ever more resamples: how many
  of those drawn are won is then binomial.

  Args:
    combined: scores of the combinations, `[C]`.
    single: of the best single filters, `[C]`.

  Returns:
    The share in [0, 1] over the concepts whose two scores are known.
  """
  combined, single = _alike(combined=combined, single=single)
  known = ~(np.isnan(combined) | np.isnan(single))
  used, left_out = int(known.sum()), int((~known).sum())
  if not used:
    return Interval(np.nan, np.nan, np.nan, 0, left_out)
  share = float(np.mean(combined[known] >= single[known]))
  low, high = stats.binom.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], used, share) / used
  return Interval(share, float(low), float(high), used, left_out)


class CategoryScore(NamedTuple):
  """The mean score of a category.

  Attributes:
    mean: over its concepts with a known score; NaN if there are none.
    error: standard error of the mean; NaN of fewer than two.
    concepts: how many count.
  """

  mean: float
  error: float
  concepts: int


def by_category(
  scores: np.ndarray, categories: Sequence[Sequence[str]]
) -> dict[str, CategoryScore]:
  """The mean over the concepts of each category (fig. 2), by the name of the category.

  Args:
    scores: `[C]`.
    categories: of each concept; one of several counts in each.
  """
  scores = np.asarray(scores, float)
  if len(scores) != len(categories):
    raise UserError(f'{len(scores)} scores of concepts, but categories of {len(categories)}')
  found = {}
  for name in sorted({name for each in categories for name in each}):
    values = scores[[name in each for each in categories]]
    values = values[~np.isnan(values)]
    count = len(values)
    mean = float(values.mean()) if count else np.nan
    error = float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else np.nan
    found[name] = CategoryScore(mean, error, count)
  return found


def minimal_filters(
  counts: Sequence[int] | np.ndarray, scores: np.ndarray, *, tolerance: float = 0.05
) -> np.ndarray:
  """How few filters encode each concept: the smallest F whose score is near that of the best F.

  Args:
    counts: F, `[T]`, rising.
    scores: on validation pictures with F filters, `[T, C]`.
    tolerance: share of the best score that may be missing, in [0, 1).

  Returns:
    F, int `[C]`; 0 for a concept without a score.
  """
  counts, scores = np.asarray(counts), np.asarray(scores, float)
  if counts.ndim != 1 or scores.ndim != 2 or len(counts) != len(scores):
    raise UserError(f'{counts.shape} counts for scores {scores.shape}, which must be [T, C]')
  if not len(counts) or (np.diff(counts) <= 0).any() or counts[0] < 1:
    raise UserError(f'counts must rise from 1 or more, not {counts.tolist()}')
  if not 0 <= tolerance < 1:
    raise UserError(f'tolerance must be in [0, 1), not {tolerance}')
  filled = np.where(np.isnan(scores), -np.inf, scores)
  best = filled.max(0)
  first = (filled >= np.where(best > 0, (1 - tolerance) * best, best)).argmax(0)
  return np.where(np.isneginf(best), 0, counts[first])


class Correlations(NamedTuple):
  """How alike two quantities of the filters are, concept by concept.

  Attributes:
    r: coefficient of each concept, `[C]`; NaN where a quantity is constant or not known.
    p: two-sided, of no correlation, `[C]`.
  """

  r: np.ndarray
  p: np.ndarray

  def significant(self) -> float:
    """Share of the concepts with a coefficient that have p < 0.01; NaN if there are none."""
    known = self.p[~np.isnan(self.p)]
    return float(np.mean(known < SIGNIFICANT)) if len(known) else np.nan


def weight_correlations(
  weights: np.ndarray, scores: np.ndarray, *, ranks: bool = False
) -> Correlations:
  """Correlation over the filters of max(w, 0) with what each filter is worth alone (section 5.2).

  Args:
    weights: w of each concept, `[C, K]`.
    scores: IoU_set of each single filter on validation pictures, `[C, K]`.
    ranks: of their ranks (Spearman) instead of their values (Pearson).

  Raises:
    UserError: for shapes that differ, and with fewer than three filters.
  """
  weights, scores = _alike(weights=weights, scores=scores)
  if weights.ndim != 2 or weights.shape[1] < 3:
    raise UserError(f'weights are {list(weights.shape)}, not [concepts, 3 filters or more]')
  first, second = np.maximum(weights, 0), scores
  if ranks:
    first, second = (stats.rankdata(one, axis=1, nan_policy='propagate') for one in (first, second))
  first, second = (_standard(one) for one in (first, second))
  r = np.clip((first * second).sum(1), -1, 1)
  freedom = weights.shape[1] - 2
  with np.errstate(divide='ignore'):
    t = np.abs(r) * np.sqrt(freedom / (1 - r**2))
  return Correlations(r, 2 * stats.t.sf(t, freedom))


def _standard(values: np.ndarray) -> np.ndarray:
  """Rows without their mean, of length 1; NaN for those that are constant."""
  constant = np.ptp(values, axis=1, keepdims=True) == 0
  centred = values - values.mean(1, keepdims=True)
  return np.where(constant, np.nan, centred) / np.where(
    constant, 1, np.linalg.norm(centred, axis=1, keepdims=True)
  )


class Deciles(NamedTuple):
  """Examples over the whole distribution of a score, not the best alone (fig. 8).

  Attributes:
    pictures: indices, of the lowest share first; empty if all scores are zero.
    scores: of these pictures.
    zero: share of the pictures with a score whose score is zero; NaN if none has one.
    mean: of the scores above zero; NaN if there are none.
    deviation: standard deviation of those.
  """

  pictures: np.ndarray
  scores: np.ndarray
  zero: float
  mean: float
  deviation: float


def deciles(scores: np.ndarray, shares: Sequence[float] = SHARES) -> Deciles:
  """A picture at each decile of the scores that are above zero.

  Args:
    scores: IoU_ind of a concept in each picture, `[N]`; NaN for a picture without it.
    shares: q in (0, 1]; the picture's score is the smallest that at least q of them do not exceed.
      Of pictures with the same score the first is taken for the smallest share.
  """
  scores = np.asarray(scores, float)
  if scores.ndim != 1:
    raise UserError(f'scores are {list(scores.shape)}, not [pictures]')
  if not all(0 < share <= 1 for share in shares):
    raise UserError(f'shares must be in (0, 1], not {list(shares)}')
  known = np.count_nonzero(~np.isnan(scores))
  order = np.argsort(scores, kind='stable')[:known]
  above = order[scores[order] > 0]
  if not len(above):
    return Deciles(above, scores[above], 1.0 if known else np.nan, np.nan, np.nan)
  exact = np.round(np.array(shares) * len(above), 9)  # 0.1 * 30 is a little above 3.
  chosen = above[np.ceil(exact).astype(int) - 1]
  values = scores[above]
  zero = 1 - len(above) / known
  return Deciles(chosen, scores[chosen], zero, float(values.mean()), float(values.std()))


def by_decile(strength: np.ndarray, values: np.ndarray, parts: int = 10) -> np.ndarray:
  """What the strongest pictures of a unit say of the others: means by decile of its activation.

  The usual explanation of a unit is its top images, the last entry. Where the others differ from
  it, the top images do not speak for the distribution (section 5.1).

  Args:
    strength: how strongly the unit responds to each picture, `[N]`, such as its largest activation.
    values: what is explained, `[N]`: IoU_ind of its mask with a concept, or 1 for a picture with
      the concept and 0 for others. NaN is left out.
    parts: how many parts of equally many pictures; 10 for deciles.

  Returns:
    Means `[parts]`, of the weakest responses first; NaN where no value is known.
  """
  strength, values = _alike(strength=strength, values=values)
  if strength.ndim != 1 or not 1 <= parts <= len(strength):
    raise UserError(f'{parts} parts of {list(strength.shape)} pictures: each needs a picture')
  part = np.empty(len(strength), int)
  part[np.argsort(strength, kind='stable')] = np.arange(len(strength)) * parts // len(strength)
  known = ~np.isnan(values)
  sums, counts = (
    np.bincount(part[known], weight, parts) for weight in (values[known], np.ones(known.sum()))
  )
  return np.where(counts > 0, sums, np.nan) / np.maximum(counts, 1)


def _alike(**named: np.ndarray) -> list[np.ndarray]:
  arrays = [np.asarray(one, float) for one in named.values()]
  if arrays[0].shape != arrays[1].shape:
    sizes = ', '.join(f'{name} {list(np.shape(one))}' for name, one in named.items())
    raise UserError(f'the shapes must be the same: {sizes}')
  return arrays
