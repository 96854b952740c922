"""Which filters encode which concepts: how many a concept needs, how many concepts share one.

Source: Fong and Vedaldi, Net2Vec (CVPR 2018), section 4.2 (fig. 5), 5.2; Bau et al., Network
Dissection (CVPR 2017). Letters: C concepts, K filters of a layer.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError


def contributions(weights: np.ndarray) -> np.ndarray:
  """|w_k| / ||w||_1 of each row of `[C, K]`; NaN for a row of zeros, or with NaN."""
  size = np.abs(_matrix('weights', weights))
  total = size.sum(1, keepdims=True)
  return size / np.where(total > 0, total, np.nan)


def filters_used(weights: np.ndarray, share: float = 0.5) -> np.ndarray:
  """How many filters, those of largest |w| first, carry a share of ||w||_1.

  Args:
    weights: `[C, K]`.
    share: in (0, 1].

  Returns:
    int `[C]`; 0 for a concept without weights.
  """
  if not 0 < share <= 1:
    raise UserError(f'share must be in (0, 1], not {share}')
  parts = contributions(weights)
  known = ~np.isnan(parts).any(1)
  carried = np.cumsum(-np.sort(-parts, axis=1), axis=1)
  carried /= carried[:, -1:]  # So that all of them carry 1 whatever is rounded.
  return np.where(known, (carried < share).sum(1) + 1, 0)


def concepts_of_filters(best: np.ndarray, filters: int) -> np.ndarray:
  """How many concepts have each filter as their best single one, int `[K]` (fig. 5).

  Args:
    best: filter of each concept, int `[C]`; -1 for none.
    filters: K.
  """
  best = np.asarray(best)
  if best.ndim != 1 or (len(best) and not -1 <= best.min() <= best.max() < filters):
    raise UserError(f'best must be [C], of filters from 0 to {filters - 1}, or -1 for none')
  return np.bincount(best[best >= 0], minlength=filters)


def concepts_above(values: np.ndarray, threshold: float) -> np.ndarray:
  """How many concepts have a value above a threshold at each filter, int `[K]`.

  Args:
    values: `[C, K]`: `contributions` of the weights, or the IoU of each filter. NaN is not above.
    threshold: such as .04, the IoU of a detector in Network Dissection.
  """
  return (_matrix('values', values) > threshold).sum(0)


def _matrix(name: str, values: np.ndarray) -> np.ndarray:
  values = np.asarray(values, float)
  if values.ndim != 2:
    raise UserError(f'{name} are {list(values.shape)}, not [concepts, filters]')
  return values


class FilterStatistics(NamedTuple):
  """What the activations of K filters are like; of more pictures by `add`, or `merged`.

  Attributes:
    positions: of all pictures so far.
    mean: `[K]`.
    squares: sum of squared differences from the mean, `[K]`.
    largest: `[K]`; -inf before the first picture.
    active: how many positions are above zero, `[K]`.
  """

  positions: int
  mean: np.ndarray
  squares: np.ndarray
  largest: np.ndarray
  active: np.ndarray

  def deviation(self) -> np.ndarray:
    """Standard deviation, `[K]`; NaN before the first picture."""
    return (
      np.sqrt(self.squares / self.positions) if self.positions else np.full(len(self.mean), np.nan)
    )

  def sparsity(self) -> np.ndarray:
    """Share of positions that are not above zero, `[K]`; 1 for a filter that never fires."""
    return 1 - self._of_all(self.active)

  def _of_all(self, sums: np.ndarray) -> np.ndarray:
    return sums / (self.positions or np.nan)


def empty_statistics(filters: int) -> FilterStatistics:
  """Those of no pictures."""
  zeros = np.zeros(filters)
  return FilterStatistics(0, zeros, zeros, np.full(filters, -np.inf), np.zeros(filters, np.int64))


def add(statistics: FilterStatistics, activations: jax.Array | np.ndarray) -> FilterStatistics:
  """The statistics with some more pictures; memory does not grow with their number.

  Args:
    statistics: of the pictures so far.
    activations: of some pictures, `[n, h, w, K]`, on a device or the host.

  Raises:
    UserError: for another number of filters, and activations without a position.
  """
  shape = np.shape(activations)
  if len(shape) != 4 or shape[3] != len(statistics.mean) or 0 in shape:
    raise UserError(
      f'activations are {list(shape)}, not [pictures, h, w, {len(statistics.mean)} filters]'
    )
  mean, squares, largest, active = (np.asarray(one) for one in _of_block(activations))
  block = FilterStatistics(
    int(np.prod(shape[:3])),
    mean.astype(float),
    squares.astype(float),
    largest.astype(float),
    active.astype(np.int64),
  )
  return merged(statistics, block)


@jax.jit
def _of_block(activations):
  values = jnp.asarray(activations, jnp.float32).reshape(-1, activations.shape[-1])
  mean = values.mean(0)
  return mean, jnp.square(values - mean).sum(0), values.max(0), (values > 0).sum(0)


def merged(first: FilterStatistics, second: FilterStatistics) -> FilterStatistics:
  """The statistics of the pictures of both (Chan, Golub and LeVeque, 1979)."""
  count = first.positions + second.positions
  share = second.positions / max(count, 1)
  apart = second.mean - first.mean
  return FilterStatistics(
    count,
    first.mean + share * apart,
    first.squares + second.squares + np.square(apart) * first.positions * share,
    np.maximum(first.largest, second.largest),
    first.active + second.active,
  )
