"""The mu-lasso of few features, exactly: an active-set method on a tableau.

  min_w  w^T G w - 2 b^T w   subject to  ||w||_1 <= mu

On the features that are active, with given signs s, the minimum is the solution of a linear system.
The weights go there until one of them meets zero: it leaves. Where none does, the feature that
breaks the optimality conditions most enters. The objective falls at every step, so this ends, as
the active-set methods of quadratic programming do (Lawson and Hanson, Solving least squares
problems, 1974, chapter 23; Osborne, Presnell and Turlach, A new approach to variable selection in
least squares problems, IMA Journal of Numerical Analysis 2000).

To enter or leave is one sweep of the table, a change of rank one (Goodnight, A tutorial on the
SWEEP operator, The American Statistician 1979). Letters: K features.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# This share of its square is added to each feature, so that features that depend on each other are
# no special case. It pulls towards the weights of the start, not towards zero: repeated from the
# solution, it ends at the optimum without it.
RIDGE = 1e-10
PIVOTS = 20  # Steps at most, as a multiple of K. Usual are one or two times the features chosen.


class _State(NamedTuple):
  """Of the features A that are active, and the others R.

  Attributes:
    table: `[K, K]`, symmetric: -G_AA^-1, G_AA^-1 G_AR, and G_RR - G_RA G_AA^-1 G_AR.
    line: `[K]`: G_AA^-1 b_A, and b_R - G_RA G_AA^-1 b_A.
    signs: `[K]`: 1 or -1 in A, 0 in R.
    weights: `[K]`.
    pivots: steps so far.
    done: whether the weights are optimal.
  """

  table: jax.Array
  line: jax.Array
  signs: jax.Array
  weights: jax.Array
  pivots: jax.Array
  done: jax.Array


def solve(
  products: jax.Array, targets: jax.Array, start: jax.Array, mu: jax.Array, slack: jax.Array
) -> jax.Array:
  """The weights of K features for one class.

  Args:
    products: G, float64 `[K, K]`.
    targets: b, `[K]`.
    start: weights `[K]` whose l1 norm is at most mu.
    mu: the bound.
    slack: by how much |b - G w| of a feature may be above that of the features chosen.

  Returns:
    `[K]`, zero for a feature that is not chosen.
  """
  ridge = RIDGE * jnp.diagonal(products)
  products = products + jnp.diag(ridge)
  targets = targets + ridge * start
  signs = jnp.sign(start)
  table, line = _swept(products, targets, signs != 0)
  state = _State(table, line, signs, start, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
  state = jax.lax.while_loop(
    lambda state: ~state.done & (state.pivots < PIVOTS * len(start)),
    lambda state: _step(state, mu, slack),
    state,
  )
  return state.weights


def _swept(products, targets, active):
  """The table and the line once the active features have entered, one by one."""

  def enter(index, state):
    table, line = state
    swept = _sweep(table, line, index, 1)
    return jax.tree.map(lambda new, old: jnp.where(active[index], new, old), swept, state)

  last = jnp.max(jnp.where(active, jnp.arange(1, len(active) + 1), 0))
  return jax.lax.fori_loop(0, last, enter, (products, targets))


def _step(state: _State, mu, slack) -> _State:
  """Towards the minimum of the active features; then one leaves, or enters, or all is done."""
  active = state.signs != 0
  direction = state.table @ state.signs
  excess = state.signs @ state.line - mu
  steepness = -(state.signs @ direction)
  lam = jnp.where(excess > 0, excess / jnp.where(active.any(), steepness, 1), 0)
  optimum = state.line + lam * direction  # Weights in A; b - G w in R.

  blocked = active & (optimum * state.signs <= 0)
  far = jnp.where(blocked, state.weights / (state.weights - optimum), jnp.inf)
  far = jnp.where(jnp.isnan(far), 0, far)  # A weight of zero that is to stay zero.
  stop = jnp.any(blocked)
  share = jnp.where(stop, far.min(), 1)
  weights = jnp.where(active, state.weights + share * (optimum - state.weights), 0)

  slope = jnp.where(active, 0, jnp.abs(optimum))
  index = jnp.where(stop, far.argmin(), slope.argmax())
  done = ~stop & (slope[index] <= lam + slack)
  sign = jnp.where(stop, 0, jnp.sign(optimum[index]))
  table, line = _sweep(state.table, state.line, index, jnp.where(stop, -1, 1))
  return _State(
    jnp.where(done, state.table, table),
    jnp.where(done, state.line, line),
    jnp.where(done, state.signs, state.signs.at[index].set(sign)),
    weights.at[index].set(jnp.where(done, weights[index], 0)),
    state.pivots + 1,
    done,
  )


def _sweep(table, line, index, turn):
  """A feature enters (turn 1) or leaves (-1)."""
  row = table[index]
  moved = row.at[index].add(-turn)
  scaled = moved / row[index]
  table = table - moved[:, None] * scaled
  return table.at[index, index].add(-2 * turn), line - scaled * line[index]
