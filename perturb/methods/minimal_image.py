"""Minimal images: segments are deleted, the least important first, until the class changes.

Source: Zhou et al., "Object detectors emerge in deep scene CNNs", ICLR 2015. There a segment is
deleted in the gradient domain; here it is blurred or faded. Shapes: B images, S segments.
"""

from collections.abc import Sequence
from typing import NamedTuple, get_args

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
  class_scores,
)
from perturb.compiled import compiled
from perturb.errors import check_choice
from perturb.ops.perturbations import Perturbation, blank
from perturb.ops.superpixels import check_segments, round_up
from perturb.options import Positive, checked


class MinimalImage(NamedTuple):
  """The minimal images of B images.

  Attributes:
    heatmap: `[B, H, W]` in [0, 1]: 1 for the segments of the minimal image; less, the earlier a
      segment was deleted.
    mask: `[B, H, W]`, 1 for the segments of the minimal image.
    images: `[B, H, W, C]`, the minimal images.
    scores: `[B]`, the minimal images' scores, or probabilities.
    deleted: `[B]`, how many segments were deleted.
    segments: int32 `[B, H, W]`, the segments that were deleted or kept.
  """

  heatmap: jax.Array
  mask: jax.Array
  images: jax.Array
  scores: jax.Array
  deleted: jax.Array
  segments: jax.Array


class _Problem(NamedTuple):
  """An image `[H, W, C]`, its target, its segments `[H, W]`, how many, and its blank image."""

  image: jax.Array
  target: jax.Array
  segments: jax.Array
  segment_count: jax.Array
  blanked: jax.Array


class _State(NamedTuple):
  """Which segments are kept `[S]`, when each was deleted `[S]`, how many, whether it goes on."""

  kept: jax.Array
  order: jax.Array
  deleted: jax.Array
  goes_on: jax.Array


def _show(problem: _Problem, kept: jax.Array) -> jax.Array:
  """The image `[1, H, W, C]` with some of its segments."""
  return jnp.where(kept[problem.segments][..., None], problem.image, problem.blanked)[None]


def _scores_without_each(
  f: Function, problem: _Problem, kept: jax.Array, value: Score
) -> jax.Array:
  """The score with each segment deleted as well: `[S]`; -inf where it is deleted already."""

  worst = jnp.float32(-jnp.inf)

  def score_without(segment):
    images = _show(problem, kept.at[segment].set(False))
    return SCORES[value](class_scores(f(images)), problem.target[None])[0]

  def step(segment, scores):
    score = jax.lax.cond(kept[segment], lambda: score_without(segment), lambda: worst)
    return scores.at[segment].set(score)

  return jax.lax.fori_loop(0, len(kept), step, jnp.full(len(kept), -jnp.inf, jnp.float32))


def _keeps_class(f: Function, problem: _Problem, kept: jax.Array) -> jax.Array:
  return class_scores(f(_show(problem, kept)))[0].argmax() == problem.target


def _delete_one(f: Function, problem: _Problem, value: Score, state: _State) -> _State:
  """Deletes the least important segment; the state as it was, if that changes the class."""
  kept, order, deleted, _ = state
  segment = jnp.argmax(_scores_without_each(f, problem, kept, value))
  fewer = kept.at[segment].set(False)
  still = _keeps_class(f, problem, fewer) & (deleted + 1 < problem.segment_count)
  return _State(
    jnp.where(still, fewer, kept),
    jnp.where(still, order.at[segment].set(deleted), order),
    jnp.where(still, deleted + 1, deleted),
    still,
  )


def _minimise(f: Function, problem: _Problem, most: int, value: Score) -> MinimalImage:
  """The minimal image of one image, of which `most` is at least the number of segments."""
  kept = jnp.arange(most) < problem.segment_count
  first = _State(
    kept, jnp.full(most, most, jnp.int32), jnp.int32(0), _keeps_class(f, problem, kept)
  )
  kept, order, deleted, _ = jax.lax.while_loop(
    lambda state: state.goes_on, lambda state: _delete_one(f, problem, value, state), first
  )
  rank = jnp.where(kept, 1.0, (order + 1) / (deleted + 1)).astype(jnp.float32)
  minimal = _show(problem, kept)
  score = SCORES[value](f(minimal), problem.target[None])[0]
  segments = problem.segments
  mask = kept[segments].astype(jnp.float32)
  return MinimalImage(rank[segments], mask, minimal[0], score, deleted, segments)


@compiled
def _minimal_images(f, x, targets, segments, counts, blanked, *, most, value):
  problems = _Problem(x, targets, segments, counts, blanked)
  return jax.lax.map(lambda problem: _minimise(f, problem, most, value), problems)


@checked
def minimal_image(
  f: Function,
  x: Images,
  target: Target,
  segments: np.ndarray | jax.Array | None = None,
  *,
  perturbation: Perturbation = 'blur',
  sigma_max: Positive = 20.0,
  fade_to: Sequence[float] = (0.0,),
  value: Score = 'score',
) -> MinimalImage:
  """Deletes, one at a time, the segment whose loss costs the least score, while the class stays.

  It takes about S^2 / 2 passes an image.

  Args:
    f, x, target: see `perturb.base`; f is any function, of which no gradient is taken. An image
      that f does not put into its target class is its own minimal image.
    segments: integers from 0 `[B, H, W]` or `[H, W]`; by default `superpixels(x)`.
    perturbation: 'blur' a segment to delete it, or 'fade' it to `fade_to`.
    sigma_max: sigma of the blur, in pixels.
    fade_to: the constant of a fade, one value for each channel or one for all, in the units of x.
    value: the 'score' f gives, or its softmax 'probability'.

  Returns:
    A `MinimalImage`.

  Raises:
    UserError: for segments that do not fit.
  """
  check_choice('perturbation', perturbation, get_args(Perturbation))
  check_choice('value', value, list(SCORES))
  x, targets = check_arguments(f, x, target)
  parts, counts = check_segments(segments, x)
  blanked = blank(x, perturbation, sigma_max=sigma_max, fade_to=fade_to)
  most = round_up(int(counts.max()))
  return _minimal_images(f, x, targets, parts, counts, blanked, most=most, value=value)
