"""Two ways to find the few channels of a layer that keep a score.

A problem is an image's activations with a number of channels to keep. `eliminate` and `penalise`
solve P problems side by side; each is independent of the others. What they maximise, over masks of
one value a channel, is a `Value`: the score of the network above the layer, or that of another
game.

`elimination`  ours: masks are zeros and ones. From all channels the cheapest is dropped, one after
               the other, down to a single one; then from none the best is added, one after the
               other. Which ones are worth a try is read off the gradient, and these few are
               evaluated exactly. Of each number of channels the best mask so far is kept, and it
               is what the next sweep goes on from. At last, in the masks asked for, one channel is
               exchanged for another as long as that helps.
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

EXCHANGED = 6  # So many kept channels are tried in exchange for each of so many others.
ROUNDING = 1e-5  # Values this close, as a share of their size, count as equal.


@dataclasses.dataclass(frozen=True)
class Elimination:
  """Settings of the `elimination` mode.

  Attributes:
    candidates: channels that are tried at each step, those that look best by the gradient; with as
      many as the layer has, every channel is tried.
    sweeps: how often one goes through the numbers of channels: down from all, up from none, down
      again, and so on.
    swaps: at most how many channels of a mask are then exchanged, one for another at a time, as
      long as that betters it.
  """

  candidates: Count = 12
  sweeps: Count = 2
  swaps: Natural = 10


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
  last = counts.max() if s.sweeps % 2 == 0 else channels - counts.min()

  def step(i, table):
    return _step(value, table, _size(i, channels), _size(i + 1, channels), s)

  first = jnp.tril(jnp.ones((channels + 1, channels), jnp.float32), -1)
  start = _Table(
    jnp.broadcast_to(first, (problems, *first.shape)),
    jnp.full((problems, channels + 1), -jnp.inf, jnp.float32),
  )
  table = jax.lax.fori_loop(0, (s.sweeps - 1) * channels + last, step, start)
  return jax.lax.map(
    lambda c: _swap(value, table.masks[:, c], table.values[:, c], s.swaps), counts
  ).swapaxes(0, 1)


def _size(step: jax.Array, channels: int) -> jax.Array:
  """How many channels are kept before a step: K, K - 1, ..., 0, 1, ..., K, K - 1, ..."""
  return jnp.abs(channels - step % (2 * channels))


def _step(value: Value, table: _Table, size: jax.Array, to: jax.Array, s: Elimination) -> _Table:
  """Tries to better the masks of `to` channels by those of `size`, one more or one less."""
  masks, adding = table.masks[:, size], to > size
  moved, movable = _promising(_slopes(value, masks), masks, adding, s.candidates)
  tried = _with(masks[:, None], moved, adding)
  found, values = _better(value, tried, movable, table.masks[:, to], table.values[:, to])
  return _Table(table.masks.at[:, to].set(found), table.values.at[:, to].set(values))


def _swap(value: Value, masks: jax.Array, values: jax.Array, rounds: int) -> jax.Array:
  """Masks `[P, K]` after exchanges of one channel for another, as long as any betters a value."""

  def exchange(carry):
    masks, old, i, _ = carry
    slopes = _slopes(value, masks)
    out, kept = _promising(slopes, masks, jnp.asarray(False), EXCHANGED)
    into, absent = _promising(slopes, masks, jnp.asarray(True), EXCHANGED)
    tried = _with(_with(masks[:, None], out, 0)[:, :, None], into[:, None], 1)
    tried = tried.reshape(len(masks), -1, masks.shape[1])
    possible = (kept[:, :, None] & absent[:, None]).reshape(len(masks), -1)
    masks, values = _better(value, tried, possible, masks, old)
    return masks, values, i + 1, jnp.any(values > old)

  def going_on(carry):
    *_, i, improved = carry
    return improved & (i < rounds)

  return jax.lax.while_loop(going_on, exchange, (masks, values, 0, jnp.asarray(True)))[0]


def _slopes(value: Value, masks: jax.Array) -> jax.Array:
  return jax.grad(lambda m: value(m[:, None]).sum())(masks)


def _promising(
  slopes: jax.Array, masks: jax.Array, adding: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
  """The channels to add, or to drop, that are best by the gradient: `[P, n]`, in order.

  And whether each can be added, or dropped, at all.
  """
  movable = (masks == 0) == adding
  gains = jnp.where(movable, jnp.where(adding, slopes, -slopes), -jnp.inf)
  _, moved = jax.lax.top_k(gains, min(count, masks.shape[1]))
  moved = jnp.sort(moved)
  return moved, jnp.take_along_axis(movable, moved, 1)


def _with(masks: jax.Array, channels: jax.Array, entry: jax.Array | int) -> jax.Array:
  """Masks `[..., K]` whose entry at each of the channels `[...]` is another."""
  return jnp.where(channels[..., None] == jnp.arange(masks.shape[-1]), entry, masks)


def _better(
  value: Value, tried: jax.Array, possible: jax.Array, masks: jax.Array, values: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The best of the masks `[P, n, K]` that are tried, where it is better than `masks` `[P, K]`.

  Of equal values the first counts, however they are rounded: a chunk of another size rounds
  otherwise.
  """
  limit = jnp.finfo(jnp.float32).max
  found = jnp.clip(value(tried), -limit, limit)
  found = jnp.where(possible & ~jnp.isnan(found), found, -jnp.inf)
  top = found.max(1, keepdims=True)
  best = jnp.argmax(found >= top - ROUNDING * jnp.abs(top), axis=1)[:, None]
  best_values = jnp.take_along_axis(found, best, 1)[:, 0]
  better = best_values > values + ROUNDING * jnp.abs(best_values)
  best_masks = jnp.take_along_axis(tried, best[..., None], 1)[:, 0]
  return jnp.where(better[:, None], best_masks, masks), jnp.where(better, best_values, values)


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
  optimiser = optax.sgd(s.learning_rate * 0.1, momentum=0.9)  # The gradient enters with 0.1.

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
