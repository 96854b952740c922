"""The steps of training vectors that segment: the compiled part of `concepts.concept_vectors`.

Letters: as there.
"""

from collections.abc import Callable
import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from concepts.bilinear import interpolated
from concepts.binarised import Binarised, planes

Loss = Literal['overlap', 'bce']


class VectorState(NamedTuple):
  """Vectors in training: a pytree of arrays, which can be stored, and goes on where it was.

  Attributes:
    weights: w, float32 `[R, K]`.
    moments: the optimiser's, of the vectors.
    mask: which filters may be used, bool `[R, K]`.
    concept: of each vector, int32 `[R]`; several may be of one concept.
    keys: of each vector, what `jax.random.key_data` gives, uint32 `[R, 2]`.
    epoch: how many are done, int32.
  """

  weights: jax.Array
  moments: optax.OptState
  mask: jax.Array
  concept: jax.Array
  keys: jax.Array
  epoch: jax.Array


class Settings(NamedTuple):
  """What is compiled in.

  Attributes:
    size: (sh, sw).
    loss: 'overlap' or 'bce'.
    most: the pictures of a concept, at most, where an epoch shuffles them; else None.
    batch_size: pictures of a step.
    at_once: how many of them are worked on together.
    side_by_side: vectors that are trained together; None for one after the other.
    align_corners: see `concepts.bilinear.bilinear_weights`.
  """

  size: tuple[int, int]
  loss: Loss
  most: int | None
  batch_size: int
  at_once: int
  side_by_side: int | None
  align_corners: bool


class Problem(NamedTuple):
  """What vectors are trained on.

  Attributes:
    activations: binarised.
    picture: of each pair, those of a concept together, int `[P]`.
    masks: of each pair, see `concepts.labelled_pairs.in_planes`: uint8 `[P, m]`.
    starts: the first pair of each vector's concept, int `[R]`.
    counts: how many it has, int `[R]`.
    balance: weights of a pixel with and without the concept, float32 `[R, 2]`.
    rates: learning rate and momentum.
  """

  activations: Binarised
  picture: jax.Array | np.ndarray
  masks: jax.Array | np.ndarray
  starts: jax.Array | np.ndarray
  counts: jax.Array | np.ndarray
  balance: jax.Array | np.ndarray
  rates: tuple[jax.Array, jax.Array]


def pixel_loss(
  scores: jax.Array, labels: jax.Array, present: jax.Array, absent: jax.Array, loss: Loss
) -> jax.Array:
  """What a pixel adds to the loss of `train`.

  Args:
    scores: of which M is the sigmoid, any shape.
    labels: L, 1 where the concept is and 0 elsewhere, of the same shape.
    present: weight of a pixel of the concept: alpha.
    absent: weight of another: 1 - alpha.
    loss: 'overlap' or 'bce'.
  """
  if loss == 'bce':
    there, elsewhere = jax.nn.log_sigmoid(scores), jax.nn.log_sigmoid(-scores)
  else:
    there = 0.5 + 0.5 * jnp.tanh(scores / 2)  # The sigmoid, which XLA computes faster so.
    elsewhere = 1 - there
  return -(present * labels * there + absent * (1 - labels) * elsewhere)


@functools.partial(jax.jit, static_argnames='settings')
def trained(
  rows: jax.Array, state: VectorState, problem: Problem, epochs: int, settings: Settings
) -> tuple[jax.Array, optax.OptState]:
  """(weights `[r, K]`, moments) of some of the vectors, int `[r]`, after some epochs more."""
  pixels = settings.size[0] * settings.size[1]
  rule = optax.sgd(*problem.rates)

  def one(row):
    mask, balance = state.mask[row], problem.balance[row]
    first, count = problem.starts[row], problem.counts[row]

    def loss(weights, chosen, shares):
      sums = problem.activations.combine(problem.picture[chosen], jnp.where(mask, weights, 0))
      scores = interpolated(sums, settings.size, settings.align_corners)
      labels = planes(problem.masks[chosen]).reshape(len(chosen), -1)[:, :pixels]
      of_pixels = pixel_loss(
        scores, labels.reshape(scores.shape), balance[0], balance[1], settings.loss
      )
      return (of_pixels * shares[:, None, None]).sum()

    def gradient(weights, order, begin):
      size = jnp.minimum(settings.batch_size, count - begin)

      def add(part, total):
        place = part * settings.at_once + jnp.arange(settings.at_once)
        shares = jnp.where(place < size, 1 / size, 0)
        chosen = first + order(begin + jnp.minimum(place, size - 1))
        return total + jax.grad(loss)(weights, chosen, shares)

      parts = -(-size // settings.at_once)
      return jax.lax.fori_loop(0, parts, add, jnp.zeros_like(weights))

    def epoch(number, carry):
      order = _order(state.keys[row], number, count, settings.most)

      def step(i, carry):
        weights, moments = carry
        found = gradient(weights, order, i * settings.batch_size)
        updates, moments = rule.update(found, moments)
        return optax.apply_updates(weights, updates), moments

      return jax.lax.fori_loop(0, -(-count // settings.batch_size), step, carry)

    carry = jax.tree.map(lambda values: values[row], (state.weights, state.moments))
    return jax.lax.fori_loop(state.epoch, state.epoch + epochs, epoch, carry)

  return jax.lax.map(one, rows, batch_size=settings.side_by_side)


def _order(
  key: jax.Array, epoch: jax.Array, count: jax.Array, most: int | None
) -> Callable[[jax.Array], jax.Array]:
  """From places in an epoch to places in the list: the same, or shuffled anew in each epoch.

  A place's number does not depend on how long the longest list is.
  """
  if most is None:
    return lambda place: place
  key = jax.random.fold_in(jax.random.wrap_key_data(key), epoch)
  places = jnp.arange(most)
  drawn = jax.vmap(lambda place: jax.random.uniform(jax.random.fold_in(key, place)))(places)
  shuffled = jnp.argsort(jnp.where(places < count, drawn, jnp.inf))
  return lambda place: shuffled[place]
