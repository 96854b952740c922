"""Where the objects of a category are in a picture: boxes, and a mask when it is asked for.

Annotations refer to the pixels as a file stores them. A picture that is stored turned (EXIF) is
explained upright, and its boxes and masks are turned with it.
"""

from collections.abc import Callable, Sequence
import dataclasses
import math

import numpy as np
from PIL import Image

from perturb.data.images import File, picture_size
from perturb.data.stored import Layout, Size
from perturb.errors import ImageError

DIFFICULT_SHARE = 0.25  # Of the picture: a category that covers as much is not difficult.

# (x and y change places, then x runs backwards, then y does).
_MOVES = {
  None: (False, False, False),
  Image.Transpose.FLIP_LEFT_RIGHT: (False, True, False),
  Image.Transpose.ROTATE_180: (False, True, True),
  Image.Transpose.FLIP_TOP_BOTTOM: (False, False, True),
  Image.Transpose.TRANSPOSE: (True, False, False),
  Image.Transpose.ROTATE_270: (True, True, False),
  Image.Transpose.TRANSVERSE: (True, True, True),
  Image.Transpose.ROTATE_90: (True, False, True),
}


@dataclasses.dataclass(frozen=True)
class Region:
  """Where the objects of one category are in an upright picture.

  Attributes:
    size: (width, height) of the picture, in pixels.
    boxes: float `[n, 4]`: left, top, right, bottom in pixels, the last two excluded; inside the
      picture.
    difficult: whether the category is small and not alone; see `is_difficult`.
    draw: gives the mask, bool `[H, W]`; None if the boxes are all that is known.
  """

  size: Size
  boxes: np.ndarray
  difficult: bool
  draw: Callable[[], np.ndarray] | None = None

  def mask(self) -> np.ndarray:
    """Which pixels show the category, bool `[H, W]`: the exact mask, or the union of the boxes.

    Raises:
      ImageError: if a stored mask cannot be decoded.
    """
    return box_mask(self.boxes, self.size) if self.draw is None else self.draw()


def is_difficult(area: float, size: Size, others: bool) -> bool:
  """The rule for the difficult subset of the pointing game.

  The paper's words are "the total area of the target category is less than 25% of the image" and
  "there are at least two different object classes" (Meaningful perturbations, section 5.6, after
  the rule of excitation backprop). The total is the sum of the areas of the category's own boxes or
  masks: what two of them share counts twice, and other categories' areas do not count.

  Args:
    area: that total, in pixels.
    size: (width, height) of the picture.
    others: whether the picture shows another category.
  """
  return others and area < DIFFICULT_SHARE * size[0] * size[1]


def box_mask(boxes: np.ndarray, size: Size) -> np.ndarray:
  """The pixels whose centres are in one of the boxes `[n, 4]`: bool `[H, W]`."""
  mask = np.zeros(size[::-1], bool)
  for left, top, right, bottom in np.ceil(boxes - 0.5).astype(int).clip(0):
    mask[top:bottom, left:right] = True
  return mask


def clipped(boxes: np.ndarray, size: Size) -> np.ndarray:
  """Boxes `[n, 4]` as far as they are inside a picture; those that are outside are empty."""
  return np.clip(boxes, 0, np.tile(size, 2))


def is_inside(box: Sequence[float], size: Size | None) -> bool:
  """Whether a box has an area in a picture of (width, height), or in one of any size."""
  left, top, right, bottom = box
  width, height = size or (math.inf, math.inf)
  return max(left, 0) < min(right, width) and max(top, 0) < min(bottom, height)


def areas(boxes: np.ndarray) -> np.ndarray:
  """`[n]`: the areas of boxes `[n, 4]`; 0 for an empty one."""
  return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)


def annotated_region(
  layout: Layout,
  boxes: np.ndarray,
  *,
  others: bool,
  area: float | None = None,
  draw: Callable[[Size], np.ndarray] | None = None,
) -> Region:
  """The region of a category whose annotations refer to the stored pixels of a picture.

  Args:
    layout: of the picture, see `stored_layout`.
    boxes: `[n, 4]`, of the category; what is outside the picture is dropped.
    others: whether the picture shows another category.
    area: the total of the category in pixels, if it is known; else it is that of the boxes.
    draw: (width, height) -> the mask of the stored picture, `[H, W]`.
  """
  size, turn = layout
  boxes = clipped(boxes, size)
  boxes = boxes[areas(boxes) > 0]
  return Region(
    size=size[::-1] if _MOVES[turn][0] else size,
    boxes=turned_boxes(boxes, size, turn),
    difficult=is_difficult(areas(boxes).sum() if area is None else area, size, others),
    draw=None if draw is None else lambda: turned_mask(draw(size), turn),
  )


def masked_region(file: File, place: str, mask: np.ndarray, *, others: bool) -> Region:
  """The region of a category whose mask, bool `[H, W]`, is that of the upright picture.

  Its box is the smallest that holds the mask.

  Raises:
    ImageError: if the picture cannot be read, or the mask is empty or of another size.
  """
  size, height, width = picture_size(file, place), *mask.shape
  if size != (width, height):
    raise ImageError(
      f'{place}: has {size[0]} x {size[1]} pixels, but its mask has {width} x {height}'
    )
  return region_of_mask(place, mask, others=others)


def region_of_mask(place: str, mask: np.ndarray, *, others: bool) -> Region:
  """As `masked_region`, of a picture that is known to be as large as its mask.

  Raises:
    ImageError: if the mask is empty.
  """
  size = mask.shape[::-1]
  if not mask.any():
    raise ImageError(f'{place}: its mask is zero everywhere; what is inside must not be')
  rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
  box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], float)
  return Region(size, box, is_difficult(mask.sum(), size, others), lambda: mask)


def turned_boxes(boxes: np.ndarray, size: Size, turn: Image.Transpose | None) -> np.ndarray:
  """Boxes `[n, 4]` of a picture of (width, height) in `picture.transpose(turn)`."""
  swap, across, down = _MOVES[turn]
  corners = boxes.reshape(-1, 2, 2).astype(float)  # Box, corner, x or y.
  if swap:
    corners, size = corners[..., ::-1], size[::-1]
  for axis, backwards in enumerate((across, down)):
    if backwards:
      corners = corners.copy()
      corners[..., axis] = size[axis] - corners[:, ::-1, axis]
  return corners.reshape(-1, 4)


def turned_mask(mask: np.ndarray, turn: Image.Transpose | None) -> np.ndarray:
  """`[H, W]`: a mask of a picture as one of `picture.transpose(turn)`."""
  swap, across, down = _MOVES[turn]
  mask = mask.T if swap else mask
  return mask[:: -1 if down else 1, :: -1 if across else 1]
