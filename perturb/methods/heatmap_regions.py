"""How any heatmap fares at the game of extremal perturbations: the scores of its largest pixels.

Source of the game: Fong, Patrick and Vedaldi, "Understanding Deep Networks via Extremal
Perturbations and Smooth Masks", ICCV 2019, section 3. Shapes: B images, A areas.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import Function, Images, Target, check_arguments, like_images, pick
from perturb.chunks import default_forward_chunk, mapped
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.methods.extremal import check_areas
from perturb.ops.area import binarise
from perturb.options import Count


class RegionScores(NamedTuple):
  """The scores of the regions of B heatmaps, of A areas each.

  Attributes:
    scores: `[B, A]`, with exactly the a |Omega| largest pixels kept.
    deleted_scores: `[B, A]`, with exactly these perturbed.
  """

  scores: jax.Array
  deleted_scores: jax.Array


@compiled
def _regions(f, x, targets, heatmaps, blanked, areas, *, chunk):
  count = areas.shape[0]

  def some(index):
    image, area = index // count, index % count
    inside = binarise(heatmaps[image], areas[area])[..., None] == 1
    kept, removed = (jnp.where(shown, x[image], blanked[image]) for shown in (inside, ~inside))
    return pick(f(kept), targets[image]), pick(f(removed), targets[image])

  found = mapped(some, x.shape[0] * count, chunk)
  return RegionScores(*(scores.reshape(-1, count) for scores in found))


def region_scores(
  f: Function,
  x: Images,
  target: Target,
  heatmap: jax.Array | np.ndarray,
  areas: float | Sequence[float] | jax.Array | np.ndarray,
  blanked: Images | float = 0.0,
  *,
  chunk: Count | None = None,
) -> RegionScores:
  """The scores with a heatmap's largest pixels alone, and without them.

  An extremal perturbation whose score is lower than that of, say, Grad-CAM's pixels has not found
  what it looked for.

  Example:
    >>> heatmap = perturb.grad_cam(net, x, cat)
    >>> perturb.region_scores(net, x, cat, heatmap, areas=[0.05, 0.1]).scores.shape
    (1, 2)

  Args:
    f, x, target: see `perturb.base`; f is any function, of which no gradient is taken.
    heatmap: `[B, H, W]`, as a method gives it.
    areas: fractions of the image, each in (0, 1).
    blanked: the fully perturbed images, anything that broadcasts to x; 0 is the training mean of a
      normalised input.
    chunk: how many images go through f at once; by default as many as suit the machine.

  Returns:
    A `RegionScores`.

  Raises:
    UserError: for a heatmap, areas or blanked images that do not fit.
  """
  x, targets = check_arguments(f, x, target)
  heat = jnp.asarray(heatmap, jnp.float32)
  if heat.shape != x.shape[:3]:
    raise UserError(f'heatmap must be of shape {x.shape[:3]}, not {heat.shape}')
  fill = like_images('blanked', blanked, x)
  several = jnp.asarray(check_areas(areas), jnp.float32)
  chunk = chunk or default_forward_chunk(x.shape[1:3])
  return _regions(f, x, targets, heat, fill, several, chunk=chunk)
