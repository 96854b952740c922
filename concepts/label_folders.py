"""Pictures with a label map each, as of PASCAL VOC, COCO-stuff and ADE20K, in one folder.

- `images/NAME.jpg`, in folders below it if one likes, and `labels/NAME.png`: a number a pixel, the
  index of a palette or a grey of 1 to 16 bits, of the upright picture.
- `names.txt`: the name of number 1 in the first line, of 2 in the second; or `names.csv`, with the
  columns number, name and, if there are others than objects, category.
- `splits/train.txt` and `splits/val.txt`: a NAME a line; without them the hash of a picture's path
  splits them, as in BRODEN.
"""

from collections.abc import Mapping
import dataclasses
import pathlib

import numpy as np

from concepts.annotation_tables import rows_of, whole_number
from concepts.label_maps import nearest, read_indices
from concepts.probe import Concept, Labels, Probe
from concepts.splits import check_both, is_trained
from perturb.data.images import Source, is_hidden, may_be_picture
from perturb.data.names import harmless, unique_names
from perturb.data.records import Dataset, Record
from perturb.errors import ImageError, UserError

SIZE = (112, 112)
UNLABELLED = (0, 255)
CATEGORY = 'object'

_IMAGES, _MAPS, _SPLITS, _TEXT, _TABLE = 'images', 'labels', 'splits', 'names.txt', 'names.csv'
_LARGEST = 65535


def open_label_folders(folder: str, size: tuple[int, int] = SIZE) -> Probe:
  """A folder of pictures and label maps, which are read when they are asked for.

  0 and 255 are nothing unless they have a name. If 0 has one, the numbers of the concepts are those
  of the file and 1. A map is shrunk to `size`, whatever its shape, by the nearest pixel: pictures
  are to be squashed likewise.

  Args:
    folder: with `images/`, `labels/` and the names.
    size: (height, width) of the label maps of the dataset.

  Raises:
    UserError: names the file and what does not fit.
  """
  root = pathlib.Path(folder)
  for place in (root, root / _IMAGES, root / _MAPS):
    if not place.is_dir():
      raise UserError(f'config.dataset: the folder {str(place)!r} does not exist')
  concepts, first = _read_names(root)
  problems: list[str] = []
  files = _with_map(root, problems)
  train = _read_splits(root, files, problems) if (root / _SPLITS).is_dir() else None
  if train is not None:
    files = {name: path for name, path in files.items() if name in train}
  if not files:
    raise UserError(f'config.dataset: no picture of {root / _IMAGES} has a map and a split')
  names = list(unique_names([name.replace('/', '_') for name in files]))
  sources = [Source(name, str(path)) for name, path in zip(names, files.values(), strict=True)]
  trained = [
    is_trained(path.relative_to(root / _IMAGES).as_posix()) if train is None else train[name]
    for name, path in files.items()
  ]
  check_both(np.array(trained), str(root))
  maps = [str(root / _MAPS / f'{name}.png') for name in files]
  return Probe(
    Dataset(sources, lambda i: Record(sources[i].path, None), problems=tuple(problems)),
    np.array(trained),
    concepts,
    size,
    _Maps(maps, concepts, first, size).read,
  )


def _read_names(root: pathlib.Path) -> tuple[tuple[Concept, ...], int]:
  """(the concepts, what of their numbers is more than those of the files)."""
  found: dict[int, tuple[str, str]] = {}
  if (root / _TABLE).is_file():
    for place, cells in rows_of(root / _TABLE, ('number', 'name')):
      number = whole_number(place, 'number', cells['number'], least=0)
      if number in found or number > _LARGEST or not cells['name']:
        what = 'is there twice' if number in found else 'is over 65535' if cells['name'] else ''
        raise UserError(f'{place}: the number {number} {what or "has no name"}')
      found[number] = cells['name'], cells.get('category') or CATEGORY
  else:
    lines = [line.strip() for line in _lines_of(root / _TEXT)]
    found = {number: (name, CATEGORY) for number, name in enumerate(lines, start=1) if name}
  if not found:
    raise UserError(f'config.dataset: {root} needs names in {_TEXT} or {_TABLE}')
  more = 1 if 0 in found else 0
  named = {number: harmless(found[number][0]) for number in sorted(found)}
  _check_unique(root / (_TABLE if (root / _TABLE).is_file() else _TEXT), named)
  return tuple(
    Concept(number + more, name, (found[number][1],)) for number, name in named.items()
  ), more


