"""Concept vectors that segment: the weights of a layer's filters that say where a concept is.

  M(x; w) = sigma(S(sum_k w_k 1[A_k(x) > T_k]))   (eq. 2)

S upsamples bilinearly; as it is linear, the filters are summed first. A concept's vector is trained
on the pictures that contain it, by stochastic gradient descent with momentum; all concepts of a
layer are trained by one compiled program, each on its own pictures.

Source: Fong and Vedaldi, Net2Vec: Quantifying and Explaining how Concepts are Encoded by Filters in
Deep Neural Networks, CVPR 2018, section 3.1, and the authors' code where the paper leaves it open.

Letters: P pairs of a picture and a concept that it contains, R vectors, K filters, (sh, sw) pixels
of a label mask.
"""

from collections.abc import Callable, Sequence
import concurrent.futures
import dataclasses
import functools
import os
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from concepts.bilinear import interpolated
from concepts.binarised import Binarised, planes
from perturb.base import key_or_default
from perturb.errors import UserError, check_choice

Loss = Literal['overlap', 'bce']
Order = Literal['released', 'shuffled']

FILTER_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 160, 192, 224)  # F of fig. 3.
AT_ONCE_ON_CPU = 8  # Pictures whose pixels stay in a cache.
CHUNK = 256  # Masks that are unpacked at once.


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['concept', 'picture', 'masks'],
  meta_fields=['size'],
)
@dataclasses.dataclass(frozen=True)
class Pairs:
  """Pictures, each with a concept that it contains, and where.

  Attributes:
    concept: number of the concept, int `[P]`, not negative.
    picture: index of the picture, int `[P]`.
    masks: L, `np.packbits(mask.reshape(P, sh * sw), axis=-1)`: uint8 `[P, ceil(sh * sw / 8)]`.
    size: (sh, sw).
  """

  concept: np.ndarray
  picture: np.ndarray
  masks: np.ndarray
  size: tuple[int, int]

  def take(self, chosen: np.ndarray) -> 'Pairs':
    """Some of the pairs, by index or by a mask."""
    return Pairs(self.concept[chosen], self.picture[chosen], self.masks[chosen], self.size)

  def areas(self) -> np.ndarray:
    """|L|, the pixels of each mask: int `[P]`."""
    return np.bitwise_count(self.masks).sum(-1, dtype=np.int64)


class State(NamedTuple):
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


def start(
  concept: Sequence[int] | np.ndarray,
  filters: int,
  *,
  mask: np.ndarray | None = None,
  key: jax.Array | int | None = None,
) -> State:
  """Vectors before the first epoch: uniform in +-1 / sqrt(K), and 0 where a filter is not used.

  What is drawn for a vector depends on the key and its concept, not on the others beside it.

  Args:
    concept: of each vector, int `[R]`.
    filters: K.
    mask: which filters each may use, bool `[R, K]`; by default all.
    key: a PRNG key or its seed.

  Raises:
    UserError: for a mask of another shape.
  """
  shape = (len(concept), filters)
  mask = np.ones(shape, bool) if mask is None else np.asarray(mask, bool)
  if mask.shape != shape:
    raise UserError(f'mask must be bool {shape}: vectors, filters; not of shape {mask.shape}')
  return _start(key_or_default(key), np.asarray(concept, np.int32), mask)


@jax.jit
def _start(key: jax.Array, concept: jax.Array, mask: jax.Array) -> State:
  keys = jax.vmap(functools.partial(jax.random.fold_in, key))(concept)
  bound = mask.shape[1] ** -0.5
  draw = functools.partial(jax.random.uniform, shape=mask.shape[1:], minval=-bound, maxval=bound)
  weights = jnp.where(mask, jax.vmap(draw)(keys), 0)
  moments = optax.sgd(1.0, 0.9).init(weights)  # The rates do not matter to the first moments.
  return State(weights, moments, mask, concept, jax.random.key_data(keys), jnp.int32(0))


