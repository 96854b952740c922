"""Concept vectors that classify: the weights of filters that say whether a concept is in a picture.

  f(x; w, b) = sigma(b + sum_k w_k mean_ij A_ijk(x))   (eq. 5)

In each epoch a vector sees as many pictures without its concept as with it. All concepts of a layer
are trained by one compiled program.

Source: Fong and Vedaldi, Net2Vec (CVPR 2018), section 3.2, and the authors' code where the paper
leaves it open.

Letters: N pictures, C concepts, R vectors, K filters.
"""

from collections.abc import Sequence
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from concepts.labelled_pairs import usable_filters
from concepts.vector_threads import in_threads, side_by_side
from perturb.base import key_or_default
from perturb.errors import UserError

CLASSIFIER_FILTER_COUNTS = (1, 2, 3, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 80, 100, 128)  # Fig. 3.


class Classifier(NamedTuple):
  """What is trained of each vector.

  Attributes:
    weights: w, float32 `[R, K]`.
    bias: b, float32 `[R]`.
  """

  weights: jax.Array
  bias: jax.Array


class ClassifierState(NamedTuple):
  """Classifiers in training: a pytree of arrays, which can be stored, and goes on where it was.

  Attributes:
    vectors: the classifiers.
    moments: the optimiser's.
    mask: which filters may be used, bool `[R, K]`.
    concept: of each vector, int32 `[R]`; several may be of one concept.
    keys: of each vector, what `jax.random.key_data` gives, uint32 `[R, 2]`.
    epoch: how many are done, int32.
  """

  vectors: Classifier
  moments: optax.OptState
  mask: jax.Array
  concept: jax.Array
  keys: jax.Array
  epoch: jax.Array


def start_classifiers(
  concept: Sequence[int] | np.ndarray,
  filters: int,
  *,
  mask: np.ndarray | None = None,
  key: jax.Array | int | None = None,
) -> ClassifierState:
  """Before the first epoch: weights uniform in +-1 / sqrt(K), biases in [0, 1), as released.

  Args:
    concept: of each vector, int `[R]`.
    filters: K.
    mask: which filters each may use, bool `[R, K]`; by default all.
    key: a PRNG key or its seed.

  Raises:
    UserError: for a mask of another shape.
  """
  usable = usable_filters(mask, len(concept), filters)
  return _start(key_or_default(key), np.asarray(concept, np.int32), usable)


@jax.jit
def _start(key: jax.Array, concept: jax.Array, mask: jax.Array) -> ClassifierState:
  def draw(number: jax.Array) -> tuple[jax.Array, Classifier]:
    own = jax.random.fold_in(key, number)
    of_weights, of_bias = jax.random.split(own)
    bound = mask.shape[1] ** -0.5
    weights = jax.random.uniform(of_weights, mask.shape[1:], minval=-bound, maxval=bound)
    return jax.random.key_data(own), Classifier(weights, jax.random.uniform(of_bias))

  keys, vectors = jax.vmap(draw)(concept)
  vectors = vectors._replace(weights=jnp.where(mask, vectors.weights, 0))
  moments = optax.sgd(1.0, 0.9).init(vectors)  # The rates do not matter to the first moments.
  return ClassifierState(vectors, moments, mask, concept, keys, jnp.int32(0))


def train_classifiers(
  state: ClassifierState,
  means: np.ndarray,
  present: np.ndarray,
  *,
  epochs: int = 30,
  batch_size: int = 64,
  learning_rate: float = 1e-4,
  momentum: float = 0.9,
) -> ClassifierState:
  """The classifiers after some epochs more.

  An epoch of a concept has all pictures of the rarer kind, with it or without it, and as many of
  the other, drawn without replacement; all in random order. The loss of a step is the mean binary
  cross-entropy of the batch, in nats; the last batch has the pictures that are left. Each vector is
  trained as if it were alone.

  Args:
    state: the classifiers.
    means: mean_ij A_ijk of each picture, float `[N, K]`.
    present: which concepts are in each picture, bool `[N, C]`.
    epochs: how many more.
    batch_size: pictures of a step.
    learning_rate: of a step.
    momentum: of the optimiser, which is not dampened.

  Raises:
    UserError: for arrays that do not match, a concept that all pictures have, or none, and a batch
      of none.
  """
  kinds = _kinds(state, means, present)
  if batch_size < 1:
    raise UserError(f'batch_size is {batch_size}: it must be 1 or more')
  if not kinds.all():
    number = int(np.asarray(state.concept)[kinds.argmin()])
    raise UserError(f'concept {number} is in all pictures or in none: leave it out')
  rates = jnp.float32(learning_rate), jnp.float32(momentum)
  most = 2 * int(kinds.max())

  def trained(rows):
    return _train(
      rows, state, means, present, rates, epochs, most, min(batch_size, most), side_by_side()
    )

  vectors, moments = in_threads(trained, kinds)
  return state._replace(vectors=vectors, moments=moments, epoch=state.epoch + epochs)


