"""Regions of all areas, each inside the next: an extremal perturbation as one growing region.

The masks of several areas are found on their own, so that a smaller one need not lie in a larger
one, and a* is known only to the areas asked for. Here the masks are made into one order of the
pixels, whose first ones are a region of any area (ours; the paper's section 4.1 asks for both).
Shapes: B images, A areas asked for, [H, W, C] pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import Function, Images, Target
from perturb.methods.extremal import ExtremalResult
from perturb.methods.heatmap_regions import region_scores
from perturb.ops.area import binarise
from perturb.ops.heatmaps import smooth
from perturb.options import Count

EVERY_PERCENT = tuple(round(0.01 * i, 2) for i in range(1, 100))
_BLUR = 0.05  # Of a mask, as a share of the shorter side: orders the pixels that it holds alike.


class Growth(NamedTuple):
  """The scores of regions that grow; `smallest_area` and the like take it.

  Attributes:
    areas: `[G]`, fractions of the image.
    scores: `[B, G]`, with only the region of an area kept.
    deleted_scores: `[B, G]`, with it perturbed.
    full_score: `[B]`, of the image.
    blank_score: `[B]`, of the fully perturbed image.
    heatmap: `[B, H, W]`, whose largest pixels are the regions.
  """

  areas: jax.Array
  scores: jax.Array
  deleted_scores: jax.Array
  full_score: jax.Array
  blank_score: jax.Array
  heatmap: jax.Array


def nested_heatmap(result: ExtremalResult) -> jax.Array:
  """One order of the pixels, `[B, H, W]` in [0, 1]: the smallest mask first, then what each adds.

  The a |Omega| largest pixels at an area asked for are those of the smaller regions and, of the
  others, those where the mask of that area is largest. Between two areas, and below the smallest,
  the pixels come by the blurred mask: from its middle outwards.
  """
  masks = jnp.asarray(result.masks)
  heat = inside = jnp.zeros_like(masks[:, 0])
  for k in np.argsort(np.asarray(result.areas)).tolist():
    soft = smooth(masks[:, k], _BLUR)
    soft = soft / jnp.maximum(soft.max((1, 2), keepdims=True), 1e-6)
    ranked = 2 * inside + masks[:, k] + 1e-6 * soft  # What is inside stays, whatever the mask says.
    heat = jnp.where(inside == 1, heat + 1, soft)
    inside = binarise(ranked, jnp.broadcast_to(jnp.asarray(result.areas)[k], len(masks)))
    heat = heat + inside
  return heat / (2 * len(np.asarray(result.areas)))


def nested_growth(
  f: Function,
  x: Images,
  target: Target,
  result: ExtremalResult,
  blanked: Images | float = 0.0,
  *,
  areas: Sequence[float] = EVERY_PERCENT,
  chunk: Count | None = None,
) -> Growth:
  """The scores of the regions of `nested_heatmap`: two forward passes for each area.

  Example:
    >>> result = perturb.extremal_perturbation(net, x, cat, areas=[0.1, 0.3], iterations=5)
    >>> growth = perturb.nested_growth(net, x, cat, result)
    >>> growth.scores.shape, perturb.smallest_area(growth).shape  # a* to 1 % of the image.
    ((1, 99), (1,))

  Args:
    f, x, target: those of the result; see `perturb.base`.
    result: of `extremal_perturbation`.
    blanked: as for `region_scores`.
    areas: fractions of the image, each in (0, 1).
    chunk: as for `region_scores`.

  Returns:
    A `Growth`.

  Raises:
    UserError: for images, areas or blanked images that do not fit.
  """
  heatmap = nested_heatmap(result)
  found = region_scores(f, x, target, heatmap, areas, blanked, chunk=chunk)
  return Growth(
    jnp.asarray(areas, jnp.float32),
    found.scores,
    found.deleted_scores,
    jnp.asarray(result.full_score),
    jnp.asarray(result.blank_score),
    heatmap,
  )
