"""Two ways to find the few channels of a layer that keep a score.

A problem is an image's activations with a number of channels to keep. `eliminate` and `penalise`
solve P problems side by side; each is independent of the others. What they maximise, over masks of
one value a channel, is a `Value`: the score of the network above the layer, or that of another
game.

`elimination`  ours: masks are zeros and ones. From all channels the cheapest is dropped, one after
               the other, down to a single one; then from none the best is added, one after the
               other. Which ones are worth a try is read off the gradient, and these few are
               evaluated exactly. Of each number of channels the best mask so far is kept, and it
               is what the next sweep goes on from.
`paper`        SGD on value - lambda R_a (eq. 9) over masks in [0, 1].

A gradient alone is no guide: of two channels that stand in for each other it calls both useless,
and drops both. An exact trial of every channel, as in plain backward elimination, costs K trials a
step, and cannot mend what it has dropped.
"""

from collections.abc import Callable
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from perturb.ops.area import area_loss
from perturb.options import Count, Natural, NotNegative

Value = Callable[[jax.Array], jax.Array]  # Masks [P, n, K] of P problems -> [P, n].

ROUNDING = 1e-5  # Values this close, as a share of their size, count as equal.


@dataclasses.dataclass(frozen=True)
class Elimination:
  """Settings of the `elimination` mode.

  Attributes:
    candidates: channels that are tried at each step, those that look best by the gradient; with as
      many as the layer has, every channel is tried.
    sweeps: how often one goes through the numbers of channels: down from all, up from none, down
      again, and so on.
  """

  candidates: Count = 16
  sweeps: Count = 2


@dataclasses.dataclass(frozen=True)
class Penalised:
  """Settings of the `paper` mode.

  Attributes:
    iterations: steps of SGD.
    learning_rate: of SGD as PyTorch has it: how far a unit of gradient moves a mask value.
    area_weight: weight lambda of R_a, as a mean of squares, from iteration `ramp` on.
    ramp: iterations over which lambda grows from 0.
  """

  iterations: Natural = 300
  learning_rate: NotNegative = 1e-2
  area_weight: NotNegative = 1500.0
  ramp: Count = 150


Settings = Elimination | Penalised

MODES: dict[str, Settings] = {'elimination': Elimination(), 'paper': Penalised()}


class _Table(NamedTuple):
  """The best masks so far of P problems, for each number of channels from 0 to K.

  Attributes:
    masks: `[P, K + 1, K]`, zeros and ones; c ones in row c.
    values: `[P, K + 1]`.
  """

  masks: jax.Array
  values: jax.Array


def eliminate(
  value: Value, problems: int, channels: int, counts: jax.Array, s: Elimination
) -> jax.Array:
  """Masks of exactly so many channels, by elimination and addition in turns.

  A count's mask does not depend on the other counts that are asked for, and the masks of two counts
  need not be nested. Of equal channels the first one moves.

  Args:
    value: what is maximised.
    problems: P.
    channels: K.
    counts: `[A]`, integers from 1 to K.
    s: the settings.

  Returns:
    `[P, A, K]`, zeros and ones.
  """
  first = jnp.tril(jnp.ones((channels + 1, channels), jnp.float32), -1)
  start = _Table(
    jnp.broadcast_to(first, (problems, *first.shape)),
    jnp.full((problems, channels + 1), -jnp.inf, jnp.float32),
  )
  last = counts.max() if s.sweeps % 2 == 0 else channels - counts.min()

  def step(i, table):
    return _improve(value, table, _size(i, channels), _size(i + 1, channels), s)

  table = jax.lax.fori_loop(0, (s.sweeps - 1) * channels + last, step, start)
  return table.masks[:, counts]


def _size(step: jax.Array, channels: int) -> jax.Array:
  """How many channels are kept before a step: K, K - 1, ..., 0, 1, ..., K, K - 1, ..."""
  return jnp.abs(channels - step % (2 * channels))


def _improve(value: Value, table: _Table, size: jax.Array, to: jax.Array, s: Elimination) -> _Table:
  """Tries to better the masks of `to` channels by those of `size`, one more or one less."""
  masks, values = _best_neighbours(value, table.masks[:, size], to > size, s.candidates)
  old = table.values[:, to]
  better = values > old + ROUNDING * jnp.abs(values)
  return _Table(
    table.masks.at[:, to].set(jnp.where(better[:, None], masks, table.masks[:, to])),
    table.values.at[:, to].set(jnp.where(better, values, old)),
  )


def _best_neighbours(
  value: Value, masks: jax.Array, adding: jax.Array, candidates: int
) -> tuple[jax.Array, jax.Array]:
  """Each of the masks `[P, K]` with the best channel more or less, of a few; and its value."""
  channels = masks.shape[1]
  slopes = jax.grad(lambda m: value(m[:, None]).sum())(masks)
  movable = (masks == 0) == adding
  gains = jnp.where(movable, jnp.where(adding, slopes, -slopes), -jnp.inf)
  _, moved = jax.lax.top_k(gains, min(candidates, channels))
  moved = jnp.sort(moved, axis=1)
  tried = jnp.where(
    moved[:, :, None] == jnp.arange(channels), adding.astype(masks.dtype), masks[:, None]
  )
  values = jnp.where(jnp.take_along_axis(movable, moved, 1), value(tried), -jnp.inf)
  # Of equal values the first, however they are rounded: a chunk of another size rounds otherwise.
  top = values.max(1, keepdims=True)
  best = jnp.argmax(values >= top - ROUNDING * jnp.abs(top), axis=1)[:, None]
  return (
    jnp.take_along_axis(tried, best[:, :, None], 1)[:, 0],
    jnp.take_along_axis(values, best, 1)[:, 0],
  )


def penalise(
  value: Value, problems: int, channels: int, shares: jax.Array, s: Penalised
) -> jax.Array:
  """Masks `[P, K]` in [0, 1], by SGD from all ones.

  Args:
    value: what is maximised.
    problems: P.
    channels: K.
    shares: `[P]`, areas as shares of the channels.
    s: the settings.
  """
  optimiser = optax.sgd(s.learning_rate * 0.1, momentum=0.9)  # PyTorch's lr, with dampening 0.9.

  def energy(masks, weight):
    return (weight * area_loss(masks[:, None], shares) - value(masks[:, None])[:, 0]).sum()

  def iterate(step, carry):
    masks, state = carry
    weight = s.area_weight * jnp.minimum(step / s.ramp, 1.0)
    updates, state = optimiser.update(jax.grad(energy)(masks, weight), state)
    return jnp.clip(optax.apply_updates(masks, updates), 0, 1), state

  start = jnp.ones((problems, channels), jnp.float32)
  masks, _ = jax.lax.fori_loop(0, s.iterations, iterate, (start, optimiser.init(start)))
  return masks
