"""Which features each class rests on, and which of them speak most in an image."""

from collections.abc import Sequence
import functools
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from concepts.features import Features, features_of
from concepts.filter_norms import Mode, responses
from concepts.gram import add, empty_gram
from concepts.lasso import mu_lasso
from perturb.errors import UserError, check_choice
from perturb.nets import Pretrained

NONE = -1  # In place of the index of a feature, where there is none.


class Relevant(NamedTuple):
  """The features that each class rests on.

  Attributes:
    features: those of the network, m in all.
    weights: W, `[m, C]`; zero for a feature that a class does not rest on.
    responses: x_i of each image as a row, float32 `[N, m]`.
    mode: of the responses, which those of other images must have too.
  """

  features: Features
  weights: np.ndarray
  responses: np.ndarray
  mode: Mode


def relevant_features(
  net: Pretrained,
  x: jax.Array | np.ndarray,
  labels: jax.Array | np.ndarray,
  *,
  mu: float = 10.0,
  mode: Mode = 'released',
  layers: Sequence[str] = (),
  batch: int = 64,
) -> Relevant:
  """The features from which the class of an image follows, for images that fit into memory.

  For a dataset of any size see configs/relevant.py.

  Example (of a network of five classes):
    >>> found = concepts.relevant_features(net, images, [0, 1])
    >>> found.weights.shape == (found.features.count, 5)
    True

  Source: Oramas et al., Visual explanation by interpretation (ICLR 2019), section 3.1, eq. 1.

  Args:
    net: the network.
    x: preprocessed images `[N, H, W, C]`.
    labels: the class of each, int `[N]`, in [0, C); classes without images have no weights.
    mu: the bound on the sum of a class's absolute weights.
    mode: of the responses, see `concepts.responses`.
    layers: whose features can be chosen; by default all below the logits.
    batch: images that go through the network at once.

  Raises:
    UserError: for fewer than two classes that have images, labels that do not fit, and what
      `features_of`, `responses` and `mu_lasso` refuse.
  """
  features, labels = features_of(net, layers), np.asarray(labels)
  if labels.shape != x.shape[:1]:
    raise UserError(f'labels must be [{x.shape[0]}], one an image, not {labels.shape}')
  if labels.size and not 0 <= labels.min() <= labels.max() < len(net.class_names):
    raise UserError(
      f'labels must be in 0 to {len(net.class_names) - 1}, the classes of the network'
    )
  rows = [responses(net, x[i : i + batch], features, mode) for i in range(0, len(labels), batch)]
  values = np.concatenate([np.asarray(row) for row in rows])
  classes = np.unique(labels)
  gram = add(empty_gram(features.count, len(classes)), values, labels[:, None] == classes)
  weights = np.zeros((features.count, len(net.class_names)), np.float32)
  weights[:, classes] = mu_lasso(gram, mu).weights
  return Relevant(features, weights, values, mode)


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
  mode: Mode = 'released',
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
