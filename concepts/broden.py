"""BRODEN, the dataset of Network Dissection (Bau et al., CVPR 2017), and what is in its format.

A folder, `broden1_224` for one, with
  - `index.csv`: a row for each picture: `image`, its path in `images/`; `split`, train or val; `ih`
    and `iw`, its size; `sh` and `sw`, that of its label maps; a column for each category. A cell
    has items with `;` between: the number of a label of the whole picture, or the path of a label
    map in `images/`. Maps of one cell lie over each other: a pixel may have a label in each.
  - `label.csv`: `number`, `name`, and `category`: `part(64);object(3)`, in how many pictures.
  - `c_CATEGORY.csv`: a dense coding of each category's labels; it is not needed to read the maps.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import pathlib
import re
from typing import NamedTuple

import numpy as np

from concepts.annotation_tables import rows_of, whole_number
from concepts.label_maps import read_two_bytes
from concepts.probe import Concept, Labels, Probe
from concepts.splits import check_both
from perturb.data.images import Source
from perturb.data.names import harmless, unique_names
from perturb.data.records import Dataset, Record
from perturb.errors import ImageError, UserError, check_choice

INDEX, LABELS, CATEGORIES, IMAGES = 'index.csv', 'label.csv', 'category.csv', 'images'
COLUMNS = ('image', 'split', 'ih', 'iw', 'sh', 'sw')  # Before those of the categories.
SPLITS = ('train', 'val')

_LARGEST = 65535  # The number of a label that a map can have.


def codes_of(category: str) -> str:
  """The name of the table with the dense coding of a category."""
  return f'c_{category}.csv'


def open_broden(folder: str, categories: Sequence[str] = ()) -> Probe:
  """A dataset in the format of BRODEN; pictures and label maps are read when they are asked for.

  A picture is named after its path, `dtd_g_0106` for `dtd/g_0106.jpg`, whatever the categories.

  Args:
    folder: with `index.csv`, `label.csv` and `images/`.
    categories: some of those of `index.csv`; pictures with no label in them are left out, and so
      are labels that are only in others. () for all.

  Raises:
    UserError: names the file, the line and the column that do not fit.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise UserError(f'config.dataset: the folder {folder!r} does not exist')
  rows = [_Row.read(place, cells) for place, cells in rows_of(root / INDEX, COLUMNS)]
  if not rows:
    raise UserError(f'{root / INDEX}: has no row')
  known = _categories_of(root, rows[0], categories)
  labels = _read_labels(root)
  _check_codes(root, known, {one.number for one in labels})
  concepts = _with_category(labels, known)
  chosen = [i for i, row in enumerate(rows) if any(row.items[name] for name in known)]
  if not chosen:
    raise UserError(f'{root / INDEX}: no picture has a label in {", ".join(known)}')
  names = list(unique_names([_name_of(row.image) for row in rows]))
  sources = [Source(names[i], str(root / IMAGES / rows[i].image)) for i in chosen]
  rows = [rows[i] for i in chosen]
  train = np.array([row.train for row in rows])
  check_both(train, str(root / INDEX))
  files = _Files(root, known, rows, _is_one_of(labels), _is_one_of(concepts))
  pictures = Dataset(sources, lambda i: Record(sources[i].path, None))
  return Probe(pictures, train, concepts, _size_of(rows), files.read)


class _Row(NamedTuple):
  """A row of the index: `items` has, by category, numbers of labels and paths of maps."""

  place: str
  image: str
  train: bool
  size: tuple[int, int]
  items: Mapping[str, tuple[int | str, ...]]

  @classmethod
  def read(cls, place: str, cells: Mapping[str, str]) -> '_Row':
    if not cells['image']:
      raise UserError(f'{place}: has no image')
    check_choice(f'{place}: split', cells['split'], SPLITS)
    _, _, height, width = (whole_number(place, name, cells[name]) for name in COLUMNS[2:])
    items = {
      name: tuple(map(_item, filter(None, map(str.strip, cell.split(';')))))
      for name, cell in cells.items()
      if name not in COLUMNS
    }
    return cls(place, cells['image'], cells['split'] == 'train', (height, width), items)


def _item(text: str) -> int | str:
  return int(text) if text.isascii() and text.isdigit() else text


def _name_of(image: str) -> str:
  """`dtd_g_0106` of `dtd/g_0106.jpg`."""
  return '_'.join(pathlib.PurePosixPath(image).with_suffix('').parts)


def _categories_of(root: pathlib.Path, row: _Row, asked: Sequence[str]) -> tuple[str, ...]:
  if not row.items:
    raise UserError(f'{root / INDEX}: has no column of a category after {COLUMNS[-1]}')
  for name in asked:
    check_choice(f'config.categories of {root / INDEX}', name, list(row.items))
  return tuple(name for name in row.items if name in asked or not asked)


