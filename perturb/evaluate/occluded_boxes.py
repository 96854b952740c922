"""Box occlusion: the score as patches that a heatmap draws hide more and more of the image.

Source: Oramas, Wang and Tuytelaars, "Visual Explanation by Interpretation", ICLR 2019, section 4.2:
patches are sampled from the distribution that the heatmap defines, up to 30 % of the image; the
measure is the drop of the prediction's confidence. The paper does not say how large a patch is,
what it is filled with or how many sequences are drawn; these are options here. Shapes: B images, D
draws, T points of a curve.
"""

from typing import Annotated, NamedTuple

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
from perturb.evaluate.pixel_order import fitted
from perturb.ops.area import ranks
from perturb.options import Bounds, Count, Share, checked


class BoxOcclusion(NamedTuple):
  """What patches that a heatmap draws take of the score.

  Attributes:
    shares: `[T]`, how much of the image may be hidden, from 0.
    covered: `[B, D, T]`, how much is: whole patches, so a little less; and no more than the patches
      on the heatmap's positive pixels cover.
    scores: `[B, D, T]`, of the image so hidden.
    drops: `[B]`, the score of the image less that of the hidden ones, the mean over the draws and
      the points after the first: large if the heatmap finds what counts.
  """

  shares: jax.Array
  covered: jax.Array
  scores: jax.Array
  drops: jax.Array


def patch_times(heatmap: jax.Array, key: jax.Array, size: int) -> jax.Array:
  """When each pixel is hidden, as the number of patches before: `[H, W]`, infinite for never.

  The centres are drawn without replacement, with probabilities in proportion to the positive part
  of the heatmap `[H, W]`; a centre that is drawn again would hide nothing more. The order of such
  draws is that of log p + Gumbel noise. A pixel is hidden by the first patch that reaches it.
  """
  chances = jnp.maximum(heatmap, 0)
  noise = jax.random.gumbel(key, heatmap.shape, jnp.float32)
  drawn = ranks((jnp.log(chances) + noise)[None])[0].astype(jnp.float32)
  first = jnp.where(chances > 0, drawn, jnp.inf)
  before, after = (size - 1) // 2, size // 2
  window, edges = (size, size), ((after, before), (after, before))
  return jax.lax.reduce_window(first, jnp.inf, jax.lax.min, window, (1, 1), edges)


@compiled
def _occluded(f, x, targets, heatmaps, fill, shares, key, *, size, draws, value, chunk):
  points, area = shares.shape[0], heatmaps[0].size

  def begun(index):
    image, draw = index // draws, index % draws
    key_of = jax.vmap(lambda d: jax.random.fold_in(key, d))
    return jax.vmap(lambda h, k: patch_times(h, k, size))(heatmaps[image], key_of(draw))

  times = mapped(begun, x.shape[0] * draws, chunk)
  # Of whole patches, as many as hide no more than the share.
  allowed = jnp.floor(shares * area + 1e-3).astype(jnp.int32)
  ordered = jnp.sort(times.reshape(-1, area), axis=1)
  ends = jnp.pad(ordered, ((0, 0), (0, 1)), constant_values=jnp.inf)[:, allowed]

  def some(index):
    one, image = index // points, index // (points * draws)
    hidden = times[one] < ends[one, index % points][:, None, None]
    shown = jnp.where(hidden[..., None], fill[image], x[image])
    return SCORES[value](f(shown), targets[image]), hidden.mean((1, 2), dtype=jnp.float32)

  found = mapped(some, x.shape[0] * draws * points, chunk)
  # A map without positive pixels draws no patch; one with NaN draws what nobody asked for.
  drawable = jnp.isfinite(heatmaps).all((1, 2)) & (heatmaps > 0).any((1, 2))
  scores, covered = (
    jnp.where(drawable[:, None, None], each.reshape(-1, draws, points), jnp.nan) for each in found
  )
  drops = (scores[..., :1] - scores[..., 1:]).mean((1, 2))
  return BoxOcclusion(shares, covered, scores, drops)


@checked
def box_occlusion(
  f: Function,
  x: Images,
  target: Target,
  heatmaps: jax.Array | np.ndarray,
  *,
  size: Count | None = None,
  most: Share = 0.3,
  points: Annotated[int, Bounds(2)] = 7,
  draws: Count = 1,
  fill: Images | float = 0.0,
  value: Score = 'probability',
  key: jax.Array | int | None = None,
  chunk: Count | None = None,
) -> BoxOcclusion:
  """The scores as patches drawn from a heatmap hide up to 30 % of the image.

  Args:
    f, x, target: see `perturb.base`; f is any function, of which no gradient is taken.
    heatmaps: `[B, h, w]` of any method; those of another size are resampled bilinearly to that of
      x. Their positive part is the distribution of the patches' centres. An image whose heatmap has
      NaN, or nothing positive, gets NaN.
    size: side of a patch, in pixels; by default a fourteenth of the shorter side: 16 of 224.
    most: the share of the image that may be hidden in the end.
    points: T, evenly from no share to `most`.
    draws: D, sequences of patches an image.
    fill: what a patch shows, anything that broadcasts to x; 0 is the training mean of a normalised
      input.
    value: the softmax 'probability' of the target, or the 'score' f gives.
    key: of the patches; `jax.random.key(0)` by default.
    chunk: how many images go through f at once; by default as many as suit the machine.

  Returns:
    A `BoxOcclusion`.

  Raises:
    UserError: for heatmaps of another number, or an option that does not fit.
  """
  check_choice('value', value, list(SCORES))
  x, targets = check_arguments(f, x, target)
  side = size or max(1, min(x.shape[1:3]) // 14)
  if side > min(x.shape[1:3]):
    raise UserError(f'size must be at most {min(x.shape[1:3])}, the shorter side, not {size}')
  return _occluded(
    f,
    x,
    targets,
    fitted(heatmaps, x),
    like_images('fill', fill, x),
    jnp.linspace(0, most, points, dtype=jnp.float32),
    key_or_default(key),
    size=side,
    draws=draws,
    value=value,
    chunk=chunk or default_forward_chunk(x.shape[1:3]),
  )
