"""Weak localisation: how well boxes meet the annotated ones, and which threshold is best.

Source: Fong and Vedaldi, "Interpretable Explanations of Black Boxes by Meaningful Perturbation",
ICCV 2017, section 5.6 and table 1. A box is (top, left, bottom, right) in pixels. Shapes: B images,
T thresholds alpha.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import numpy as np

from perturb.base import key_or_default
from perturb.errors import UserError, check_choice
from perturb.evaluate.annotated import check_counts

Ends = Literal['excluded', 'included']
LEAST_IOU = 0.5


class BestThreshold(NamedTuple):
  """The threshold that is best for some images, judged on the others.

  Attributes:
    threshold: alpha.
    held_out_error: of the images that chose it, the share that is not localised.
    error: the same of the other images.
    held_out: bool `[B]`, the images that chose it.
  """

  threshold: float
  held_out_error: float
  error: float
  held_out: np.ndarray


def box_iou(boxes: Any, others: Any, *, ends: Ends = 'excluded') -> np.ndarray:
  """Intersection over union of boxes `[..., 4]` and others that broadcast to them: `[...]`.

  Args:
    boxes: (top, left, bottom, right).
    others: the same.
    ends: whether bottom and right are the first pixels outside ('excluded'), or the last ones
      inside ('included'), so that a side is their difference plus one: the release's convention.

  Raises:
    UserError: for what are no boxes.
  """
  check_choice('ends', ends, get_args(Ends))
  first, second = (np.asarray(each, np.float64) for each in (boxes, others))
  for name, each in (('boxes', first), ('others', second)):
    if each.shape[-1:] != (4,):
      raise UserError(f'{name} must be of shape [..., 4], not {each.shape}')
  more = 0 if ends == 'excluded' else 1

  def area(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    return np.maximum(stop - start + more, 0).prod(axis=-1)

  shared = area(
    np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
  )
  either = area(first[..., :2], first[..., 2:]) + area(second[..., :2], second[..., 2:]) - shared
  return shared / np.where(either > 0, either, np.nan)


def localisation_ious(
  found: np.ndarray, boxes: Sequence[Any] | np.ndarray, *, ends: Ends = 'excluded'
) -> np.ndarray:
  """How well the best of an image's boxes is met.

  Args:
    found: `[B, T, 4]` of `heatmap_boxes`.
    boxes: the annotated ones, for each image `[n, 4]`, or `[4]` of one.
    ends: of the annotated boxes, see `box_iou`.

  Returns:
    `[B, T]`; 0 where there is no box of the heatmap, NaN where none is annotated.

  Raises:
    UserError: for other counts, or what are no boxes.
  """
  check_choice('ends', ends, get_args(Ends))
  ious = np.full(found.shape[:2], np.nan)
  for i in range(check_counts(found=found, boxes=boxes)):
    known = np.asarray(boxes[i], np.float64)
    known = known.reshape(0, 4) if not known.size else np.atleast_2d(known)
    if known.ndim != 2 or known.shape[1] != 4:
      raise UserError(f'boxes[{i}] must be of shape [n, 4], not {np.shape(boxes[i])}')
    if len(known):
      known = known + (0 if ends == 'excluded' else np.array([0, 0, 1, 1]))
      ious[i] = np.nan_to_num(box_iou(found[i][:, None], known).max(1), nan=0.0)
  return ious


def localisation_error(ious: np.ndarray, *, least_iou: float = LEAST_IOU) -> np.ndarray:
  """The share of images `[T]` whose IoU `[B, T]` is less than it should be; NaN ones left out."""
  known = ~np.isnan(ious)
  return (known & (ious < least_iou)).sum(0) / np.where(known.any(0), known.sum(0), np.nan)


def best_threshold(
  ious: np.ndarray,
  thresholds: Sequence[float],
  *,
  held_out: Sequence[bool] | np.ndarray | None = None,
  key: jax.Array | int | None = None,
  least_iou: float = LEAST_IOU,
) -> BestThreshold:
  """The threshold with the least error on held-out images, and its error on the rest.

  Args:
    ious: `[B, T]` of `localisation_ious`.
    thresholds: alpha `[T]`; of equally good ones the first is taken.
    held_out: bool `[B]`, the images that choose; a random half of them by default.
    key: of that half; `jax.random.key(0)` by default.
    least_iou: at which an image is localised.

  Returns:
    A `BestThreshold`.

  Raises:
    UserError: for other shapes, or if either part has no image with boxes.
  """
  if ious.ndim != 2 or ious.shape[1] != len(thresholds):
    raise UserError(f'ious must be of shape [B, {len(thresholds)}], not {ious.shape}')
  if held_out is None:
    order = np.asarray(jax.random.permutation(key_or_default(key), len(ious)))
    chosen = order < len(ious) // 2
  else:
    chosen = np.asarray(held_out, bool)
  if chosen.shape != ious.shape[:1]:
    raise UserError(f'held_out must be of shape [{len(ious)}], not {chosen.shape}')
  errors = localisation_error(ious[chosen], least_iou=least_iou)
  others = localisation_error(ious[~chosen], least_iou=least_iou)
  if np.isnan(errors).all() or np.isnan(others).all():
    raise UserError('held_out must leave an image with boxes on either side')
  best = int(np.nanargmin(errors))
  return BestThreshold(float(thresholds[best]), float(errors[best]), float(others[best]), chosen)
