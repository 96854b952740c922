"""Infidelity: whether attributions foretell what a perturbation does to the score.

Source: Yeh, Hsieh, Suggala, Inouye and Ravikumar, "On the (In)fidelity and Sensitivity of
Explanations", NeurIPS 2019, definition 2.1 and section 2.3 (square removal). Shapes: B images, S
samples.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import (
  SCORES,
  Function,
  Images,
  Score,
  Target,
  check_arguments,
  key_or_default,
  like_images,
)
from perturb.chunks import default_forward_chunk, mapped
from perturb.compiled import compiled
from perturb.errors import UserError, check_choice
from perturb.options import Count, checked


def random_square(key: jax.Array, shape: tuple[int, int], size: int) -> jax.Array:
  """A square of ones, of so many pixels a side, anywhere within zeros `[H, W]`."""

  def side(key: jax.Array, length: int) -> jax.Array:
    first = jax.random.randint(key, (), 0, length - size + 1, jnp.int32)
    offset = jnp.arange(length) - first
    return (offset >= 0) & (offset < size)

  row_key, column_key = jax.random.split(key)
  rows, columns = side(row_key, shape[0]), side(column_key, shape[1])
  return (rows[:, None] & columns).astype(jnp.float32)


@compiled
def _pairs(f, x, targets, attributions, given, fill, key, *, samples, size, value, chunk):
  turns = samples + 1  # The last one has nothing changed.

  def perturbation(image, sample):
    if given is not None:
      return given[jnp.minimum(sample, samples - 1), image]
    keys = jax.vmap(lambda s: jax.random.fold_in(key, s))(sample)
    return jax.vmap(lambda k: random_square(k, x.shape[1:3], size))(keys)

  def some(index):
    image, sample = index // turns, index % turns
    changed = perturbation(image, sample)
    shares = changed.ndim == 3  # Of each pixel, that are deleted.
    step = changed[..., None] * (x[image] - fill[image]) if shares else changed
    step = jnp.where((sample < samples)[:, None, None, None], step, 0)
    foretold = attributions[image] * (step if attributions.ndim == 4 else changed)
    score = SCORES[value](f(x[image] - step), targets[image])
    return foretold.reshape(len(image), -1).sum(1), score

  foretold, scores = (each.reshape(-1, turns) for each in mapped(some, x.shape[0] * turns, chunk))
  return foretold[:, :-1], scores[:, -1:] - scores[:, :-1]


@checked
def infidelity(
  f: Function,
  x: Images,
  target: Target,
  attributions: jax.Array | np.ndarray,
  *,
  samples: Count = 50,
  size: Count | None = None,
  fill: Images | float = 0.0,
  perturbations: jax.Array | np.ndarray | None = None,
  normalise: bool = True,
  value: Score = 'score',
  key: jax.Array | int | None = None,
  chunk: Count | None = None,
) -> jax.Array:
  """mean over I of (beta I . Phi - (f(x) - f(x - I)))^2, for attributions Phi.

  By default I takes a random square of the image away. For a heatmap, which says what a pixel
  contributes, I . Phi is the heatmap's sum over what is deleted. For attributions with channels,
  which say what a unit of the input contributes, as a gradient does, it is that of I times Phi.

  Args:
    f, x, target: see `perturb.base`; f is any function, of which no gradient is taken.
    attributions: Phi, heatmaps `[B, H, W]`, or attributions `[B, H, W, C]`.
    samples: S, how many squares.
    size: their side, in pixels; by default a quarter of the shorter side.
    fill: what they show, anything that broadcasts to x.
    perturbations: what is changed in place of squares: shares `[S, B, H, W]` of each pixel that are
      deleted; or, for attributions with channels, I itself, `[S, B, H, W, C]`.
    normalise: whether beta is the scale that fits best, E[I . Phi (f(x) - f(x - I))] /
      E[(I . Phi)^2], as Captum's option has it: a heatmap's scale is arbitrary. Otherwise 1.
    value: the 'score' f gives, or the softmax 'probability' of the target.
    key: of the squares, which are the same for every image; `jax.random.key(0)` by default.
    chunk: how many images go through f at once; by default as many as suit the machine.

  Returns:
    `[B]`, 0 for attributions that foretell every change; in squared units of the score.

  Raises:
    UserError: for attributions, perturbations or an option that do not fit.
  """
  check_choice('value', value, list(SCORES))
  x, targets = check_arguments(f, x, target)
  phi = jnp.asarray(attributions, jnp.float32)
  if phi.shape not in (x.shape, x.shape[:3]):
    raise UserError(f'attributions must be of shape {x.shape[:3]} or {x.shape}, not {phi.shape}')
  side = size or max(1, min(x.shape[1:3]) // 4)
  if side > min(x.shape[1:3]):
    raise UserError(f'size must be at most {min(x.shape[1:3])}, the shorter side, not {size}')
  given = None if perturbations is None else _checked_perturbations(perturbations, x, phi)
  foretold, changes = _pairs(
    f,
    x,
    targets,
    phi,
    given,
    like_images('fill', fill, x),
    key_or_default(key),
    samples=samples if given is None else len(given),
    size=side,
    value=value,
    chunk=chunk or default_forward_chunk(x.shape[1:3]),
  )
  if normalise:
    square = jnp.square(foretold).sum(1, keepdims=True)
    scale = (foretold * changes).sum(1, keepdims=True) / jnp.where(square == 0, 1, square)
    foretold = scale * foretold
  return jnp.square(foretold - changes).mean(1)


def _checked_perturbations(given: Any, x: jax.Array, phi: jax.Array) -> jax.Array:
  """Perturbations as float32, if they fit images x and attributions phi."""
  given = jnp.asarray(given, jnp.float32)
  fitting = {x.shape[:3]} | ({x.shape} if phi.ndim == 4 else set())
  if given.ndim < 4 or given.shape[1:] not in fitting or not len(given):
    wanted = ' or '.join(str(('S', *shape)) for shape in sorted(fitting, key=len))
    raise UserError(f'perturbations must be of shape {wanted}, not {given.shape}')
  return given