def _check_unique(path: pathlib.Path, named: Mapping[int, str]) -> None:
  """Refuses two numbers of one name: what is found of a concept is kept by its name."""
  number_of: dict[str, int] = {}
  for number, name in named.items():
    if name in number_of:
      raise UserError(
        f'{path}: the numbers {number_of[name]} and {number} are both named {name!r}; '
        'give each a name of its own'
      )
    number_of[name] = number


def _lines_of(path: pathlib.Path) -> list[str]:
  try:
    return path.read_text(encoding='utf-8-sig').splitlines()
  except FileNotFoundError as error:
    raise UserError(f'{path}: no such file') from error
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f'{path}: cannot be read as UTF-8 ({error})') from error


def _with_map(root: pathlib.Path, problems: list[str]) -> dict[str, pathlib.Path]:
  """NAME -> picture, in the order of the names; pictures without a map are a problem."""
  images = root / _IMAGES
  found: dict[str, pathlib.Path] = {}
  without: list[pathlib.Path] = []
  for path in sorted(path for path in images.rglob('*') if may_be_picture(path)):
    inside = path.relative_to(images)
    name = inside.with_suffix('').as_posix()
    if any(is_hidden(parent) for parent in inside.parents if parent.name):
      continue
    if name in found:
      problems.append(f'{path}: has the name of {found[name]}, which is taken')
    elif (root / _MAPS / f'{name}.png').is_file():
      found[name] = path
    else:
      without.append(path)
  if without:
    problems.append(f'{without[0]}: has no label map; pictures without one: {len(without)}')
  return found


def _read_splits(
  root: pathlib.Path, files: Mapping[str, pathlib.Path], problems: list[str]
) -> dict[str, bool]:
  """NAME -> whether it is for training; a name without a map or a picture is a problem."""
  found: dict[str, bool] = {}
  for split in ('train', 'val'):
    path = root / _SPLITS / f'{split}.txt'
    for number, line in enumerate(_lines_of(path), start=1):
      name, train = line.strip(), split == 'train'
      if not name:
        continue
      if found.get(name, train) != train:
        raise UserError(f'{path} line {number}: {name!r} is in the other split too')
      if not (root / _MAPS / f'{name}.png').is_file():
        problems.append(f'{path} line {number}: {name!r} has no label map')
      elif name not in files:
        problems.append(f'{path} line {number}: {name!r} has no picture in {root / _IMAGES}')
      found[name] = train
  return found


@dataclasses.dataclass(frozen=True)
class _Maps:
  """The label maps by index of the picture."""

  paths: list[str]
  concepts: tuple[Concept, ...]
  more: int
  size: tuple[int, int]

  def read(self, index: int) -> Labels:
    path = self.paths[index]
    numbers = nearest(read_indices(path), self.size) + self.more
    by_category: Mapping[str, list[int]] = {
      name: [one.number for one in self.concepts if name in one.categories]
      for name in sorted({name for one in self.concepts for name in one.categories})
    }
    known = [number for some in by_category.values() for number in some]
    nothing = [value + self.more for value in UNLABELLED if value + self.more not in known]
    unknown = np.setdiff1d(numbers, [*known, *nothing])
    if len(unknown):
      raise ImageError(f'{path}: the label {unknown[0] - self.more} has no name')
    maps = {
      name: np.where(np.isin(numbers, some), numbers, 0).astype(np.int32)[None]
      for name, some in by_category.items()
    }
    return Labels({name: found for name, found in maps.items() if found.any()}, {})
