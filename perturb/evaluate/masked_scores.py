"""Scores of images of which a mask keeps a part, and their scale."""

import jax
import jax.numpy as jnp

from perturb.base import SCORES, Function, Score
from perturb.chunks import default_forward_chunk, mapped
from perturb.compiled import compiled


@compiled
def _masked(f, x, targets, fill, masks, *, value, chunk):
  images, count = masks.shape[:2]

  def scores(index):
    image, mask = index // count, index % count
    kept = masks[image, mask][..., None].astype(x.dtype)
    return SCORES[value](f(fill[image] + kept * (x[image] - fill[image])), targets[image])

  return mapped(scores, images * count, chunk).reshape(images, count)


def masked_scores(
  f: Function,
  x: jax.Array,
  targets: jax.Array,
  fill: jax.Array,
  masks: jax.Array,
  *,
  value: Score = 'probability',
  chunk: int | None = None,
) -> jax.Array:
  """The score of each image x m + fill (1 - m).

  Args:
    f: any function of images `[N, H, W, C]` to scores `[N, K]`.
    x: images `[B, H, W, C]`.
    targets: `[B]`.
    fill: what replaces the deleted pixels, `[B, H, W, C]`.
    masks: `[B, M, H, W]`, 1 where a pixel is kept.
    value: softmax 'probability', or 'score'.
    chunk: images that go through f at once.

  Returns:
    `[B, M]`.
  """
  return _masked(
    f, x, targets, fill, masks, value=value, chunk=chunk or default_forward_chunk(x.shape[1:3])
  )


def normalised(scores: jax.Array, full: jax.Array, reference: jax.Array) -> jax.Array:
  """p' = (p - p_ref) / (p_0 - p_ref): 1 for the image, 0 for the reference.

  The paper's footnote prints (p - p_0) / (p_0 - p_b), which has neither. NaN where the image is no
  more probable than the reference: nothing of it can then be taken away or kept.
  """
  spread = full - reference
  return (scores - reference) / jnp.where(spread > 0, spread, jnp.nan)
