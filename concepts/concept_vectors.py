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

from collections.abc import Sequence
import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from concepts import vector_threads
from concepts.binarised import Binarised
from concepts.labelled_pairs import Pairs, alphas, grouped, in_planes, usable_filters
from concepts.vector_steps import Loss, Problem, Settings, VectorState, trained
from perturb.base import key_or_default
from perturb.errors import UserError, check_choice

Order = Literal['released', 'shuffled']

FILTER_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 160, 192, 224)  # F of fig. 3.
AT_ONCE_ON_CPU = 8  # Pictures whose pixels stay in a cache.


def start_vectors(
  concept: Sequence[int] | np.ndarray,
  filters: int,
  *,
  mask: np.ndarray | None = None,
  key: jax.Array | int | None = None,
) -> VectorState:
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
  usable = usable_filters(mask, len(concept), filters)
  return _start(key_or_default(key), np.asarray(concept, np.int32), usable)


@jax.jit
def _start(key: jax.Array, concept: jax.Array, mask: jax.Array) -> VectorState:
  keys = jax.vmap(functools.partial(jax.random.fold_in, key))(concept)
  bound = mask.shape[1] ** -0.5
  draw = functools.partial(jax.random.uniform, shape=mask.shape[1:], minval=-bound, maxval=bound)
  weights = jnp.where(mask, jax.vmap(draw)(keys), 0)
  moments = optax.sgd(1.0, 0.9).init(weights)  # The rates do not matter to the first moments.
  return VectorState(weights, moments, mask, concept, jax.random.key_data(keys), jnp.int32(0))


def train_vectors(
  state: VectorState,
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
) -> VectorState:
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
  starts, counts, listed = grouped(some.concept, concept)
  on_cpu = jax.default_backend() == 'cpu'
  settings = Settings(
    pairs.size,
    loss,
    int(counts.max()) if order == 'shuffled' else None,
    batch_size,
    min(batch_size, at_once or (AT_ONCE_ON_CPU if on_cpu else batch_size)),
    side_by_side or vector_threads.side_by_side(),
    align_corners,
  )
  picture, masks = some.picture[listed], in_planes(some.masks[listed])
  rates = jnp.float32(learning_rate), jnp.float32(momentum)
  problem = Problem(activations, picture, masks, starts, counts, _balance(alpha), rates)
  problem = jax.device_put(problem)
  weights, moments = vector_threads.in_threads(
    lambda rows: trained(rows, state, problem, epochs, settings), counts
  )
  return state._replace(weights=weights, moments=moments, epoch=state.epoch + epochs)


def top_filters(weights: np.ndarray, count: int) -> np.ndarray:
  """The filters of the largest |w_k| of each vector: weights `[R, K]` to bool `[R, K]`.

  The first of equal ones. Vectors of these are trained anew: it is the mask of `start_vectors`.
  """
  ranked = np.argsort(-np.abs(weights), axis=1, kind='stable')[:, :count]
  mask = np.zeros(np.shape(weights), bool)
  np.put_along_axis(mask, ranked, True, axis=1)
  return mask


def leave_one_out(filters: int) -> np.ndarray:
  """Masks of which each lacks one filter: bool `[K, K]`."""
  return ~np.eye(filters, dtype=bool)


def _balance(alpha: np.ndarray) -> np.ndarray:
  weights = np.stack([alpha, 1 - alpha], axis=1)
  return np.where(alpha[:, None] > 0, weights, np.float32(1))


def _check(state: VectorState, activations: Binarised, pairs: Pairs, batch_size: int) -> None:
  pictures, _, _, filters = activations.shape
  if state.weights.shape[1] != filters:
    raise UserError(f'vectors of {state.weights.shape[1]} filters, activations of {filters}')
  if batch_size < 1:
    raise UserError(f'batch_size is {batch_size}: it must be 1 or more')
  if empty := sorted(set(np.asarray(state.concept).tolist()) - set(pairs.concept.tolist())):
    raise UserError(f'concept {empty[0]} has no picture to train on: leave it out')
  if pairs.picture.min() < 0 or pairs.picture.max() >= pictures:
    raise UserError(f'pairs name pictures up to {pairs.picture.max()}; there are {pictures}')
