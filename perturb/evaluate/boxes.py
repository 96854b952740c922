"""Boxes: the smallest one that suppresses a class, and what a given one does.

Source: Fong and Vedaldi, "Interpretable Explanations of Black Boxes by Meaningful Perturbation",
ICCV 2017, sections 5.1 and 5.3, fig. 6 and 8. A box is (top, left, bottom, right) in pixels, the
last two excluded. Shapes: B images, T thresholds, S levels of suppression.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import Function, Images, Target, check_arguments, check_images
from perturb.errors import UserError, check_choice
from perturb.evaluate.masked_scores import masked_scores, normalised
from perturb.ops.heatmaps import normalise
from perturb.ops.perturbations import blur

Mode = Literal['paper', 'released']
SUPPRESSIONS = (0.8, 0.9, 0.95, 0.99)
THRESHOLDS = {
  'paper': tuple(np.round(np.arange(0, 1.01, 0.1), 2).tolist()),
  'released': tuple(np.round(np.arange(0, 1, 0.01), 2).tolist()),
}


class MinimalBoxes(NamedTuple):
  """The smallest boxes that suppress a class.

  Attributes:
    suppressions: `[S]`, how much of the probability is taken.
    areas: `[B, S]`, the box's share of the image; at most 1: the threshold 0 blurs all of it. NaN
      for an image whose class is no more probable than in the blurred one.
    boxes: int `[B, S, 4]`.
    thresholds: h `[T]`.
    scores: `[B, T]`, the normalised probability with the box of each threshold blurred; NaN as the
      areas.
  """

  suppressions: np.ndarray
  areas: np.ndarray
  boxes: np.ndarray
  thresholds: np.ndarray
  scores: np.ndarray


class Interrogation(NamedTuple):
  """What blurring a box does.

  Attributes:
    probabilities: `[B]`, softmax of the target with the box blurred.
    full_probabilities: `[B]`, of the image.
    images: `[B, H, W, C]`, with the box blurred.
  """

  probabilities: jax.Array
  full_probabilities: jax.Array
  images: jax.Array


def tight_boxes(inside: jax.Array) -> jax.Array:
  """The box around the true pixels of `[..., H, W]`: int `[..., 4]`, zeros where there are none."""
  ends = []
  for axis in (-1, -2):
    line = inside.any(axis)
    n = line.shape[-1]
    ends.append((jnp.argmax(line, -1), n - jnp.argmax(line[..., ::-1], -1)))
  box = jnp.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], axis=-1)
  return jnp.where(inside.any((-1, -2))[..., None], box, 0)


def outside(boxes: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Masks `[..., H, W]` that keep all but the boxes `[..., 4]`."""
  rows, columns = jnp.arange(size[0])[:, None], jnp.arange(size[1])[None]
  top, left, bottom, right = (boxes[..., i, None, None] for i in range(4))
  hidden = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
  return (~hidden).astype(jnp.float32)


def check_box(box: Sequence[int] | np.ndarray, size: tuple[int, int]) -> None:
  """Raises a `UserError` unless a box lies inside an image of (H, W) pixels."""
  top, left, bottom, right = map(int, box)
  if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
    raise UserError(
      f'box {(top, left, bottom, right)}: give (top, left, bottom, right) '
      f'inside the image of {size[0]} x {size[1]} pixels'
    )


def threshold_boxes(
  f: Function,
  x: Images,
  target: Target,
  heatmaps: jax.Array | np.ndarray,
  *,
  mode: Mode = 'paper',
  sigma_max: float = 10.0,
) -> tuple[jax.Array, jax.Array]:
  """The box around a heatmap's pixels above each threshold, and what is left if it is blurred.

  See `minimal_boxes` for the arguments and errors.

  Returns:
    (boxes int `[B, T, 4]`, normalised probabilities `[B, T]`).
  """
  check_choice('mode', mode, get_args(Mode))
  x, targets = check_arguments(f, x, target)
  heat = jnp.asarray(heatmaps, jnp.float32)
  if heat.shape != x.shape[:3]:
    raise UserError(f'heatmaps must be of shape {x.shape[:3]}, not {heat.shape}')
  levels = jnp.asarray(THRESHOLDS[mode])[:, None, None]
  boxes = tight_boxes(normalise(heat)[:, None] >= levels)
  keep_and_blank = jnp.stack([jnp.ones_like(heat), jnp.zeros_like(heat)], axis=1)
  masks = jnp.concatenate([keep_and_blank, outside(boxes, (x.shape[1], x.shape[2]))], axis=1)
  scores = masked_scores(f, x, targets, blur(x, sigma_max), masks)
  return boxes, normalised(scores[:, 2:], scores[:, :1], scores[:, 1:2])


