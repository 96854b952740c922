"""Where the results of a run over a dataset are in its workdir.

`results.zarr` has a group for each shape of image, `224x224`, and there an array for each field;
`timings.zarr` has the seconds, which are never the same twice, in the same places; `images.csv`
says which image is in which group and row.
"""

from collections.abc import Iterator, Sequence
import os
import pathlib
from typing import Any

import numpy as np

from perturb.errors import MissingError, UserError, did_you_mean
from perturb.store.arrays import DONE, Field, Group
from perturb.store.manifest import Manifest, names_by_row

RESULTS, TIMINGS = 'results.zarr', 'timings.zarr'

STATUS = Field('uint8')  # 0: not yet, 1: done, 2: failed.

# Stored of each image, whatever is computed of it.
COMMON = {
  'status': STATUS,
  'label': Field('int32'),  # Of the dataset; -1 where it has none.
  'digest': Field('uint32'),  # CRC-32 of the pixels that the network saw, before normalisation.
}


def results_group(workdir: pathlib.Path, name: str) -> Group:
  """The results of the images of one shape."""
  return Group(workdir / RESULTS / name)


def timings_group(workdir: pathlib.Path, name: str) -> Group:
  """How long they took: `seconds` of each image, without compilation."""
  return Group(workdir / TIMINGS / name)


def manifest_of(workdir: pathlib.Path) -> Manifest:
  """The images of a workdir."""
  return Manifest(workdir / 'images.csv')


class Results:
  """What a run over a dataset has stored, while it goes on or after.

  Example (of a network whose images have 28 x 28 pixels):
    >>> found = perturb.Results('runs/heatmaps')
    >>> found.names
    ['chelsea', 'coffee']
    >>> found.field('chelsea', 'heatmap').shape
    (28, 28)

  Args:
    workdir: of the run.

  Attributes:
    names: of the images that are done, in the order of the run.
    manifest: all images, by name.
    groups: the results by shape.

  Raises:
    UserError: if there is no run there.
  """

  def __init__(self, workdir: str | os.PathLike[str]):
    self.workdir = pathlib.Path(workdir)
    self.manifest = manifest_of(self.workdir)
    entries = self.manifest.entries
    if not entries:
      raise UserError(f'{self.workdir}: holds no results of a run over a dataset')
    self.groups = {name: results_group(self.workdir, name) for name in self.manifest.counts}
    status = {name: group.read('status') for name, group in self.groups.items()}
    self.names = [n for n, entry in entries.items() if status[entry.group][entry.row] == DONE]
    self._done = set(self.names)

  def __len__(self) -> int:
    return len(self.names)

  def __iter__(self) -> Iterator[str]:
    return iter(self.names)

  def __contains__(self, name: object) -> bool:
    return name in self._done

  def place(self, name: str) -> tuple[Group, int]:
    """(the group of an image, its row there).

    Raises:
      UserError: for an image that is not there, with its near matches, or not done.
    """
    if name not in self.manifest.entries:
      hint = did_you_mean(name, list(self.manifest.entries))
      raise MissingError(f'{self.workdir}: there is no image {name!r}{hint}')
    if name not in self._done:
      raise MissingError(f'{self.workdir}: the image {name!r} is not done, or failed')
    entry = self.manifest.entries[name]
    return self.groups[entry.group], entry.row

  def field(self, name: str, field: str) -> np.ndarray:
    """A field of an image, as `target` or, of a run with several methods, `grad_cam/heatmap`.

    Raises:
      UserError: as `place`; or for a field that is not there, with its near matches.
    """
    group, row = self.place(name)
    if field not in group:
      hint = did_you_mean(field, group.fields())
      raise MissingError(f'{self.workdir}: there is no field {field!r}{hint}')
    return group.read(field, [row])[0]

  def columns(self, names: Sequence[str], fields: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """(name, its fields) for each of some images that are done, in order; read at once."""
    values = {n: [group.read(field) for field in fields] for n, group in self.groups.items()}
    for name in names:
      group, row = self.place(name)
      yield (name, *(column[row] for column in values[group.path.name]))

  def blocks(self, names: Sequence[str], size: int) -> Iterator[tuple[Group, dict[int, str]]]:
    """(group, row -> name) of some images, at most so many at a time, in order of the rows."""
    wanted = set(names)
    for group, by_row in names_by_row(self.manifest.entries).items():
      rows = [row for row in sorted(by_row) if by_row[row] in wanted]
      for i in range(0, len(rows), size):
        yield self.groups[group], {row: by_row[row] for row in rows[i : i + size]}

  def seconds(self, name: str, step: str = '') -> float:
    """How long an image took, without compilation: its share of its batch.

    Args:
      name: of the image.
      step: name of a method, of a run with several.

    Raises:
      UserError: as `place`.
    """
    group, row = self.place(name)
    field = f'{step}/seconds' if step else 'seconds'
    return float(timings_group(self.workdir, group.path.name).read(field, [row])[0])
