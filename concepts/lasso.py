"""The mu-lasso: which features of a network say what an image is.

  min_W ||X^T W - L^T||_F^2   subject to   ||w_j||_1 <= mu for each class j   (eq. 1)

Source: Oramas, Wang and Tuytelaars, "Visual Explanation by Interpretation: Improving Visual
Feedback Capabilities of Deep Neural Networks", ICLR 2019, section 3.1. There is no intercept.

The classes share X, and are C problems of one Gram matrix. Each is solved on a working set of K of
the m features, exactly; then all m are looked at, and those that break the optimality conditions
most come in (`active_set`). The gap bounds how far an objective can be from the smallest:

  gap_j = 2 (mu max_i |c_ij| - <w_j, c_j>),   c_j = X (l_j - X^T w_j)

which is that of Frank and Wolfe, of f = ||X^T w - l||^2 on the ball (Jaggi, Revisiting Frank-Wolfe,
ICML 2013). Letters: N images, m features, C classes.
"""

from collections.abc import Sequence
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from concepts.active_set import solve
from concepts.gram import Gram
from perturb.errors import UserError, warn

SMALLEST_SET = 64  # Features of a working set, at least.
AT_ONCE = 2**16


class Solution(NamedTuple):
  """Weights, float64, and how good they are.

  Attributes:
    weights: w_j, `[m, C]`; exactly zero for a feature that is not chosen.
    gap: `[C]`, by how much the objective can be above the smallest, at most.
    objective: ||X^T w_j - l_j||^2, `[C]`.
    lam: max_i |c_ij|, `[C]`: 2 lam is the multiplier of the constraint, and `lam / N` the alpha of
      scikit-learn's Lasso that has this solution.
    steps: how often all features were looked at.
  """

  weights: np.ndarray
  gap: np.ndarray
  objective: np.ndarray
  lam: np.ndarray
  steps: int


def mu_lasso(
  gram: Gram,
  mu: float,
  *,
  tolerance: float = 1e-6,
  steps: int = 100,
  start: np.ndarray | None = None,
) -> Solution:
  """The weights W of eq. 1.

  Args:
    gram: the sums over the images, see `concepts.gram`.
    mu: the bound on the l1 norm of each class's weights.
    tolerance: ends when the gap of each class is at most so much of ||l_j||^2, the objective of
      zero weights.
    steps: ends, with a warning, after looking so often at all features.
    start: weights `[m, C]` to start from, such as those of another mu.

  Raises:
    UserError: for a bound or tolerance that is not above zero, a class without images, and a start
      of another shape.
  """
  return mu_lasso_path(gram, [mu], tolerance=tolerance, steps=steps, start=start)[0]


def mu_lasso_path(
  gram: Gram,
  mus: Sequence[float],
  *,
  tolerance: float = 1e-6,
  steps: int = 100,
  start: np.ndarray | None = None,
) -> list[Solution]:
  """The solutions of several bounds, each from the one before: ascending bounds are fastest.

  The arguments are those of `mu_lasso`.
  """
  for mu in mus:
    if not (mu > 0 and math.isfinite(mu)):
      raise UserError(f'mu is {mu}: the bound on the l1 norm must be above zero, and finite')
  if not tolerance > 0:
    raise UserError(f'tolerance is {tolerance}: it must be above zero')
  empty = np.flatnonzero(gram.energy == 0)
  if len(empty):
    raise UserError(f'class {empty[0]} has no images: leave it out, or add some')
  weights = _checked_start(gram, start)
  found = []
  with jax.enable_x64(True):
    features, targets = jnp.asarray(gram.features), jnp.asarray(gram.targets.T)
    for mu in mus:
      if np.abs(weights).sum(1).max() > mu:
        weights = np.asarray(project_l1(weights.T, mu)).T
      found.append(_solved(gram, features, targets, mu, weights.copy(), tolerance, steps))
      weights = found[-1].weights.T
  return found


def select(weights: np.ndarray) -> np.ndarray:
  """The relevant features, of weights `[m, C]`: indices of those with a weight for some class."""
  return np.flatnonzero(np.asarray(weights).any(1))


@jax.jit
def project_l1(weights: jax.Array, radius: float) -> jax.Array:
  """The closest point of the l1 ball, of each column of `[m, C]`.

  It is sign(w) (|w| - theta)_+, with theta such that the norm is the radius, or 0 inside the ball.
  theta follows from the entries that stay. Starting from all, those below it are put out until none
  is: exact, and without sorting (Michelot, A finite algorithm for finding the projection of a point
  onto the canonical simplex of R^n, JOTA 1986).
  """
  sizes = jnp.abs(weights)

  def threshold(kept):
    return (jnp.where(kept, sizes, 0).sum(0) - radius) / jnp.maximum(kept.sum(0), 1)

  def fewer(state):
    kept, _ = state
    left = kept & (sizes > threshold(kept))
    return left, jnp.any(left != kept)

  every = jnp.ones(sizes.shape, bool)
  kept, _ = jax.lax.while_loop(lambda state: state[1], fewer, (every, jnp.array(True)))
  theta = jnp.where(sizes.sum(0) > radius, threshold(kept), 0)
  return jnp.sign(weights) * jnp.maximum(sizes - theta, 0)


