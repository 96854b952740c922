"""Part saliency: which annotated parts of an object a heatmap marks.

Source: Fong and Vedaldi, "Interpretable Explanations of Black Boxes by Meaningful Perturbation",
ICCV 2017, section 5.4 and fig. 9.
"""

from collections.abc import Sequence
import csv
import os
from typing import NamedTuple

import numpy as np

from perturb.errors import UserError

WINDOW = 5  # pixels
COLUMNS = ('image', 'class', 'part', 'x', 'y')


class Keypoint(NamedTuple):
  """An annotated part.

  Attributes:
    image: path of the picture, as the file gives it.
    class_name: of the picture.
    part: e.g. 'eye' or 'foot'.
    x: column in pixels of the picture, the first one 0.
    y: row.
  """

  image: str
  class_name: str
  part: str
  x: float
  y: float


class PartSaliency(NamedTuple):
  """Mean intensity at the parts of a class.

  Attributes:
    class_name: the class.
    images: how many of its pictures have every part.
    means: part -> the mean over all its keypoints.
  """

  class_name: str
  images: int
  means: dict[str, float]


def read_keypoints(path: str | os.PathLike[str]) -> list[Keypoint]:
  """Keypoints of a CSV file with the columns image, class, part, x, y.

  Raises:
    UserError: names the file, and the line or column that does not fit.
  """
  try:
    with open(path, newline='', encoding='utf-8') as file:
      reader = csv.DictReader(file)
      missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
      if missing:
        raise UserError(f'{path}: column {missing[0]!r} is missing; it needs {", ".join(COLUMNS)}')
      points = []
      for row in reader:
        try:
          points.append(
            Keypoint(row['image'], row['class'], row['part'], float(row['x']), float(row['y']))
          )
        except (TypeError, ValueError) as error:
          raise UserError(f'{path}: line {reader.line_num} has no numbers x and y') from error
  except OSError as error:
    raise UserError(f'{path}: cannot be read ({error.strerror})') from error
  return points


def placed(point: Keypoint, size: tuple[int, int], shown: tuple[int, ...], fit: str) -> Keypoint:
  """A keypoint of a picture, in pixels of the image that a network is shown of it.

  Args:
    point: in pixels of the picture.
    size: (width, height) of the picture.
    shown: (H, W) of the image.
    fit: 'crop' or 'squash', how the picture was fitted.
  """
  height, width = shown[:2]
  scale = (width / size[0], height / size[1])
  if fit == 'crop':
    scale = (max(scale),) * 2
  x = (point.x + 0.5 - size[0] / 2) * scale[0] + width / 2 - 0.5
  y = (point.y + 0.5 - size[1] / 2) * scale[1] + height / 2 - 0.5
  return point._replace(x=x, y=y)


def intensity(heatmap: np.ndarray, x: float, y: float, window: int = WINDOW) -> float:
  """The mean of a heatmap `[H, W]` in the window x window pixels around a point, inside the image.

  NaN for a point outside the image.
  """
  height, width = heatmap.shape
  row, column, half = round(y), round(x), window // 2
  if not (0 <= row < height and 0 <= column < width):
    return float('nan')
  rows = slice(max(0, row - half), row + half + 1)
  columns = slice(max(0, column - half), column + half + 1)
  return float(heatmap[rows, columns].mean())


def part_saliency(
  points: Sequence[Keypoint], intensities: Sequence[float], *, least_images: int = 10
) -> list[PartSaliency]:
  """Mean intensity of each part of each class, over all its keypoints.

  Args:
    points: the keypoints.
    intensities: of the heatmap at each, see `intensity`; those that are NaN are left out.
    least_images: a class counts if at least so many of its pictures have every part (the released
      code asks for one more).

  Returns:
    A `PartSaliency` for each class that counts, in alphabetical order.
  """
  known = [(p, v) for p, v in zip(points, intensities, strict=True) if not np.isnan(v)]
  parts = sorted({p.part for p, _ in known})
  found = []
  for name in sorted({p.class_name for p, _ in known}):
    mine = [(p, v) for p, v in known if p.class_name == name]
    of_image = {
      image: {p.part for p, _ in mine if p.image == image} for image in {p.image for p, _ in mine}
    }
    complete = [image for image, present in of_image.items() if present == set(parts)]
    if len(complete) < least_images:
      continue
    values = {
      part: [v for p, v in mine if p.part == part and p.image in complete] for part in parts
    }
    means = {part: float(np.mean(v)) for part, v in values.items()}
    found.append(PartSaliency(name, len(complete), means))
  return found
