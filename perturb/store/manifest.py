"""Which image is where in the results: `images.csv`, a line an image."""

from collections.abc import Iterable, Mapping
import csv
import pathlib
from typing import NamedTuple

from perturb.data.images import Source
from perturb.errors import UserError
from perturb.store import files

HEADER = ('image', 'place', 'group', 'row')


class Entry(NamedTuple):
  """An image of a run.

  Attributes:
    place: its file, or record.
    group: name of the Zarr group that holds it: its shape, `224x224`.
    row: its index there.
  """

  place: str
  group: str
  row: int


class Manifest:
  """The images of a run by name, in the order in which they came.

  Args:
    path: of the file; no file is an empty manifest.

  Raises:
    UserError: if it is damaged.
  """

  def __init__(self, path: pathlib.Path):
    self.path = path
    self.entries: dict[str, Entry] = {}
    self.counts: dict[str, int] = {}  # Of each group.
    try:
      with open(path, newline='', encoding='utf-8') as file:
        for line in csv.DictReader(file):
          self._append(*(files.from_cell(line[name]) for name in HEADER[:3]))
    except FileNotFoundError:
      pass
    except (OSError, KeyError, UnicodeDecodeError) as error:
      raise UserError(f'{path}: not a list of images ({error})') from error

  def _append(self, name: str, place: str, group: str) -> None:
    row = self.counts.get(group, 0)
    self.entries[name] = Entry(place, group, row)
    self.counts[group] = row + 1

  def add(self, images: Iterable[tuple[Source, str]]) -> None:
    """Gives each new image (source, group) the next row of its group."""
    for source, group in images:
      self._append(source.name, source.place, group)

  def write(self) -> None:
    """Writes the file, whole or not at all."""
    rows = [(name, *entry) for name, entry in self.entries.items()]
    files.write_table(self.path, HEADER, rows)


def group_name(shape: tuple[int, int]) -> str:
  """(H, W) -> 'HxW'."""
  return f'{shape[0]}x{shape[1]}'


def group_shape(name: str) -> tuple[int, int]:
  """'HxW' -> (H, W)."""
  height, width = name.split('x')
  return int(height), int(width)


def names_by_row(entries: Mapping[str, Entry]) -> dict[str, dict[int, str]]:
  """Group -> row -> name."""
  found: dict[str, dict[int, str]] = {}
  for name, entry in entries.items():
    found.setdefault(entry.group, {})[entry.row] = name
  return found