def _checked_start(gram: Gram, start: np.ndarray | None) -> np.ndarray:
  if start is None:
    return np.zeros(gram.targets.T.shape)
  start = np.asarray(start, np.float64)
  if start.shape != gram.targets.shape:
    raise UserError(f'start is {start.shape}, not {gram.targets.shape}: features, classes')
  if not np.isfinite(start).all():
    raise UserError('start must be finite')
  return np.where(np.diagonal(gram.features) > 0, start.T, 0)  # Nothing else decides these.


def _solved(gram: Gram, features, targets, mu, weights, tolerance, steps) -> Solution:
  """From weights `[C, m]`, which are changed in place."""
  for step in range(1, steps + 1):
    slopes = _slopes(features, targets, weights)
    quality = _quality(targets, gram.energy, slopes, weights, mu)
    gap, objective, lam = (np.asarray(values) for values in quality)
    unsolved = np.flatnonzero(~(gap <= tolerance * gram.energy))
    if not len(unsolved) or step == steps:
      break
    size = _working_set(weights)
    chunk = _classes_at_once(size, len(weights))
    for first in range(0, len(unsolved), chunk):
      some = unsolved[first : first + chunk]
      padded = np.resize(some, chunk)  # Few are solved in the shape that is compiled, too.
      slack = tolerance * gram.energy[padded] / (20 * mu)  # A tenth of the gap asked for.
      improved = _improved(
        features, targets[padded], slopes[padded], weights[padded], mu, slack, size=size
      )
      chosen, better = (np.asarray(values)[: len(some)] for values in improved)
      weights[some] = 0
      weights[some[:, None], chosen] = _inside(better, mu)
  if len(unsolved):
    shares = gap / gram.energy
    warn(
      f'mu = {mu:g}: after {steps} steps the gap of class {shares.argmax()} is '
      f'{shares.max():.1g} of ||l||^2, not {tolerance:g}; raise steps'
    )
  return Solution(weights.T, gap, objective, lam, step)


def _inside(weights: np.ndarray, mu: float) -> np.ndarray:
  """Weights `[C, K]` in the ball, to the last bit.

  Raises:
    UserError: for weights that are not numbers.
  """
  if not np.isfinite(weights).all():
    raise UserError(f'mu = {mu:g}: the regression overflows; scale the responses')
  norms = np.abs(weights).sum(1, keepdims=True)
  return np.where(norms > mu, weights * (mu / np.maximum(norms, mu)), weights)


def _working_set(weights: np.ndarray) -> int:
  """K: a power of two, so that few shapes are compiled, that leaves room for as many again."""
  features = weights.shape[1]
  most = int(np.count_nonzero(weights, axis=1).max())
  return min(features, max(SMALLEST_SET, 2 ** (2 * most - 1).bit_length()))


def _classes_at_once(size: int, classes: int) -> int:
  """A CPU keeps the tableaus of few in its cache; an accelerator works on many at once."""
  entries = 2**15 if jax.default_backend() == 'cpu' else 2**24
  return max(1, min(classes, entries // size**2))


def _slopes(features, targets, weights: np.ndarray) -> jax.Array:
  """c = b - G w of all classes, `[C, m]`, from the rows of G of the features in use."""
  active = np.flatnonzero(weights.any(0))
  width = 2 ** max(4, (len(active) - 1).bit_length())
  rows, some = np.zeros(width, np.int32), np.zeros((len(weights), width))
  rows[: len(active)], some[:, : len(active)] = active, weights[:, active]
  return _difference(features, targets, rows, some)


@jax.jit
def _difference(features, targets, rows, weights):
  return targets - weights @ features[rows]


@jax.jit
def _quality(targets, energy, slopes, weights, mu):
  """(gap, objective, lam) of each class."""
  lam = jnp.abs(slopes).max(1)
  inner = (weights * slopes).sum(1)
  objective = energy - (weights * targets).sum(1) - inner
  return 2 * (mu * lam - inner), jnp.maximum(objective, 0), lam


@functools.partial(jax.jit, static_argnames='size')
def _improved(features, targets, slopes, weights, mu, slack, *, size):
  """(features `[C, K]`, their weights `[C, K]`): of those in use and of the steepest others."""

  def one(targets, slopes, weights, slack):
    _, chosen = jax.lax.top_k(jnp.where(weights != 0, jnp.inf, jnp.abs(slopes)), size)
    products = features[chosen[:, None], chosen]
    return chosen, solve(products, targets[chosen], weights[chosen], mu, slack)

  return jax.vmap(one)(targets, slopes, weights, slack)