def smallest_boxes(
  boxes: jax.Array | np.ndarray,
  scores: jax.Array | np.ndarray,
  size: tuple[int, int],
  *,
  suppressions: Sequence[float] = SUPPRESSIONS,
  mode: Mode = 'paper',
) -> MinimalBoxes:
  """Of the boxes of all thresholds, the smallest that suppresses the class.

  Args:
    boxes: `[B, T, 4]` of `threshold_boxes`.
    scores: `[B, T]`, the normalised probability with each of them blurred.
    size: (H, W) of the images.
    suppressions: shares of the probability.
    mode: of the thresholds.
  """
  found, rest = np.asarray(boxes), np.asarray(scores)
  area = (found[..., 2] - found[..., 0]) * (found[..., 3] - found[..., 1]) / (size[0] * size[1])
  areas, chosen = [], []
  for suppression in suppressions:
    # A tolerance, so that a wholly blurred image counts as wholly suppressed.
    allowed = np.where(rest <= 1 - suppression + 1e-6, area, np.inf)
    areas.append(np.where(np.isnan(rest).all(1), np.nan, allowed.min(1)))
    chosen.append(found[np.arange(len(found)), allowed.argmin(1)])
  return MinimalBoxes(
    np.asarray(suppressions),
    np.stack(areas, 1),
    np.stack(chosen, 1),
    np.asarray(THRESHOLDS[mode]),
    rest,
  )


def minimal_boxes(
  f: Function,
  x: Images,
  target: Target,
  heatmaps: jax.Array | np.ndarray,
  *,
  suppressions: Sequence[float] = SUPPRESSIONS,
  mode: Mode = 'paper',
  sigma_max: float = 10.0,
) -> MinimalBoxes:
  """The smallest box around a heatmap's strongest pixels that suppresses the class, if blurred.

  Args:
    f: any function of images `[N, H, W, C]` to scores `[N, K]`, before the softmax.
    x: images `[B, H, W, C]`, or one image.
    target: index of the class, one for all images or `[B]`.
    heatmaps: `[B, H, W]` of any method, large where the evidence is.
    suppressions: shares of the probability, between that of the blurred image and the image's.
    mode: thresholds 0, 0.1, ..., 1 of the scaled heatmap ('paper') or 0, 0.01, ..., 0.99
      ('released').
    sigma_max: of the blur, in pixels.

  Returns:
    A `MinimalBoxes`.

  Raises:
    UserError: for a wrong target, or heatmaps of another size.
  """
  x = check_images(x)
  boxes, scores = threshold_boxes(f, x, target, heatmaps, mode=mode, sigma_max=sigma_max)
  size = (x.shape[1], x.shape[2])
  return smallest_boxes(boxes, scores, size, suppressions=suppressions, mode=mode)


def interrogate(
  f: Function,
  x: Images,
  target: Target,
  boxes: Sequence[int] | Sequence[Sequence[int]] | np.ndarray,
  *,
  sigma_max: float = 10.0,
) -> Interrogation:
  """The probability of the class with a box of the image blurred (fig. 6).

  Args:
    f: any function of images `[N, H, W, C]` to scores `[N, K]`, before the softmax.
    x: images `[B, H, W, C]`, or one image.
    target: index of the class, one for all images or `[B]`.
    boxes: (top, left, bottom, right), one for all images or `[B, 4]`.
    sigma_max: of the blur, in pixels.

  Returns:
    An `Interrogation`.

  Raises:
    UserError: for a wrong target, or a box that is not inside the image.
  """
  x, targets = check_arguments(f, x, target)
  size = (x.shape[1], x.shape[2])
  places = np.broadcast_to(np.asarray(boxes, int), (x.shape[0], 4))
  for box in places:
    check_box(box, size)
  masks = outside(jnp.asarray(places), size)
  fill = blur(x, sigma_max)
  scores = masked_scores(f, x, targets, fill, jnp.stack([masks, jnp.ones_like(masks)], axis=1))
  images = fill + masks[..., None] * (x - fill)
  return Interrogation(scores[:, 0], scores[:, 1], images)
