"""The bound of the mu-lasso by cross-validation, from the Grams of the folds alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from concepts.gram import Gram, total, without
from concepts.lasso import mu_lasso_path
from perturb.errors import UserError


class Choice(NamedTuple):
  """What each bound gives on images that were left out.

  Attributes:
    mu: the bound of the smallest mean error.
    mus: the bounds tried, ascending, `[M]`.
    errors: `held_out_error` of each fold and bound, `[folds, M]`.
  """

  mu: float
  mus: np.ndarray
  errors: np.ndarray


def choose_mu(folds: Sequence[Gram], mus: Sequence[float], *, tolerance: float = 1e-4) -> Choice:
  """Holds out each fold once, solves for the others, and takes the bound of the smallest error.

  Args:
    folds: the Gram of each fold.
    mus: bounds to try.
    tolerance: see `mu_lasso`.

  Raises:
    UserError: for fewer than two folds, no bound, a class all of whose images are in one fold, and
      what `mu_lasso` refuses.
  """
  if len(folds) < 2:
    raise UserError('folds: one to learn from and one to hold out are needed, two or more in all')
  if not len(mus):
    raise UserError('mus: give one bound or more')
  mus, every = sorted(mus), total(folds)
  for number, fold in enumerate(folds):
    alone = np.flatnonzero((fold.energy == every.energy) & (fold.energy > 0))
    if len(alone):
      raise UserError(
        f'fold {number} has all images of class {alone[0]}: spread them over the folds'
      )
  errors = np.array(
    [
      [
        held_out_error(fold, found.weights)
        for found in mu_lasso_path(without(every, fold), mus, tolerance=tolerance)
      ]
      for fold in folds
    ]
  )
  return Choice(float(mus[errors.mean(0).argmin()]), np.array(mus), errors)


def held_out_error(gram: Gram, weights: np.ndarray) -> float:
  """Mean square of X^T W - L^T over the images of a Gram and the classes, for weights `[m, C]`."""
  active = np.flatnonzero(weights.any(1))
  some, products = weights[active], gram.features[np.ix_(active, active)]
  squares = gram.energy + ((products @ some - 2 * gram.targets[active]) * some).sum(0)
  return float(squares.sum() / (gram.images * len(squares)))
