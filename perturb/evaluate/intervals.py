"""How sure a mean is: over images, bootstrap percentile intervals; over a few runs, Student's t.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; Student, "The
Probable Error of a Mean", Biometrika 6, 1908. Shapes: B values, G images, S runs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from perturb.base import key_or_default
from perturb.chunks import mapped
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.evaluate.annotated import check_counts
from perturb.evaluate.class_means import Mode, check_classes, mean_over_classes, numbers

LEVEL = 0.95
RESAMPLES = 5000
_AT_ONCE = 2**20  # Numbers that are drawn at once.

Values = jax.Array | np.ndarray | Sequence[float]


class Interval(NamedTuple):
  """A mean and where it may lie.

  Attributes:
    mean: NaN if no value counts.
    low: lower end of the interval.
    high: upper end.
    used: how many values count.
    left_out: how many are NaN, which are left out.
  """

  mean: float
  low: float
  high: float
  used: int
  left_out: int


@compiled
def _redrawn(values, labels, images, start, size, key, *, classes, resamples):
  """(the mean over the classes drawn of the mean of each, how many are drawn): `[resamples]`."""
  count = len(start)

  def one(index):
    chosen = jax.random.fold_in(key, index)
    drawn = jax.random.randint(chosen, (count,), start, start + size, jnp.int32)
    weights = jnp.zeros(count, jnp.float32).at[drawn].add(1)[images]
    sums, totals = (
      jax.ops.segment_sum(each, labels, classes) for each in (weights * values, weights)
    )
    present = (totals > 0).sum()
    return (sums / jnp.maximum(totals, 1)).sum() / present, present

  return mapped(jax.vmap(one), resamples, max(1, _AT_ONCE // max(count, len(values), classes)))


def _ends(
  values: np.ndarray,
  labels: np.ndarray,
  images: np.ndarray | None,
  count: int,
  mode: Mode,
  level: float,
  resamples: int,
  key: jax.Array | int | None,
) -> tuple[float, float]:
  if images is None:  # Each value is an image; drawn within its class.
    order = np.argsort(labels, kind='stable')
    values, labels, images = values[order], labels[order], np.arange(len(values))
    start = np.searchsorted(labels, labels)
    size = np.searchsorted(labels, labels, side='right') - start
  else:
    images = np.unique(images, return_inverse=True)[1]
    start = np.zeros(images.max() + 1, int)
    size = np.full(len(start), len(start))
  middle = values.mean()  # Left out of the sums, which are float32.
  arrays = [np.asarray(each, np.int32) for each in (labels, images, start, size)]
  means, present = _redrawn(
    (values - middle).astype(np.float32),
    *arrays,
    key_or_default(key),
    classes=count,
    resamples=resamples,
  )
  found = np.asarray(means, np.float64) + middle
  if mode == 'torchray':
    found = found * np.asarray(present) / count
  # A mean of values lies among them, but for the rounding of float32.
  among = np.append(values, 0) if mode == 'torchray' else values
  found = np.clip(found, among.min(), among.max())
  low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
  return float(low), float(high)


def class_mean_interval(
  values: Values,
  classes: jax.Array | np.ndarray | Sequence[int],
  count: int,
  *,
  mode: Mode = 'paper',
  images: Any = None,
  level: float = LEVEL,
  resamples: int = RESAMPLES,
  key: jax.Array | int | None = None,
) -> Interval:
  """The mean over classes of the mean of each, and its interval.

  Of the difference of two methods give the differences of the pairs as values.

  Args:
    values: `[B]` of the pairs (image, class); what is NaN is left out.
    classes: `[B]`, from 0.
    count: of all classes.
    mode: see `perturb.evaluate.class_means.mean_over_classes`.
    images: `[B]`, numbers or names of the pairs' images. Whole images are drawn, with all their
      pairs, and a class may be drawn more or less often. By default pairs are drawn within each
      class, which keeps its number of them.
    level: of the interval, in (0, 1).
    resamples: how often the images are drawn anew.
    key: a PRNG key or its seed; `jax.random.key(0)` by default.

  Returns:
    An `Interval`.

  Raises:
    UserError: for other shapes, a class that is none of the count, and another level or number.
  """
  if not 0 < level < 1:
    raise UserError(f'level must be between 0 and 1, not {level}')
  if resamples < 1:
    raise UserError(f'resamples must be at least 1, not {resamples}')
  found, labels = numbers('values', values), check_classes(classes, count)
  made = mean_over_classes(found, labels, count, mode=mode)
  known = ~np.isnan(found)
  if images is not None:
    images = np.asarray(images)
    check_counts(values=found, images=images)
    images = images[known]
  if not known.any():
    return Interval(np.nan, np.nan, np.nan, 0, made.left_out)
  low, high = _ends(found[known], labels[known], images, count, mode, level, resamples, key)
  return Interval(made.over_classes, low, high, int(known.sum()), made.left_out)


def mean_interval(
  values: Values,
  *,
  images: Any = None,
  level: float = LEVEL,
  resamples: int = RESAMPLES,
  key: jax.Array | int | None = None,
) -> Interval:
  """The mean of a metric over images, and its interval.

  Args:
    values: `[B]`; what is NaN is left out.
    images: `[B]`, numbers or names of the values' images, which are drawn with all their values. By
      default each value is an image.
    level: of the interval, in (0, 1).
    resamples: how often the images are drawn anew.
    key: a PRNG key or its seed; `jax.random.key(0)` by default.

  Returns:
    An `Interval`.

  Raises:
    UserError: for other shapes, and another level or number.
  """
  found = numbers('values', values)
  return class_mean_interval(
    found,
    np.zeros(len(found), int),
    1,
    images=images,
    level=level,
    resamples=resamples,
    key=key,
  )


def paired_interval(
  values: Values,
  others: Values,
  *,
  images: Any = None,
  level: float = LEVEL,
  resamples: int = RESAMPLES,
  key: jax.Array | int | None = None,
) -> Interval:
  """The mean of values - others over the same images, and its interval.

  A pair of which either is NaN is left out. See `mean_interval` for the arguments and errors.
  """
  first, second = numbers('values', values), numbers('others', others)
  check_counts(values=first, others=second)
  return mean_interval(first - second, images=images, level=level, resamples=resamples, key=key)


def paired_runs(values: Values, others: Values, *, level: float = LEVEL) -> Interval:
  """The mean of values - others over runs with the same seeds, and its interval by Student's t.

  A bootstrap of five differences is far too narrow. Student's interval holds for any number of
  them, if they are normal.

  Args:
    values: `[S]`, one of each run.
    others: `[S]`, of the runs with the same seeds of another kind; a pair of which either is NaN is
      left out.
    level: of the interval, in (0, 1).

  Returns:
    An `Interval`; of a single pair its ends are NaN.

  Raises:
    UserError: for other shapes or another level.
  """
  if not 0 < level < 1:
    raise UserError(f'level must be between 0 and 1, not {level}')
  first, second = numbers('values', values), numbers('others', others)
  check_counts(values=first, others=second)
  found = first - second
  known = found[~np.isnan(found)]
  count, left_out = len(known), int(np.isnan(found).sum())
  if not count:
    return Interval(np.nan, np.nan, np.nan, 0, left_out)
  mean, half = float(known.mean()), np.nan
  if count > 1:
    error = known.std(ddof=1) / np.sqrt(count)
    half = float(error * stats.t.ppf((1 + level) / 2, count - 1))
  return Interval(mean, mean - half, mean + half, count, left_out)
