"""How a method's heatmap changes with the class that is asked for, and with noise on the image.

Sources: Rebuffi, Fong, Ji and Vedaldi, "There and Back Again: Revisiting Backpropagation Saliency
Methods", CVPR 2020, section 4.3; Yeh, Hsieh, Suggala, Inouye and Ravikumar, "On the (In)fidelity
and Sensitivity of Explanations", NeurIPS 2019, definition 3.1. Shapes: B images, S samples.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import (
  Images,
  Method,
  Target,
  check_arguments,
  check_images,
  class_scores,
  count_outputs,
  key_or_default,
)
from perturb.chunks import default_chunk, mapped
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.evaluate.pixel_order import fitted
from perturb.ops.heatmaps import spearman
from perturb.options import Count, Positive, checked


class ClassSensitivity(NamedTuple):
  """How alike the heatmaps of the likeliest and of the least likely class are.

  Attributes:
    correlation: Spearman's, `[B]`: near 0 for a method that tells the classes apart, 1 for one that
      does not; NaN where a heatmap is constant.
    likeliest: the class with the highest score, int32 `[B]`.
    least_likely: that with the lowest, int32 `[B]`.
    heatmaps: of these two, `[2, B, H, W]`, at the size of the images.
  """

  correlation: jax.Array
  likeliest: jax.Array
  least_likely: jax.Array
  heatmaps: jax.Array


@compiled
def _extremes(f, x, *, chunk):
  def some(index):
    scores = class_scores(f(x[index]))
    return scores.argmax(1).astype(jnp.int32), scores.argmin(1).astype(jnp.int32)

  return mapped(some, x.shape[0], chunk)


def class_sensitivity(
  method: Method, f: Any, x: Images, *, absolute: bool = False, **options: Any
) -> ClassSensitivity:
  """The rank correlation of a method's heatmaps of the likeliest and the least likely class.

  Args:
    method: a method that returns a heatmap; see `perturb.base.Method`.
    f, x: see `perturb.base`; f is whatever the method takes.
    absolute: whether the heatmaps' absolute values are compared.
    **options: what else the method is called with.

  Returns:
    A `ClassSensitivity`; heatmaps of another size are resampled bilinearly to that of x, as the
    paper does.

  Raises:
    UserError: as the method.
  """
  x = check_images(x)
  count_outputs(f, x)
  likeliest, least = _extremes(f, x, chunk=default_chunk(x.shape[1:3]))
  maps = [fitted(method(f, x, target, **options), x) for target in (likeliest, least)]
  compared = [jnp.abs(m) for m in maps] if absolute else maps
  return ClassSensitivity(spearman(*compared), likeliest, least, jnp.stack(maps))


@compiled
def _changes(f, x, targets, noise, key, *, method, samples, radius, chunk, options):
  plain = method(f, x, targets, **options)

  def drawn(sample):
    key_of = jax.random.fold_in(key, sample)
    return jax.random.uniform(key_of, x.shape[1:], jnp.float32, -radius, radius)

  def some(index):
    image, sample = index // samples, index % samples
    moved = jax.vmap(drawn)(sample) if noise is None else noise[sample, image]
    heat = method(f, x[image] + moved, targets[image], **options)
    return jnp.sqrt(jnp.square(heat - plain[image]).sum((1, 2)))

  changes = mapped(some, x.shape[0] * samples, chunk).reshape(-1, samples)
  size = jnp.sqrt(jnp.square(plain).sum((1, 2)))
  return changes.max(1) / jnp.where(size == 0, 1, size)


@checked
def max_sensitivity(
  method: Method,
  f: Any,
  x: Images,
  target: Target,
  *,
  samples: Count = 10,
  radius: Positive = 0.02,
  noise: jax.Array | np.ndarray | None = None,
  key: jax.Array | int | None = None,
  chunk: Count | None = None,
  **options: Any,
) -> jax.Array:
  """max over delta of |h(x + delta) - h(x)| / |h(x)|: how far noise moves a heatmap h at most.

  The norm is Euclidean, over the pixels; that of a heatmap of zeros counts as 1, as in Captum.

  Args:
    method: a method that returns a heatmap; see `perturb.base.Method`. It is traced.
    f, x, target: see `perturb.base`; f is whatever the method takes.
    samples: S, how many delta are tried.
    radius: r, delta is uniform in [-r, r], in the units of x.
    noise: delta itself, `[S, B, H, W, C]`, in place of what is drawn.
    key: of delta, which is the same for every image; `jax.random.key(0)` by default.
    chunk: how many images the method is given at once; by default as many as suit the machine.
    **options: what else the method is called with.

  Returns:
    `[B]`, 0 for a heatmap that noise does not change.

  Raises:
    UserError: as the method; for noise of another shape.
  """
  x, targets = check_arguments(f, x, target)
  if noise is not None:
    noise = jnp.asarray(noise, jnp.float32)
    if noise.ndim != 5 or noise.shape[1:] != x.shape or not len(noise):
      raise UserError(f'noise must be of shape (S, *{x.shape}), not {noise.shape}')
    samples = len(noise)
  return _changes(
    f,
    x,
    targets,
    noise,
    key_or_default(key),
    method=method,
    samples=samples,
    radius=radius,
    chunk=chunk or default_chunk(x.shape[1:3]),
    options=options,
  )