def classifier_accuracy(
  state: ClassifierState,
  means: np.ndarray,
  present: np.ndarray,
  *,
  key: jax.Array | int | None = None,
) -> np.ndarray:
  """The share of pictures that are classified rightly, of as many with the concept as without.

  The draw depends on the key and the concept alone, so that all vectors of a concept have the same
  pictures.

  Args:
    state: the classifiers.
    means: mean_ij A_ijk of each picture, float `[N, K]`.
    present: which concepts are in each picture, bool `[N, C]`.
    key: a PRNG key or its seed.

  Returns:
    float32 `[R]`; NaN where all pictures have the concept, or none.

  Raises:
    UserError: for arrays that do not match.
  """
  kinds = _kinds(state, means, present)
  most = 2 * max(int(kinds.max()), 1)
  return np.asarray(_accuracy(state, means, present, key_or_default(key), most))


def _kinds(state: ClassifierState, means: np.ndarray, present: np.ndarray) -> np.ndarray:
  """How many pictures are of the rarer kind, of each vector's concept, int `[R]`."""
  filters = state.mask.shape[1]
  if means.ndim != 2 or means.shape[1] != filters:
    raise UserError(f'means must be [N, {filters}], not of shape {means.shape}')
  concept = np.asarray(state.concept)
  if present.ndim != 2 or len(present) != len(means) or present.shape[1] <= concept.max():
    raise UserError(
      f'present must be bool [{len(means)}, {concept.max() + 1} or more], not {present.shape}'
    )
  there = np.asarray(present, bool)[:, concept].sum(0)
  return np.minimum(there, len(present) - there)


def _balanced(key: jax.Array, there: jax.Array, most: int) -> tuple[jax.Array, jax.Array]:
  """(pictures `[most]` in random order, how many of them count): half of them with the concept.

  Args:
    key: of the draw.
    there: whether each picture has the concept, bool `[N]`.
    most: of an even number at least as large as the count.
  """
  of_kinds, of_order = jax.random.split(key)
  drawn = jax.random.uniform(of_kinds, there.shape)  # XLA picks the largest floats fast, on a CPU.
  at_most = most // 2
  having, lacking = (
    jax.lax.top_k(jnp.where(kind, drawn, -1), at_most)[1] for kind in (there, ~there)
  )
  half = jnp.minimum(there.sum(), (~there).sum())
  place = jnp.arange(most)
  chosen = jnp.where(place < half, having[place % at_most], lacking[(place - half) % at_most])
  drawn = jax.random.uniform(of_order, (most,))
  order = jnp.argsort(jnp.where(place < 2 * half, drawn, jnp.inf))
  return chosen[order], 2 * half


@functools.partial(jax.jit, static_argnums=(6, 7, 8))
def _train(rows, state, means, present, rates, epochs, most, batch_size, at_once):
  rule = optax.sgd(*rates)

  def one(row):
    there, mask = present[:, state.concept[row]], state.mask[row]
    key = jax.random.wrap_key_data(state.keys[row])

    def loss(vector, chosen, shares):
      scores = means[chosen] @ jnp.where(mask, vector.weights, 0) + vector.bias
      losses = optax.sigmoid_binary_cross_entropy(scores, there[chosen].astype(jnp.float32))
      return (losses * shares).sum()

    def epoch(number, carry):
      order, count = _balanced(jax.random.fold_in(key, number), there, most)

      def step(i, carry):
        vector, moments = carry
        place = i * batch_size + jnp.arange(batch_size)
        size = jnp.minimum(batch_size, count - i * batch_size)
        shares = jnp.where(place < count, 1 / size, 0)
        gradient = jax.grad(loss)(vector, order[jnp.minimum(place, count - 1)], shares)
        updates, moments = rule.update(gradient, moments)
        return optax.apply_updates(vector, updates), moments

      return jax.lax.fori_loop(0, -(-count // batch_size), step, carry)

    carry = jax.tree.map(lambda values: values[row], (state.vectors, state.moments))
    return jax.lax.fori_loop(state.epoch, state.epoch + epochs, epoch, carry)

  return jax.lax.map(one, rows, batch_size=at_once)


@functools.partial(jax.jit, static_argnums=4)
def _accuracy(state, means, present, key, most):
  def one(row):
    there = present[:, state.concept[row]]
    chosen, count = _balanced(jax.random.fold_in(key, state.concept[row]), there, most)
    scores = means[chosen] @ state.vectors.weights[row] + state.vectors.bias[row]
    right = ((scores > 0) == there[chosen]) & (jnp.arange(most) < count)
    return right.sum() / count

  return jax.lax.map(one, jnp.arange(state.concept.shape[0]))
