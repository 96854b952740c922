"""Gradients averaged over several inputs: SmoothGrad, integrated and expected gradients."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import (
  Function,
  Images,
  Target,
  check_arguments,
  check_images,
  key_or_default,
  like_images,
  pick,
)
from perturb.chunks import default_chunk, summed
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.methods.backprop import Aggregate, aggregate_channels
from perturb.options import Count, NotNegative, checked

# (images [P], samples [P]) to (inputs [P, H, W, C], weights [P, 1, 1, 1] or [P, H, W, C])
Points = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def _weighted_gradients(
  f: Function, x: jax.Array, targets: jax.Array, points: Points, samples: int, chunk: int
) -> jax.Array:
  """sum over the samples of weight * df/dx at the point: `[B, H, W, C]`."""

  def add(index, inside, total):
    image = index // samples
    inputs, weights = points(image, index % samples)
    _, back = jax.vjp(lambda v: pick(f(v), targets[image]), inputs)
    return total.at[image].add(weights * back(inside)[0])

  return summed(add, jnp.zeros_like(x), x.shape[0] * samples, chunk)


def _each_sample(key: jax.Array, samples: jax.Array, draw: Callable) -> jax.Array:
  """A draw for each sample, the same for every image."""
  return jax.vmap(lambda s: draw(jax.random.fold_in(key, s)))(samples)


@compiled
def _smooth_grad(f, x, targets, key, *, samples, noise, aggregate, chunk):
  sigma = noise * (x.max((1, 2, 3), keepdims=True) - x.min((1, 2, 3), keepdims=True))

  def points(image, sample):
    draw = _each_sample(key, sample, lambda k: jax.random.normal(k, x.shape[1:], jnp.float32))
    return x[image] + sigma[image] * draw, jnp.full((1, 1, 1, 1), 1 / samples, jnp.float32)

  return aggregate_channels(_weighted_gradients(f, x, targets, points, samples, chunk), aggregate)


@compiled
def _integrated(f, x, targets, baseline, nodes, weights, *, aggregate, chunk):
  start = jnp.broadcast_to(baseline, x.shape)
  away = x - start

  def points(image, sample):
    alpha = nodes[sample][:, None, None, None]
    return start[image] + alpha * away[image], weights[sample][:, None, None, None] * away[image]

  count = nodes.shape[0]
  return aggregate_channels(_weighted_gradients(f, x, targets, points, count, chunk), aggregate)


@compiled
def _expected(f, x, targets, references, key, *, samples, aggregate, chunk):
  def points(image, sample):
    def draw(k):
      pick_key, alpha_key = jax.random.split(k)
      return (
        jax.random.randint(pick_key, (), 0, references.shape[0], jnp.int32),
        jax.random.uniform(alpha_key, (1, 1, 1), jnp.float32),
      )

    chosen, alpha = _each_sample(key, sample, draw)
    away = x[image] - references[chosen]
    return references[chosen] + alpha * away, away / samples

  return aggregate_channels(_weighted_gradients(f, x, targets, points, samples, chunk), aggregate)


@checked
def smooth_grad(
  f: Function,
  x: Images,
  target: Target,
  *,
  key: jax.Array | None = None,
  samples: Count = 50,
  noise: NotNegative = 0.15,
  aggregate: Aggregate = 'max',
  chunk: Count | None = None,
) -> jax.Array:
  """SmoothGrad: the mean of the gradient over noisy copies of the image.

  Source: Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017.

  Args:
    f, x, target: see `perturb.base`; f is any differentiable function. A network
      `net.with_rules(...)` smooths another signal than the gradient.
    key: PRNG key of the noise, which is the same for every image; `jax.random.key(0)` by default.
    samples: number of noisy copies of each image.
    noise: sigma of the noise, as a share of max(x) - min(x) of each image.
    aggregate: how the channels of the mean gradient become one number: 'max' of the absolute
      values, 'sum', 'norm' or 'selective'.
    chunk: copies that go through f at once; by default as many as suit the machine.

  Returns:
    `[B, H, W]`.

  Raises:
    UserError: for an option that does not fit.
  """
  x, targets = check_arguments(f, x, target)
  key = key_or_default(key)
  return _smooth_grad(
    f,
    x,
    targets,
    key,
    samples=samples,
    noise=noise,
    aggregate=aggregate,
    chunk=chunk or default_chunk(x.shape[1:3]),
  )


@checked
def integrated_gradients(
  f: Function,
  x: Images,
  target: Target,
  *,
  baseline: Images | float = 0.0,
  steps: Count = 50,
  aggregate: Aggregate = 'sum',
  chunk: Count | None = None,
) -> jax.Array:
  """(x - x') int_0^1 df(x' + alpha (x - x'))/dx dalpha, by Gauss-Legendre quadrature.

  Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.

  Args:
    f, x, target: see `perturb.base`; f is any differentiable function.
    baseline: x', anything that broadcasts to x; 0 is the training mean of a normalised input.
    steps: number of nodes of the quadrature, points alpha between x' and x.
    aggregate: as in `smooth_grad`; with 'sum' a heatmap sums to f(x) - f(x'), up to the quadrature.
    chunk: points that go through f at once; by default as many as suit the machine.

  Returns:
    `[B, H, W]`, with its sign where `aggregate` is 'sum'.

  Raises:
    UserError: for an option that does not fit, or a baseline of another shape.
  """
  x, targets = check_arguments(f, x, target)
  start = like_images('baseline', baseline, x)
  if not isinstance(start, jax.core.Tracer) and not np.isfinite(np.asarray(start)).all():
    raise UserError('baseline must be finite')
  nodes, weights = np.polynomial.legendre.leggauss(steps)
  return _integrated(
    f,
    x,
    targets,
    start,
    np.float32((nodes + 1) / 2),
    np.float32(weights / 2),
    aggregate=aggregate,
    chunk=chunk or default_chunk(x.shape[1:3]),
  )


@checked
def expected_gradients(
  f: Function,
  x: Images,
  target: Target,
  references: Images,
  *,
  key: jax.Array | None = None,
  samples: Count = 50,
  aggregate: Aggregate = 'sum',
  chunk: Count | None = None,
) -> jax.Array:
  """Integrated gradients in expectation over baselines drawn from the data.

  Source: Erion et al., "Improving performance of deep learning models with axiomatic attribution
  priors and expected gradients", 2021.

  Args:
    f, x, target: see `perturb.base`; f is any differentiable function.
    references: images `[R, H, W, C]`, among which the baselines are drawn.
    key: PRNG key of the draws, which are the same for every image; `jax.random.key(0)` by default.
    samples: number of pairs of a baseline and a point on the way from it to the image.
    aggregate: as in `smooth_grad`; with 'sum' a heatmap sums to f(x) minus the mean of f over the
      references, in expectation.
    chunk: points that go through f at once; by default as many as suit the machine.

  Returns:
    `[B, H, W]`, with its sign where `aggregate` is 'sum'.

  Raises:
    UserError: for an option that does not fit, or references of another size.
  """
  x, targets = check_arguments(f, x, target)
  references = check_images(references)
  if references.shape[1:] != x.shape[1:]:
    raise UserError(f'references must be [R, {", ".join(map(str, x.shape[1:]))}], as x')
  key = key_or_default(key)
  return _expected(
    f,
    x,
    targets,
    references,
    key,
    samples=samples,
    aggregate=aggregate,
    chunk=chunk or default_chunk(x.shape[1:3]),
  )