def train(
  state: State,
  activations: Binarised,
  pairs: Pairs,
  *,
  alpha: np.ndarray | None = None,
  epochs: int = 30,
  batch_size: int = 64,
  learning_rate: float = 1e-4,
  momentum: float = 0.9,
  loss: Loss = 'overlap',
  order: Order = 'released',
  align_corners: bool = True,
  at_once: int | None = None,
  side_by_side: int | None = None,
) -> State:
  """The vectors after some epochs more.

  'overlap' (eq. 4, as in the released code; there is no logarithm), of a batch of B pictures:

    -(1 / B) sum_x sum_pixels [alpha L M + (1 - alpha) (1 - L) (1 - M)]

  'bce': the same with log M and log(1 - M). alpha = 1 - mean |L| / (sh sw) over the concept's
  pictures; where it is 0, of a concept that always fills the picture, both terms count 1. The sum
  is over pixels, so that the learning rate is for masks of some 112 x 112.

  An epoch goes through the pictures of a concept, B at a time. The last batch has those that are
  left, and their number is its B: a concept of 10 pictures has one batch of 10. Each vector is
  trained as if it were alone, and takes the steps that its own pictures make.

  Args:
    state: the vectors.
    activations: of the pictures that `pairs` names.
    pairs: to train on; those of concepts that no vector is of are not used.
    alpha: of each vector, float `[R]`; by default that of `pairs`, see `alphas`.
    epochs: how many more.
    batch_size: B.
    learning_rate: of a step.
    momentum: of the optimiser, which is not dampened.
    loss: 'overlap' or 'bce'.
    order: 'released', as the pairs are listed, in each epoch; 'shuffled', another in each epoch,
      by the vector's key.
    align_corners: see `concepts.bilinear.bilinear_weights`.
    at_once: pictures of a batch that are worked on together; it changes rounding and speed.
    side_by_side: vectors that are trained together; likewise.

  Raises:
    UserError: for a vector of a concept without pairs, for an unknown loss or order, a batch of
      none, and activations of other filters or pictures.
  """
  check_choice('loss', loss, get_args(Loss))
  check_choice('order', order, get_args(Order))
  _check(state, activations, pairs, batch_size)
  concept = np.asarray(state.concept)
  some = pairs.take(np.flatnonzero(np.isin(pairs.concept, concept)))
  alpha = alphas(some, concept) if alpha is None else np.asarray(alpha, np.float32)
  starts, counts, listed = _grouped(some.concept, concept)
  on_cpu = jax.default_backend() == 'cpu'
  settings = _Settings(
    pairs.size,
    loss,
    int(counts.max()) if order == 'shuffled' else None,
    batch_size,
    min(batch_size, at_once or (AT_ONCE_ON_CPU if on_cpu else batch_size)),
    side_by_side or (1 if on_cpu else 16),
    align_corners,
  )
  problem = _Problem(
    some.picture[listed], _in_planes(some.masks[listed]), starts, counts, _balance(alpha)
  )
  rates = jnp.float32(learning_rate), jnp.float32(momentum)

  def trained(rank):
    return jax.device_get(_train(rank, state, activations, problem, rates, epochs, settings))

  shares = _dealt(counts, (os.cpu_count() or 1) if on_cpu else 1)
  with concurrent.futures.ThreadPoolExecutor(len(shares)) as pool:
    parts = list(pool.map(trained, shares))
  weights, moments = jax.tree.map(lambda *rows: _put_back(shares, rows), *parts)
  return state._replace(weights=weights, moments=moments, epoch=state.epoch + epochs)


def alphas(pairs: Pairs, concept: Sequence[int] | np.ndarray) -> np.ndarray:
  """1 - mean |L| / (sh sw) over the pairs of each concept: float32 `[R]`; NaN without pairs."""
  starts, counts, listed = _grouped(pairs.concept, np.asarray(concept))
  sums = np.concatenate([[0], np.cumsum(pairs.areas()[listed])])
  with np.errstate(invalid='ignore'):
    share = (sums[starts + counts] - sums[starts]) / (counts * pairs.size[0] * pairs.size[1])
  return (1 - share).astype(np.float32)


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


def top_filters(weights: np.ndarray, count: int) -> np.ndarray:
  """The filters of the largest |w_k| of each vector: weights `[R, K]` to bool `[R, K]`.

  The first of equal ones. Vectors of these are trained anew, with this as the mask of `start`.
  """
  ranked = np.argsort(-np.abs(weights), axis=1, kind='stable')[:, :count]
  mask = np.zeros(np.shape(weights), bool)
  np.put_along_axis(mask, ranked, True, axis=1)
  return mask


