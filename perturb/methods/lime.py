"""LIME: a linear model of the score over superpixels that are switched on and off.

Source: Ribeiro, Singh and Guestrin, "Why Should I Trust You? Explaining the Predictions of Any
Classifier", KDD 2016. Shapes: B images, S superpixels, N samples.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import SCORES, Function, Images, Score, Target, check_arguments, key_or_default
from perturb.chunks import default_forward_chunk, mapped
from perturb.compiled import compiled
from perturb.errors import check_choice
from perturb.ops.superpixels import check_segments, round_up
from perturb.options import Bounds, Count, NotNegative, Positive, checked


class LimeResult(NamedTuple):
  """The linear models of B images.

  Attributes:
    heatmap: `[B, H, W]`, the weight of each pixel's superpixel.
    weights: `[B, S]`, zero beyond an image's number of superpixels.
    intercept: `[B]`, the model's score of the image with no superpixel on.
    fit: `[B]`, the weighted share of the score's variance that the model explains (R^2).
    segments: int32 `[B, H, W]`, the superpixels.
  """

  heatmap: jax.Array
  weights: jax.Array
  intercept: jax.Array
  fit: jax.Array
  segments: jax.Array


def _segment_means(x: jax.Array, segments: jax.Array, most: int) -> jax.Array:
  """Each pixel the mean colour of its segment: `[H, W, C]`."""
  flat, pixels = segments.reshape(-1), x.reshape(-1, x.shape[-1])
  sums = jax.ops.segment_sum(pixels, flat, most)
  sizes = jax.ops.segment_sum(jnp.ones(len(flat), jnp.float32), flat, most)
  return (sums / jnp.maximum(sizes, 1)[:, None])[segments]


def weighted_ridge(
  features: jax.Array, values: jax.Array, weights: jax.Array, ridge: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """min_b,beta sum_n w_n (y_n - b - z_n beta)^2 + ridge ||beta||^2.

  Args:
    features: z `[N, S]`, what the model is linear in.
    values: y `[N]`, what it shall give.
    weights: w `[N]`, how much each sample counts.
    ridge: strength of the penalty on beta; the intercept b has none.

  Returns:
    (beta `[S]`, b, R^2).
  """
  total = weights.sum()
  mean_z, mean_y = weights @ features / total, weights @ values / total
  z, y = features - mean_z, values - mean_y
  fixed = (z == 0).all(axis=0)  # What never varies has no weight, with ridge = 0 too.
  gram = (z * weights[:, None]).T @ z + jnp.diag(ridge + fixed)
  beta = jnp.linalg.solve(gram, z.T @ (weights * y))
  rest, spread = weights @ jnp.square(y - z @ beta), weights @ jnp.square(y)
  return beta, mean_y - mean_z @ beta, 1 - rest / jnp.where(spread == 0, 1, spread)


def _draws(key: jax.Array, samples: int, most: int) -> jax.Array:
  """Which segments each sample switches on, `[N, S]`; those of a segment do not depend on S."""

  def of_segment(segment: jax.Array) -> jax.Array:
    return jax.random.bernoulli(jax.random.fold_in(key, segment), jnp.float32(0.5), (samples,))

  return jax.vmap(of_segment, out_axes=1)(jnp.arange(most)).at[0].set(True)


def _sample_scores(f, x, targets, segments, draws, value: Score, chunk: int) -> jax.Array:
  """The score of each image with the segments that a draw `[N, S]` switches on: `[B, N]`."""
  images, (samples, most) = len(x), draws.shape
  fill = jax.vmap(lambda image, parts: _segment_means(image, parts, most))(x, segments)

  def scores(index):
    image, draw = index // samples, index % samples
    on = jax.vmap(lambda parts, switches: switches[parts])(segments[image], draws[draw])
    return SCORES[value](f(jnp.where(on[..., None], x[image], fill[image])), targets[image])

  return mapped(scores, images * samples, chunk).reshape(images, samples)


def _proximity(switches: jax.Array, count: jax.Array, width: float) -> jax.Array:
  """pi(z) = sqrt(exp(-d^2 / width^2)) of samples `[N, S]`: `[N]`.

  d is the cosine distance to the whole image, which has `count` superpixels.
  """
  distance = 1 - jnp.sqrt(switches.sum(1) / count)
  return jnp.sqrt(jnp.exp(-jnp.square(distance / width)))


@compiled
def _lime(f, x, targets, segments, counts, key, *, most, samples, width, ridge, value, chunk):
  draws = _draws(key, samples, most)
  values = _sample_scores(f, x, targets, segments, draws, value, chunk)

  def fit(values, count):
    switches = (draws & (jnp.arange(most) < count)).astype(jnp.float32)
    return weighted_ridge(switches, values, _proximity(switches, count, width), ridge)

  beta, intercept, explained = jax.vmap(fit)(values, counts)
  heat = jax.vmap(lambda weights, parts: weights[parts])(beta, segments)
  return LimeResult(heat, beta, intercept, explained, segments)


@checked
def lime(
  f: Function,
  x: Images,
  target: Target,
  segments: np.ndarray | jax.Array | None = None,
  *,
  key: jax.Array | None = None,
  samples: Annotated[int, Bounds(2)] = 1000,
  width: Positive = 0.25,
  ridge: NotNegative = 1.0,
  value: Score = 'probability',
  chunk: Count | None = None,
) -> LimeResult:
  """Weights of superpixels in a local linear model of the score.

  Samples switch each superpixel on or off with even odds; one that is off shows its mean colour.
  They count sqrt(exp(-d^2 / width^2)), d their cosine distance to the whole image, as in the
  authors' code.

  Args:
    f, x, target: see `perturb.base`; f is any function, of which no gradient is taken.
    segments: integers from 0 `[B, H, W]` or `[H, W]`; by default `superpixels(x)`.
    key: PRNG key of the samples, which are the same for every image; `jax.random.key(0)` by
      default.
    samples: N, the number of samples; the first is the whole image.
    width: width of the kernel that weighs the samples, as a cosine distance.
    ridge: strength of the penalty on the squares of the model's weights.
    value: the softmax 'probability' of the target, or the 'score' f gives.
    chunk: samples that go through f at once; by default as many as suit the machine.

  Returns:
    A `LimeResult`.

  Raises:
    UserError: for segments or an option that do not fit.
  """
  check_choice('value', value, list(SCORES))
  x, targets = check_arguments(f, x, target)
  parts, counts = check_segments(segments, x)
  most = int(counts.max())
  found = _lime(
    f,
    x,
    targets,
    parts,
    counts,
    key_or_default(key),
    most=round_up(most),
    samples=samples,
    width=width,
    ridge=ridge,
    value=value,
    chunk=chunk or default_forward_chunk(x.shape[1:3]),
  )
  return found._replace(weights=found.weights[:, :most])
