"""Pictures with masks beside them, a picture file each."""

from collections.abc import Sequence
import csv
import functools
import pathlib

import numpy as np

from perturb.data.images import may_be_picture
from perturb.data.pairs import Pair, of_pairs
from perturb.data.records import Dataset
from perturb.data.regions import Region, masked_region
from perturb.data.stored import open_mask
from perturb.errors import ImageError, UserError

TABLE = 'labels.csv'
COLUMNS = ('image', 'class', 'mask')

_IMAGES, _MASKS = 'images', 'masks'


def open_masks(folder: str) -> Dataset:
  """Pictures with masks, whose values are not zero where the object is, as large as the picture.

  A mask is one of the upright picture. There are three layouts, the first that fits is taken:
    - `labels.csv` with the columns image, class, mask: an item a line; paths are in the folder; the
      class may be empty. Lines with the same image are categories of one picture; those with the
      same class too are parts of one item.
    - `images/CLASS/NAME.jpg`, `masks/CLASS/NAME.png`: a picture for each item.
    - `NAME.jpg`, `masks/NAME.png`: pictures without classes.

  Raises:
    UserError: if the folder or a column does not exist, or no picture has a mask.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise UserError(
      f'config.images: the folder {folder!r} does not exist; configs/composites.py makes one'
    )
  problems: list[str] = []
  if (root / TABLE).is_file():
    rows = _rows_of(root, problems)
  elif (root / _IMAGES).is_dir():
    rows = _rows_beside(root / _IMAGES, root / _MASKS, '*/*', problems)
  else:
    rows = _rows_beside(root, root / _MASKS, '*', problems)
  shown: dict[pathlib.Path, set[str]] = {}
  for image, category, _ in rows:
    shown.setdefault(image, set()).add(category)
  masks: dict[tuple[pathlib.Path, str], list[pathlib.Path]] = {}
  for image, category, mask in rows:
    missing = next((path for path in (image, mask) if not path.is_file()), None)
    if missing:
      problems.append(f'{missing}: no such file, but {root / TABLE} names it')
      continue
    masks.setdefault((image, category), []).append(mask)
  pairs = []
  for (image, category), of_pair in masks.items():
    region = functools.partial(_region, image, of_pair, bool(shown[image] - {category, ''}))
    pairs.append(Pair(str(image), category, region))
  categories = sorted({pair.category for pair in pairs} - {''})
  return of_pairs(pairs, categories, problems, f'masks:{folder}')


_Row = tuple[pathlib.Path, str, pathlib.Path]  # Picture, class, mask.


def _rows_of(root: pathlib.Path, problems: list[str]) -> list[_Row]:
  table, rows = root / TABLE, []
  try:
    with table.open(encoding='utf-8', newline='') as file:
      reader = csv.DictReader(file, restval='', strict=True)
      if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise UserError(f'config.images: {table} needs the columns {", ".join(COLUMNS)}')
      for row in reader:
        image, category, mask = (row[column].strip() for column in COLUMNS)
        if image and mask:
          rows.append((root / image, category, root / mask))
        else:
          problems.append(f'{table}: line {reader.line_num} has no image or no mask')
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f'config.images: {table} cannot be read ({error})') from error
  return rows


def _rows_beside(
  images: pathlib.Path, masks: pathlib.Path, pattern: str, problems: list[str]
) -> list[_Row]:
  """A row for each picture that has a mask; the rest are problems."""
  pictures = sorted(path for path in images.glob(pattern) if may_be_picture(path))
  places = {path.relative_to(images).with_suffix('.png'): path for path in pictures}
  stored = sorted(path for path in masks.glob(f'{pattern}.png') if may_be_picture(path))
  problems += [
    f'{mask}: its picture is not there' for mask in stored if mask.relative_to(masks) not in places
  ]
  without = {path: place for place, path in places.items() if not (masks / place).is_file()}
  if without:
    problems.append(f'{next(iter(without))}: has no mask; pictures without one: {len(without)}')
  return [
    (path, place.parts[0] if len(place.parts) > 1 else '', masks / place)
    for place, path in places.items()
    if path not in without
  ]


def _region(image: pathlib.Path, masks: Sequence[pathlib.Path], others: bool) -> Region:
  found = [open_mask(str(mask), str(mask)) for mask in masks]
  for mask, inside in zip(masks, found, strict=True):
    if inside.shape != found[0].shape:
      raise ImageError(f'{mask}: is of another size than {masks[0]}')
  inside = np.any(found, axis=0)
  return masked_region(str(image), str(image), inside, others=others)