def leave_one_out(filters: int) -> np.ndarray:
  """Masks of which each lacks one filter: bool `[K, K]`."""
  return ~np.eye(filters, dtype=bool)


class _Settings(NamedTuple):
  """What is compiled in. `most` is the longest list to shuffle, None to keep the order."""

  size: tuple[int, int]
  loss: Loss
  most: int | None
  batch_size: int
  at_once: int
  side_by_side: int
  align_corners: bool


class _Problem(NamedTuple):
  """Pairs by concept `[P, ...]`; where those of each vector start, and how many, `[R]`."""

  picture: np.ndarray
  masks: np.ndarray
  starts: np.ndarray
  counts: np.ndarray
  balance: np.ndarray  # Weights of pixels with and without the concept, `[R, 2]`.


def _in_planes(masks: np.ndarray) -> np.ndarray:
  """Packed so that `planes` gives the pixels in their order."""
  packed = np.empty_like(masks)
  for start in range(0, len(masks), CHUNK):
    bits = np.unpackbits(masks[start : start + CHUNK], axis=-1)
    packed[start : start + CHUNK] = np.packbits(bits.reshape(len(bits), 8, -1), axis=1)[:, 0]
  return packed


def _dealt(counts: np.ndarray, workers: int) -> list[np.ndarray]:
  """The vectors that each thread trains, the longest first, so that all end at about one time.

  XLA runs a loop on one core of a CPU.
  """
  rank = np.argsort(-counts, kind='stable')
  return [rank[worker::workers] for worker in range(min(workers, len(rank)))]


def _put_back(shares: list[np.ndarray], rows: tuple[np.ndarray, ...]) -> np.ndarray:
  return np.concatenate(rows)[np.argsort(np.concatenate(shares))]


def _balance(alpha: np.ndarray) -> np.ndarray:
  weights = np.stack([alpha, 1 - alpha], axis=1)
  return np.where(alpha[:, None] > 0, weights, np.float32(1))


def _grouped(of_pairs: np.ndarray, concept: np.ndarray) -> tuple[np.ndarray, ...]:
  """(where the pairs of each concept start `[R]`, their number `[R]`, the pairs in this order)."""
  listed = np.argsort(of_pairs, kind='stable')
  in_order = of_pairs[listed]
  starts = np.searchsorted(in_order, concept)
  return starts, np.searchsorted(in_order, concept, side='right') - starts, listed


def _check(state: State, activations: Binarised, pairs: Pairs, batch_size: int) -> None:
  pictures, _, _, filters = activations.shape
  if state.weights.shape[1] != filters:
    raise UserError(f'vectors of {state.weights.shape[1]} filters, activations of {filters}')
  if batch_size < 1:
    raise UserError(f'batch_size is {batch_size}: it must be 1 or more')
  if empty := sorted(set(np.asarray(state.concept).tolist()) - set(pairs.concept.tolist())):
    raise UserError(f'concept {empty[0]} has no picture to train on: leave it out')
  if pairs.picture.min() < 0 or pairs.picture.max() >= pictures:
    raise UserError(f'pairs name pictures up to {pairs.picture.max()}; there are {pictures}')


@functools.partial(jax.jit, static_argnums=6)
def _train(
  rank: jax.Array,
  state: State,
  activations: Binarised,
  problem: _Problem,
  rates: tuple[jax.Array, jax.Array],
  epochs: jax.Array,
  settings: _Settings,
) -> tuple[jax.Array, optax.OptState]:
  pixels = settings.size[0] * settings.size[1]
  rule = optax.sgd(*rates)

  def one(row):
    mask, balance = state.mask[row], problem.balance[row]
    first, count = problem.starts[row], problem.counts[row]

    def loss(weights, chosen, shares):
      sums = activations.combine(problem.picture[chosen], jnp.where(mask, weights, 0))
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

  side_by_side = settings.side_by_side if settings.side_by_side > 1 else None
  return jax.lax.map(one, rank, batch_size=side_by_side)


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
