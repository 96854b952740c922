"""Means of a metric over the pairs (image, class), class by class."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import numpy as np

from perturb.errors import UserError, check_choice
from perturb.evaluate.annotated import check_counts

Mode = Literal['paper', 'torchray']


class ClassMeans(NamedTuple):
  """Means of a metric; of hits these are accuracies.

  Attributes:
    over_classes: the mean of the means of the classes.
    over_pairs: the mean over all pairs; NaN if there are none.
    per_class: `[count]`; of a class without pairs NaN ('paper') or 0 ('torchray').
    pairs: int `[count]`, how many of each class count.
    left_out: how many pairs are NaN.
  """

  over_classes: float
  over_pairs: float
  per_class: np.ndarray
  pairs: np.ndarray
  left_out: int


def numbers(name: str, values: Any) -> np.ndarray:
  """Float64 `[B]`.

  Raises:
    UserError: for another number of axes, or what are no numbers.
  """
  try:
    found = np.asarray(values, np.float64)
  except (TypeError, ValueError) as error:
    raise UserError(f'{name} must be numbers [B] ({error})') from error
  if found.ndim != 1:
    raise UserError(f'{name} must be of shape [B], not {found.shape}')
  return found


def check_classes(classes: Any, count: int) -> np.ndarray:
  """Indices of classes as int `[B]`.

  Raises:
    UserError: unless they are integers from 0 to count - 1.
  """
  found = np.asarray(classes)
  if found.ndim != 1 or (found.size and found.dtype.kind not in 'iu'):
    raise UserError(f'classes must be integers [B], not {found.dtype} of shape {found.shape}')
  wrong = np.flatnonzero((found < 0) | (found >= count))
  if wrong.size:
    raise UserError(f'classes[{wrong[0]}] is {found[wrong[0]]}: give indices 0 to {count - 1}')
  return found.astype(int)


def mean_over_classes(
  values: jax.Array | np.ndarray | Sequence[float],
  classes: jax.Array | np.ndarray | Sequence[int],
  count: int,
  *,
  mode: Mode = 'paper',
) -> ClassMeans:
  """The mean of a metric within each class, and of these.

  Args:
    values: `[B]`, e.g. the hits of `pointing_game`; what is NaN is left out.
    classes: `[B]`, the class of each pair, from 0.
    count: of all classes, e.g. 20 of VOC.
    mode: the mean is over the classes that have pairs ('paper'), or over all, where one without
      pairs counts as 0 ('torchray').

  Returns:
    A `ClassMeans`.

  Raises:
    UserError: for other shapes, or a class that is none of the count.
  """
  check_choice('mode', mode, get_args(Mode))
  found, labels = numbers('values', values), check_classes(classes, count)
  check_counts(values=found, classes=labels)
  known = ~np.isnan(found)
  pairs = np.bincount(labels[known], minlength=count)
  sums = np.bincount(labels[known], found[known], minlength=count)
  per_class = sums / np.maximum(pairs, 1)
  present = pairs > 0
  if mode == 'paper':
    per_class = np.where(present, per_class, np.nan)
    judged = per_class[present]
  else:
    judged = per_class
  total = int(pairs.sum())
  return ClassMeans(
    float(judged.mean()) if judged.size else float('nan'),
    float(sums.sum() / total) if total else float('nan'),
    per_class,
    pairs,
    int((~known).sum()),
  )
