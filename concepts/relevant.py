"""Which features speak most for the class that a network predicts."""

import functools
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError, check_choice

Mode = Literal['paper', 'released']
NONE = -1  # In place of the index of a feature, where there is none.


class Top(NamedTuple):
  """The features that speak most for a class, strongest first.

  Attributes:
    indices: int32 `[n, K]`; -1 where fewer than K speak for it.
    contributions: float32 `[n, K]`, theirs; 0 where there is none.
  """

  indices: jax.Array | np.ndarray
  contributions: jax.Array | np.ndarray


def top_features(
  weights: jax.Array | np.ndarray,
  responses: jax.Array | np.ndarray,
  predicted: jax.Array | np.ndarray,
  count: int = 3,
  *,
  mode: Mode = 'paper',
  among: jax.Array | np.ndarray | None = None,
) -> Top:
  """The features with the largest positive contributions r = w_j * x_i to the predicted class j.

  'paper': w_j as it is. 'released', the authors' code: w_j divided by the sum of its entries; where
  that is not positive, and would turn every sign, by the sum of their absolute values.

  Source: Oramas et al., Visual explanation by interpretation (ICLR 2019), section 3.2.

  Args:
    weights: W, `[m, C]`.
    responses: x_i of each image, `[n, m]`.
    predicted: the class j of each image, int `[n]`, in [0, C).
    count: K, how many features at most.
    mode: 'paper' or 'released'.
    among: the features that may be chosen, bool `[m]`; by default all.

  Raises:
    UserError: for another mode, shapes that do not fit, or a count that is not in [1, m].
  """
  check_choice('mode', mode, get_args(Mode))
  m = weights.shape[0]
  if responses.shape[-1] != m:
    raise UserError(f'responses {responses.shape} and weights {weights.shape}: not of one m')
  if among is not None and among.shape != (m,):
    raise UserError(f'among must be bool [{m}], not of shape {among.shape}')
  if not 1 <= count <= m:
    raise UserError(f'count must be 1 to {m}, the number of features, not {count}')
  return _top(weights, responses, predicted, among, count, mode)


@functools.partial(jax.jit, static_argnums=(4, 5))
def _top(
  weights: jax.Array,
  responses: jax.Array,
  predicted: jax.Array,
  among: jax.Array | None,
  count: int,
  mode: Mode,
) -> Top:
  if mode == 'released':
    weights = _with_sum_one(weights)
  products = weights.T[predicted] * responses
  if among is not None:
    products = jnp.where(among, products, 0)
  largest, indices = jax.lax.top_k(jnp.where(products > 0, products, 0), count)
  return Top(jnp.where(largest > 0, indices, NONE), largest)


def _with_sum_one(weights: jax.Array) -> jax.Array:
  """Each column by its sum, or by that of its absolute values where the sum is not positive."""
  signed, absolute = weights.sum(0), jnp.abs(weights).sum(0)
  total = jnp.where(signed > 0, signed, absolute)
  return weights / jnp.where(total > 0, total, 1)
