"""Pictures of any shape at the size of a network."""

import math
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from perturb.errors import ImageError

Fit = Literal['crop', 'aspect', 'squash']
LONGEST = 50  # Times the shorter side: as much memory as so many squares.

_REACH = 2  # Of the bicubic kernel, in pixels of the result or of the picture.


def fitted_shape(
  width: int,
  height: int,
  *,
  size: int,
  fit: Fit,
  multiple: int = 1,
  place: str = 'the picture',
) -> tuple[int, int]:
  """(H, W) of a picture of so many pixels once it is fitted; see `fit_picture`."""
  if fit != 'aspect':
    return size, size
  if _is_strip(width, height):
    raise ImageError(
      f'{place}: {width} x {height} pixels is too long for fit=aspect; the longer side must be at '
      f'most {LONGEST} times the shorter; use fit=crop or fit=squash'
    )
  sides = _scaled(width, height, size)
  width, height = (max(side // multiple * multiple, size) for side in sides)
  return height, width


def _is_strip(width: int, height: int) -> bool:
  return max(width, height) > LONGEST * min(width, height)


def _scaled(width: int, height: int, size: int) -> tuple[int, int]:
  scale = size / min(width, height)
  return max(round(width * scale), size), max(round(height * scale), size)


def fit_picture(
  picture: Image.Image,
  *,
  size: int,
  fit: Fit = 'crop',
  multiple: int = 1,
  scale: int = 1,
  place: str = 'the picture',
) -> np.ndarray:
  """A picture at the size of a network: bicubic, antialiased; memory does not grow with its shape.

  Args:
    picture: RGB.
    size: of the shorter side of the result, in pixels.
    fit: 'crop' to the centred square; 'aspect' keeps the whole picture; 'squash' to a square.
    multiple: with 'aspect', the longer side is cropped, evenly at both ends, to a multiple of so
      many pixels: pictures of many shapes become pictures of a few.
    scale: the same part of the picture, with so many times as many pixels along each side.
    place: what an error calls it.

  Returns:
    uint8 `[scale H, scale W, 3]`.

  Raises:
    ImageError: with 'aspect', if the longer side is over `LONGEST` times the shorter; or if there
      is not enough memory.
  """
  placed = place_fitted(
    *picture.size, size=size, fit=fit, multiple=multiple, scale=scale, place=place
  )
  try:
    if not _is_strip(*picture.size):
      return np.asarray(picture.resize(placed.scaled, Image.Resampling.BICUBIC).crop(placed.box))
    if fit == 'squash':
      return np.asarray(_squashed(picture, *placed.scaled))
    return np.asarray(_part_scaled(picture, placed))
  except MemoryError as error:
    raise ImageError(f'{place}: there is not enough memory to resize it') from error


class Placed(NamedTuple):
  """Where a fitted picture is.

  Attributes:
    scaled: (width, height) that the whole picture is scaled to.
    box: the part of that which is the fitted picture: left, top, right, bottom.
  """

  scaled: tuple[int, int]
  box: tuple[int, int, int, int]


def place_fitted(
  width: int,
  height: int,
  *,
  size: int,
  fit: Fit = 'crop',
  multiple: int = 1,
  scale: int = 1,
  place: str = 'the picture',
) -> Placed:
  """Where a picture of so many pixels is once it is fitted; see `fit_picture`."""
  shape = fitted_shape(width, height, size=size, fit=fit, multiple=multiple, place=place)
  down, across = (scale * side for side in shape)
  if fit == 'squash':
    return Placed((across, down), (0, 0, across, down))
  whole = _scaled(width, height, size)
  scaled = scale * whole[0], scale * whole[1]
  left, top = (scaled[0] - across) // 2, (scaled[1] - down) // 2
  return Placed(scaled, (left, top, left + across, top + down))


def keeps_all(width: int, height: int, *, size: int, fit: Fit, multiple: int = 1) -> bool:
  """Whether nothing of a picture of so many pixels is cut off; see `fit_picture`."""
  (down, across), (left, top, right, bottom) = place_fitted(
    width, height, size=size, fit=fit, multiple=multiple
  )
  return (left, top, right, bottom) == (0, 0, down, across)


def _squashed(picture: Image.Image, width: int, height: int) -> Image.Image:
  if picture.height > LONGEST * picture.width:
    # Pillow would widen it first, with all of its rows.
    picture = picture.resize((picture.width, height), Image.Resampling.BICUBIC)
  return picture.resize((width, height), Image.Resampling.BICUBIC)


def _part_scaled(picture: Image.Image, placed: Placed) -> Image.Image:
  """`picture.resize(scaled).crop(box)` from the pixels that it depends on, up to rounding."""
  scaled, box = placed
  ratios = [side / target for side, target in zip(picture.size, scaled, strict=True)] * 2
  exact = [at * ratio for at, ratio in zip(box, ratios, strict=True)]
  reach = [math.ceil(_REACH * max(1, ratio)) + 1 for ratio in ratios[:2]]
  first = [max(0, math.floor(exact[i]) - reach[i]) for i in range(2)]
  last = [min(picture.size[i], math.ceil(exact[2 + i]) + reach[i]) for i in range(2)]
  part = picture.crop((first[0], first[1], last[0], last[1]))
  inside = (
    exact[0] - first[0], exact[1] - first[1],
    min(exact[2] - first[0], part.width), min(exact[3] - first[1], part.height),
  )  # fmt: skip
  return part.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BICUBIC, inside)