def _read_labels(root: pathlib.Path) -> list[Concept]:
  """The labels of `label.csv`, by rising number; a name is that of one label only."""
  found: dict[int, Concept] = {}
  number_of: dict[str, int] = {}
  for place, cells in rows_of(root / LABELS, ('number', 'name', 'category')):
    number = whole_number(place, 'number', cells['number'])
    if number > _LARGEST:
      raise UserError(
        f'{place}: number must be at most {_LARGEST}, which is all that a map can say'
      )
    if number in found:
      raise UserError(f'{place}: the number {number} is that of {found[number].name!r} too')
    if not cells['name']:
      raise UserError(f'{place}: has no name')
    name = harmless(cells['name'])
    if name in number_of:
      raise UserError(f'{place}: the name {name!r} is that of number {number_of[name]} too')
    number_of[name] = number
    found[number] = Concept(number, name, _of_label(place, cells['category']))
  return [found[number] for number in sorted(found)]


def _of_label(place: str, cell: str) -> tuple[str, ...]:
  """('part', 'object') of 'part(64);object(3)'."""
  matches = [re.fullmatch(r'([^()]+)(\(\d+\))?', text.strip()) for text in cell.split(';')]
  if None in matches:
    raise UserError(f'{place}: category must be as object(12);part(3), not {cell!r}')
  return tuple(found[1].strip() for found in matches if found)


def _check_codes(root: pathlib.Path, categories: Sequence[str], numbers: set[int]) -> None:
  """Refuses tables of codes of another dataset than that of the labels."""
  for path in (root / codes_of(name) for name in categories):
    if path.is_file():
      for place, cells in rows_of(path, ('code', 'number')):
        if whole_number(place, 'number', cells['number']) not in numbers:
          raise UserError(f'{place}: the number {cells["number"]} is not in {root / LABELS}')


@dataclasses.dataclass(frozen=True)
class _Files:
  """What is labelled in each picture.

  Attributes:
    root: the folder.
    categories: that are asked for.
    rows: of the pictures.
    known: whether a number is in `label.csv`, bool `[65536]`.
    asked: whether it is one with a category that is asked for, likewise.
  """

  root: pathlib.Path
  categories: tuple[str, ...]
  rows: Sequence[_Row]
  known: np.ndarray
  asked: np.ndarray

  def read(self, index: int) -> Labels:
    row = self.rows[index]
    maps: dict[str, np.ndarray] = {}
    whole: dict[str, tuple[int, ...]] = {}
    for name in self.categories:
      items = row.items[name]
      if paths := [item for item in items if isinstance(item, str)]:
        maps[name] = np.stack([self._map(path, row.size) for path in paths])
      numbers = self._checked(np.array([x for x in items if isinstance(x, int)], int), row.place)
      if numbers.any():
        whole[name] = tuple(numbers[numbers > 0].tolist())
    return Labels(maps, whole)

  def _map(self, path: str, size: tuple[int, int]) -> np.ndarray:
    place = str(self.root / IMAGES / path)
    return self._checked(read_two_bytes(place, size), place)

  def _checked(self, numbers: np.ndarray, place: str) -> np.ndarray:
    """Numbers with 0 for those of labels that are only in other categories.

    Raises:
      ImageError: for a number that is not in `label.csv`.
    """
    unknown = numbers[~self.known[np.minimum(numbers, _LARGEST)] | (numbers > _LARGEST)]
    if len(unknown):
      raise ImageError(f'{place}: the label {unknown[0]} is not in {self.root / LABELS}')
    return np.where(self.asked[numbers], numbers, 0)


def _is_one_of(labels: Sequence[Concept]) -> np.ndarray:
  """Whether a number is 0 or that of a label, bool `[65536]`."""
  found = np.zeros(_LARGEST + 1, bool)
  found[[0, *(one.number for one in labels)]] = True
  return found


def _with_category(labels: Sequence[Concept], categories: Sequence[str]) -> tuple[Concept, ...]:
  """The labels with one of the categories, which are those that they keep."""
  shared = [
    one._replace(categories=tuple(name for name in one.categories if name in categories))
    for one in labels
  ]
  return tuple(one for one in shared if one.categories)


def _size_of(rows: Sequence[_Row]) -> tuple[int, int]:
  """(sh, sw), the same in all rows."""
  height, width = rows[0].size
  for row in rows:
    if row.size != (height, width):
      raise UserError(
        f'{row.place}: sh, sw are {row.size[0]}, {row.size[1]}, and {height}, {width} before'
      )
  return height, width
