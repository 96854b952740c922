"""Minimal images: segments are deleted, the least important first, until the class changes.

Source: Zhou et al., "Object detectors emerge in deep scene CNNs", ICLR 2015. There a segment is
deleted in the gradient domain; here it is blurred or faded. Shapes: B images, S segments.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

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
from perturb.ops.perturbations import blank
from perturb.ops.superpixels import check_segments

Perturbation = Literal['blur', 'fade']


class MinimalImage(NamedTuple):
  """The minimal images of B images.

  Attributes:
    heatmap: `[B, H, W]` in [0, 1]: 1 for the segments of the minimal image; less, the earlier a
      segment was deleted.
    mask: `[B, H, W]`, 1 for the segments of the minimal image.
    images: `[B, H, W, C]`, the minimal images.
    scores: `[B]`, their scores.
    deleted: `[B]`, how many segments were deleted.
    segments: int32 `[B, H, W]`.
  """

  heatmap: jax.Array
  mask: jax.Array
  images: jax.Array
  scores: jax.Array
  deleted: jax.Array
  segments: jax.Array


@compiled
def _minimal(f, x, targets, segments, counts, fill, *, most, value):
  def show(image, parts, blanked, kept):
    return jnp.where(kept[parts][..., None], image, blanked)[None]

  def one(problem):
    image, target, parts, count, blanked = problem

    def outputs(kept):
      return class_scores(f(show(image, parts, blanked, kept)))

    def try_each(kept):
      """The scores `[S]` with each segment deleted; -inf where it is deleted already."""

      def step(segment, scores):
        tried = jax.lax.cond(
          kept[segment],
          lambda: SCORES[value](outputs(kept.at[segment].set(False)), target[None])[0],
          lambda: -jnp.inf,
        )
        return scores.at[segment].set(tried)

      return jax.lax.fori_loop(0, most, step, jnp.full(most, -jnp.inf))

    def goes_on(state):
      return state[-1]

    def delete(state):
      kept, order, done, _ = state
      segment = jnp.argmax(try_each(kept))
      next_kept = kept.at[segment].set(False)
      still = (outputs(next_kept)[0].argmax() == target) & (done + 1 < count)
      return (
        jnp.where(still, next_kept, kept),
        jnp.where(still, order.at[segment].set(done), order),
        jnp.where(still, done + 1, done),
        still,
      )

    kept = jnp.arange(most) < count
    start = outputs(kept)[0].argmax() == target
    never = jnp.full(most, most)
    kept, order, done, _ = jax.lax.while_loop(goes_on, delete, (kept, never, 0, start))
    rank = jnp.where(kept, 1.0, (order + 1) / (done + 1))
    minimal = show(image, parts, blanked, kept)
    score = SCORES[value](f(minimal), target[None])[0]
    return rank[parts], kept[parts].astype(jnp.float32), minimal[0], score, done

  heat, mask, images, scores, deleted = jax.lax.map(one, (x, targets, segments, counts, fill))
  return MinimalImage(heat, mask, images, scores, deleted, segments)


def minimal_image(
  f: Function,
  x: Images,
  target: Target,
  segments: np.ndarray | jax.Array | None = None,
  *,
  perturbation: Perturbation = 'blur',
  sigma_max: float = 20.0,
  fade_to: Sequence[float] = (0.0,),
  value: Score = 'score',
) -> MinimalImage:
  """Deletes, one at a time, the segment whose loss costs the least score, while the class stays.

  Takes about S^2 / 2 passes an image for S segments.

  Args:
    f: any function of images `[N, H, W, C]` to scores `[N, K]`; no gradient is taken.
    x: images `[B, H, W, C]`, or one image. One that f does not put into its target class is its own
      minimal image.
    target: index of the class, one for all images or `[B]`.
    segments: integers from 0 `[B, H, W]` or `[H, W]`; by default `superpixels(x)`.
    perturbation: 'blur' a segment to delete it, or 'fade' it to a constant.
    sigma_max: of the blur, in pixels.
    fade_to: the constant for each channel, or one for all, in the units of x.
    value: the 'score' f gives, or its softmax 'probability'.

  Returns:
    A `MinimalImage`.

  Raises:
    UserError: for a wrong target, or segments that do not fit.
  """
  check_choice('perturbation', perturbation, get_args(Perturbation))
  check_choice('value', value, list(SCORES))
  x, targets = check_arguments(f, x, target)
  parts, counts = check_segments(segments, x)
  fill = blank(x, perturbation, sigma_max=sigma_max, fade_to=fade_to)
  return _minimal(f, x, targets, parts, counts, fill, most=int(counts.max()), value=value)
