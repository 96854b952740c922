"""What a network still gets right without some of its features.

Source: Oramas et al., Visual explanation by interpretation (ICLR 2019), section 4.1.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from concepts.features import Features, check_features
from perturb.base import class_scores
from perturb.chunks import default_forward_chunk, mapped
from perturb.errors import UserError
from perturb.nets import Pretrained


def silenced(net: Pretrained, features: Features, removed: jax.Array) -> Pretrained:
  """The same network without some features: the output of their filters is set to zero.

  What is set to zero is the output of the layer of that name: `conv1` before its ReLU, `relu1`
  after it. Every layer gets gains, so that one compiled program serves all sets.

  Args:
    net: the network; what it has silenced stays so.
    features: of the network.
    removed: which of them, bool `[m]`; may be traced.

  Raises:
    UserError: for another shape.
  """
  if np.shape(removed) != (features.count,):
    raise UserError(f'removed must be bool [{features.count}], not of shape {np.shape(removed)}')
  gains = dict(net.gains)
  for layer, gain in features.split(1 - jnp.asarray(removed, jnp.float32)).items():
    gains[layer] = gains[layer] * gain if layer in gains else gain
  return dataclasses.replace(net, gains=gains)


def mean_class_accuracy(predicted: jax.Array, labels: jax.Array, classes: int) -> jax.Array:
  """The accuracy of each class, averaged over the classes that have images: a number in [0, 1].

  Args:
    predicted: class of each image, int `[n]`.
    labels: their true classes, int `[n]`; images whose label is not in [0, classes) do not count.
    classes: how many there are.

  Returns:
    float32; NaN if no class has images.
  """
  of_class = labels[:, None] == jnp.arange(classes)
  right = (of_class & (predicted == labels)[:, None]).sum(0)
  images = of_class.sum(0)
  return jnp.where(images > 0, right / jnp.maximum(images, 1), 0).sum() / (images > 0).sum()


def predicted_without(
  net: Pretrained,
  x: jax.Array,
  features: Features,
  order: jax.Array,
  counts: jax.Array,
  *,
  chunk: int | None = None,
) -> jax.Array:
  """The classes that are predicted once the first so many features of an order are silenced.

  Args:
    net: the network.
    x: preprocessed images `[n, H, W, C]`.
    features: of the network.
    order: indices of features, int `[T]`, first to go first.
    counts: how many of them are removed, int `[S]`, in [0, T].
    chunk: images at a time; by default as `perturb.chunks.default_forward_chunk`.

  Returns:
    int32 `[S, n]`.

  Raises:
    UserError: for an index that is no feature.
  """
  if not isinstance(order, jax.core.Tracer):
    check_features(features, np.asarray(order))
  return _predicted(net, x, order, counts, features, chunk or default_forward_chunk(x.shape[1:3]))


@functools.partial(jax.jit, static_argnums=(4, 5))
def _predicted(
  net: Pretrained,
  x: jax.Array,
  order: jax.Array,
  counts: jax.Array,
  features: Features,
  chunk: int,
) -> jax.Array:
  def without(count: jax.Array) -> jax.Array:
    gone = jnp.arange(order.shape[0]) < count
    ablated = silenced(net, features, jnp.zeros(features.count, bool).at[order].set(gone))
    return mapped(lambda i: class_scores(ablated(x[i])).argmax(-1), x.shape[0], chunk)

  return jax.lax.map(without, counts)


def accuracy_without(
  net: Pretrained,
  x: jax.Array,
  labels: jax.Array,
  features: Features,
  order: jax.Array,
  counts: jax.Array,
  *,
  chunk: int | None = None,
) -> jax.Array:
  """Mean class accuracy without the first so many features of an order: float32 `[S]`.

  Arguments as of `predicted_without` and `mean_class_accuracy`; the classes are those of the
  network.
  """
  predicted = predicted_without(net, x, features, order, counts, chunk=chunk)
  classes = len(net.class_names)
  return jax.vmap(lambda one: mean_class_accuracy(one, jnp.asarray(labels), classes))(predicted)


def by_weight(weights: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
  """The features that some class has a weight for: largest absolute weight first.

  Args:
    weights: W, `[m, C]`.
    among: the features that may be taken, bool `[m]`; by default all.

  Returns:
    int `[T]`; of equal weights the lower index goes first.
  """
  largest = np.abs(np.asarray(weights)).max(axis=1)
  if among is not None:
    largest = np.where(among, largest, 0)
  return np.argsort(-largest, kind='stable')[: np.count_nonzero(largest)]


def by_response(mean: np.ndarray, count: int) -> np.ndarray:
  """The `count` features with the strongest mean response, int `[count]`, strongest first.

  Args:
    mean: of the responses over images, `[m]`.
    count: in [1, m].
  """
  if not 1 <= count <= len(mean):
    raise UserError(f'count must be 1 to {len(mean)}, the number of features, not {count}')
  return np.argsort(-np.asarray(mean), kind='stable')[:count]


def at_random(features: Features, order: np.ndarray, key: jax.Array) -> np.ndarray:
  """Features drawn at random without replacement, int `[T]`, each from the layer of its model.

  The feature at place t is of the same layer as `order[t]`; so as many are taken from each layer,
  however many are removed. Features of `order` may be drawn too.
  """
  check_features(features, order)
  drawn = np.asarray(jax.random.uniform(key, (features.count,)))
  layers = features.of_layers()
  chosen = np.empty(len(order), int)
  for number in np.unique(layers[order]):
    places = np.flatnonzero(layers[order] == number)
    members = np.flatnonzero(layers == number)
    chosen[places] = members[np.argsort(drawn[members], kind='stable')][: len(places)]
  return chosen


def ablation_orders(
  features: Features,
  weights: np.ndarray,
  mean: np.ndarray,
  key: jax.Array,
  *,
  conv_weights: np.ndarray | None = None,
  repetitions: int = 5,
) -> dict[str, np.ndarray]:
  """In what order features are removed, for each curve of the figure.

  'All': those of `weights`, largest absolute weight first. 'OnlyConv': those with an extent alone.
  'Random': as many of each layer as of 'All', drawn at random. 'Top activations': as many as of
  'All', with the strongest mean response.

  Args:
    features: of the network.
    weights: W of all features, `[m, C]`.
    mean: of the responses over the images, `[m]`.
    key: PRNG key of 'Random'.
    conv_weights: W solved for the features with an extent alone, `[m, C]`, as in the paper; by
      default those of `weights`.
    repetitions: how often 'Random' is drawn.

  Returns:
    By name, int `[R, T]`: R is `repetitions` for 'Random', and 1 otherwise.

  Raises:
    UserError: if no feature has a weight.
  """
  relevant = by_weight(weights)
  if not len(relevant):
    raise UserError('no feature has a weight: mu is too small, or the responses are all zero')
  conv = by_weight(weights if conv_weights is None else conv_weights, features.has_extent)
  draws = [at_random(features, relevant, one) for one in jax.random.split(key, repetitions)]
  return {
    'All': relevant[None],
    'OnlyConv': conv[None],
    'Random': np.stack(draws),
    'Top activations': by_response(mean, len(relevant))[None],
  }
