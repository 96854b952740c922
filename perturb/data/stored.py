"""Pictures as their files store them: the size before they are turned upright, and masks."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from perturb.data.images import File, opened, upright_image
from perturb.errors import ImageError

Size = tuple[int, int]


class Layout(NamedTuple):
  """How a picture is stored.

  Attributes:
    size: (width, height) in pixels.
    turn: what makes it upright; None if it is.
  """

  size: Size
  turn: Image.Transpose | None


def stored_layout(file: File, place: str, stated: Size | None = None) -> Layout:
  """How a picture is stored.

  Args:
    file: its path, or an open file.
    place: what an error calls it.
    stated: the size that an annotation says, if it says one.

  Raises:
    ImageError: as `open_picture`; or if the size is not as stated.
  """
  with opened(file, place) as header:
    size, turn = header.stored, header.turn
  if stated is not None and stated != size:
    raise ImageError(
      f'{place}: has {size[0]} x {size[1]} pixels as it is stored, but its annotation says '
      f'{stated[0]} x {stated[1]}'
    )
  return Layout(size, turn)


def open_mask(file: File, place: str) -> np.ndarray:
  """Where the values of a stored picture, turned upright, are not zero: bool `[H, W]`.

  Of a palette they are the indices; of pixels with an opacity, the colour and it are not zero.

  Raises:
    ImageError: as `open_picture`.
  """
  with opened(file, place) as header:
    upright = upright_image(header)
    values = np.asarray(upright).reshape(upright.height, upright.width, -1) != 0
    if upright.mode.endswith(('A', 'a')):
      return values[..., :-1].any(axis=-1) & values[..., -1]
    return values.any(axis=-1)
