"""Crops of pictures at the size of a network, as training and its evaluation take them."""

from collections.abc import Callable, Sequence
import math

import numpy as np
from PIL import Image

from perturb.data.images import File, Header, opened, upright_image
from perturb.data.pixels import to_rgb

# Left, top, right, bottom in pixels, the last two excluded.
Box = tuple[float, float, float, float]

AREA = 0.08, 1.0  # Of a random crop, as a share of the picture.
RATIO = 3 / 4, 4 / 3  # Its width / height.
TRIES = 10
MARGIN = 256 / 224  # The shorter side of a picture, in sides of its centre crop.


def random_box(random: np.random.Generator, width: int, height: int) -> Box:
  """A random part of a picture, as `torchvision.transforms.RandomResizedCrop` draws it.

  The area is uniform in `AREA` and the logarithm of width / height in that of `RATIO`; the place is
  uniform. If none of `TRIES` draws fits into the picture, it is the largest centred part whose
  width / height is in `RATIO`. The source is Szegedy et al., "Going deeper with convolutions", CVPR
  2015, section 6.
  """
  for _ in range(TRIES):
    area = width * height * random.uniform(*AREA)
    ratio = math.exp(random.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
    across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    if 0 < across <= width and 0 < down <= height:
      left, top = random.integers((width - across + 1, height - down + 1)).tolist()
      return left, top, left + across, top + down
  across = min(width, round(height * RATIO[1]))
  down = min(height, round(width / RATIO[0]))
  left, top = (width - across) // 2, (height - down) // 2
  return left, top, left + across, top + down


def centre_box(width: int, height: int, size: int) -> Box:
  """The part of a picture that evaluation takes: the square in the middle of the scaled picture.

  The shorter side is scaled to `MARGIN` times `size` pixels, as in the ImageNet example of PyTorch:
  `Resize(256)`, `CenterCrop(224)`.
  """
  short = round(MARGIN * size)
  scaled = [int(short * side / min(width, height)) for side in (width, height)]
  first = [round((side - size) / 2) for side in scaled]
  across, down = (side / scaled[i] for i, side in enumerate((width, height)))
  return (
    first[0] * across, first[1] * down, (first[0] + size) * across, (first[1] + size) * down,
  )  # fmt: skip


def read_crops(
  file: File, place: str, boxes_of: Callable[[int, int], Sequence[Box]], *, size: int
) -> list[Image.Image]:
  """Parts of a picture, each scaled to a square: bilinear, with antialiasing, as Pillow does it.

  A part whose sides are whole pixels is cut out first, as torchvision does: nothing outside it
  counts. The picture is decoded once, and read as `perturb.data.images.open_picture` does. A JPEG
  that all parts scale down by 2, 4 or 8 is decoded at that fraction of its size, which is faster:
  such a crop differs slightly.

  Args:
    file: its path, or an open file.
    place: what an error calls it.
    boxes_of: (width, height) of the upright picture -> the parts.
    size: of each crop, in pixels.

  Returns:
    each part, RGB, `size` x `size` pixels.

  Raises:
    ImageError: names the place and what is wrong there.
  """
  with opened(file, place) as header:
    boxes = boxes_of(*header.size)
    fraction = _decoded_at(header, boxes, size)
    picture = to_rgb(upright_image(header), header.encoding, place)
    return [_crop(picture, [side / fraction for side in box], size) for box in boxes]


def _decoded_at(header: Header, boxes: Sequence[Box], size: int) -> int:
  """Has a JPEG decoded at a fraction of its size that keeps all the pixels needed: 1 / it."""
  if header.encoding.format != 'JPEG':
    return 1
  width, height = header.stored
  least = min(min(right - left, bottom - top) for left, top, right, bottom in boxes)
  # The last block of a side that 8 does not divide would be the first of a turned picture.
  fraction = max(
    one
    for one in (1, 2, 4, 8)
    if one * size <= max(least, size) and (header.turn is None or width % one == height % one == 0)
  )
  header.image.draft(None, (width // fraction, height // fraction))
  return round(width / header.image.size[0])


def _crop(picture: Image.Image, box: Sequence[float], size: int) -> Image.Image:
  left, top, right, bottom = box
  if all(float(side).is_integer() for side in box):
    part = picture.crop((int(left), int(top), int(right), int(bottom)))
    return part.resize((size, size), Image.Resampling.BILINEAR)
  inside = left, top, min(right, picture.width), min(bottom, picture.height)
  return picture.resize((size, size), Image.Resampling.BILINEAR, inside)
