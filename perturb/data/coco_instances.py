"""Annotations of COCO: read from JSON into little memory, and drawn when a mask is asked for."""

from collections.abc import Sequence
import math
from typing import Any, NamedTuple

import numpy as np

from perturb.data.coco_masks import polygon_mask, runs_mask
from perturb.data.regions import box_mask
from perturb.data.stored import Size
from perturb.errors import ImageError

FARTHEST = 100_000  # pixels; no corner of a polygon is farther from the origin


class Runs(NamedTuple):
  """See `perturb.data.coco_masks.runs_mask`.

  Attributes:
    lengths: plain, or as a string.
    size: [height, width] of the picture, as it is said.
  """

  lengths: np.ndarray | str
  size: Any


class Instance(NamedTuple):
  """An annotation. A large file has a million.

  Attributes:
    key: its id.
    picture: that of its picture.
    category: that of its category.
    box: left, top, right, bottom in pixels.
    area: in pixels; None if it is not said.
    outline: polygons `[2 n]`; or runs; or None: the box is all that is known.
    wrong: what is wrong with it; '' if nothing is.
  """

  key: Any
  picture: int
  category: int
  box: tuple[float, ...]
  area: float | None
  outline: tuple[np.ndarray, ...] | Runs | None
  wrong: str


def instance_or_same(entry: dict[str, Any]) -> Any:
  """An annotation as an `Instance`; another object of the JSON as it is.

  As a hook of the reader: numbers of polygons become arrays before the next annotation is read.
  """
  picture, category = entry.get('image_id'), entry.get('category_id')
  if not (isinstance(picture, int) and isinstance(category, int)):
    return entry
  key, area = entry.get('id'), entry.get('area')
  area = float(area) if isinstance(area, (int, float)) and 0 <= area < math.inf else None
  try:
    box, outline = _box_of(entry.get('bbox')), _outline_of(entry.get('segmentation'))
  except (ValueError, TypeError, OverflowError) as error:
    return Instance(key, picture, category, (), area, None, str(error))
  return Instance(key, picture, category, box, area, outline, '')


def _box_of(sides: Any) -> tuple[float, ...]:
  if not isinstance(sides, list) or len(sides) != 4:
    raise ValueError('its bbox is not left, top, width, height')
  left, top, width, height = map(float, sides)
  if not math.isfinite(left + top + width + height):
    raise ValueError('its bbox has a value that is no finite number')
  return left, top, left + width, top + height


def _outline_of(segmentation: Any) -> tuple[np.ndarray, ...] | Runs | None:
  if not segmentation:
    return None
  if isinstance(segmentation, dict):
    lengths = segmentation.get('counts')
    lengths = lengths if isinstance(lengths, str) else np.asarray(lengths, np.int64)
    return Runs(lengths, segmentation.get('size'))
  return tuple(_polygon(numbers) for numbers in segmentation)


def _polygon(numbers: Any) -> np.ndarray:
  polygon = np.asarray(numbers, float)
  if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2:
    raise ValueError('its segmentation has a polygon that is not x and y of three or more corners')
  if not np.abs(polygon).max() < FARTHEST:
    raise ValueError(f'its segmentation has a corner over {FARTHEST} pixels away')
  return polygon


def instances_mask(instances: Sequence[Instance], size: Size, place: str) -> np.ndarray:
  """The pixels of any of the instances.

  Args:
    instances: of a picture.
    size: (width, height) of it.
    place: of the annotations, for an error.

  Returns:
    bool `[H, W]`.

  Raises:
    ImageError: if runs do not fit the picture.
  """
  mask = np.zeros(size[::-1], bool)
  for one in instances:
    mask |= _instance_mask(one, size, place)
  return mask


def total_area(instances: Sequence[Instance], size: Size, place: str) -> float:
  """The sum of the areas of instances of a picture, in pixels: as it is said, or of the masks."""
  return sum(
    float(_instance_mask(one, size, place).sum()) if one.area is None else one.area
    for one in instances
  )


def _instance_mask(one: Instance, size: Size, place: str) -> np.ndarray:
  if one.outline is None:
    return box_mask(np.array([one.box]), size)
  if not isinstance(one.outline, Runs):
    return np.logical_or.reduce([polygon_mask(polygon, size) for polygon in one.outline])
  try:
    if one.outline.size != [*size[::-1]]:
      raise ValueError(f'its runs are those of a picture of {one.outline.size}, height and width')
    return runs_mask(one.outline.lengths, size)
  except ValueError as error:
    raise ImageError(f'{place}: annotation {one.key}: {error}') from error
