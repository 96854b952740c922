"""The tables of a dataset in BRODEN's format, from what each picture is labelled with."""

from collections.abc import Iterable, Mapping, Sequence
import pathlib
from typing import NamedTuple

import numpy as np

from concepts.broden import CATEGORIES, COLUMNS, INDEX, LABELS, codes_of
from concepts.scenes import Scene
from perturb.store import files

LABEL_HEADER = ('number', 'name', 'category', 'frequency', 'coverage', 'syns')
CATEGORY_HEADER = ('name', 'first', 'last', 'count', 'frequency')
CODE_HEADER = ('code', 'number', 'name', 'frequency', 'coverage')


class Shares(NamedTuple):
  """What is in a picture.

  Attributes:
    of: category -> name -> the share of the pixels that are labelled so; 1 for the whole picture.
  """

  of: Mapping[str, Mapping[str, float]]


class Label(NamedTuple):
  """A row of label.csv.

  Attributes:
    number: from 1, by falling frequency, then by name.
    name: its own.
    categories: (name, pictures that have it there, the sum of its shares of their pixels), by
      falling number of pictures.
    frequency: pictures that have it.
    coverage: the sum over pictures of the largest of its shares in the categories.
  """

  number: int
  name: str
  categories: tuple[tuple[str, int, float], ...]
  frequency: int
  coverage: float


def shares_of(scene: Scene) -> Shares:
  """The shares of each category's names in a picture; a pixel of several maps counts once."""
  found: dict[str, dict[str, float]] = {}
  for category, maps in scene.maps.items():
    codes = np.unique(maps[maps > 0])
    found[category] = {
      scene.names[code - 1]: float((maps == code).any(axis=0).mean()) for code in codes
    }
  for category, names in scene.whole.items():
    found.setdefault(category, {}).update(dict.fromkeys(names, 1.0))
  return Shares(found)


def number_labels(pictures: Sequence[Shares]) -> list[Label]:
  """The labels of a dataset."""
  found: dict[str, dict[str, list[float]]] = {}
  largest: dict[str, list[float]] = {}
  for picture in pictures:
    here: dict[str, float] = {}
    for category, shares in picture.of.items():
      for name, share in shares.items():
        found.setdefault(name, {}).setdefault(category, []).append(share)
        here[name] = max(share, here.get(name, 0))
    for name, share in here.items():
      largest.setdefault(name, []).append(share)
  names = sorted(found, key=lambda name: (-len(largest[name]), name))
  return [
    Label(number, name, _categories(found[name]), len(largest[name]), sum(largest[name]))
    for number, name in enumerate(names, start=1)
  ]


def _categories(shares: Mapping[str, Sequence[float]]) -> tuple[tuple[str, int, float], ...]:
  names = sorted(shares, key=lambda name: (-len(shares[name]), name))
  return tuple((name, len(shares[name]), sum(shares[name])) for name in names)


def write_labels(
  root: pathlib.Path, labels: Sequence[Label], pictures: Sequence[Shares]
) -> tuple[str, ...]:
  """Writes label.csv, category.csv and the codes; returns the categories in their order."""
  of_category: dict[str, list[tuple[Label, int, float]]] = {}
  for label in labels:
    for name, count, coverage in label.categories:
      of_category.setdefault(name, []).append((label, count, coverage))
  files.write_table(root / LABELS, LABEL_HEADER, map(_label_row, labels))
  for name, found in of_category.items():
    rows = [
      (code, label.number, label.name, count, f'{coverage:.6f}')
      for code, (label, count, coverage) in enumerate(found, start=1)
    ]
    files.write_table(root / codes_of(name), CODE_HEADER, rows)
  categories = [
    (
      name,
      found[0][0].number,
      found[-1][0].number,
      len(found),
      sum(bool(picture.of.get(name)) for picture in pictures),
    )
    for name, found in of_category.items()
  ]
  files.write_table(root / CATEGORIES, CATEGORY_HEADER, categories)
  return tuple(of_category)


def _label_row(label: Label) -> tuple[int, str, str, int, str, str]:
  categories = ';'.join(f'{name}({count})' for name, count, _ in label.categories)
  return label.number, label.name, categories, label.frequency, f'{label.coverage:.6f}', ''


class Row(NamedTuple):
  """A picture of the index: its path, its split, and the cell of each category that has one."""

  image: str
  split: str
  cells: Mapping[str, str]


def write_index(
  root: pathlib.Path, categories: Sequence[str], size: int, rows: Iterable[Row]
) -> None:
  """Writes index.csv of square pictures, whose label maps have half their side."""
  sizes = size, size, size // 2, size // 2
  files.write_table(
    root / INDEX,
    (*COLUMNS, *categories),
    [
      (row.image, row.split, *sizes, *(row.cells.get(name, '') for name in categories))
      for row in rows
    ],
  )
