"""Files of arrays that cannot be read any more: which images they held, and what to do."""

from collections.abc import Callable
import pathlib
from typing import NamedTuple

import numpy as np

from perturb.errors import StorageError
from perturb.store.names import read_name

SHOWN = 3  # Names of images in an error.


class ChunkFiles(NamedTuple):
  """The files of an array, a chunk each.

  Attributes:
    group: folder of the group.
    name: of the array, with that of a subgroup.
    chunk: images a chunk; or values, of a constant.
    dims: how many axes the array has.
    constant: whether all images share it.
  """

  group: pathlib.Path
  name: str
  chunk: int
  dims: int
  constant: bool

  def file(self, index: int) -> pathlib.Path:
    """The file of a chunk."""
    return self.group.joinpath(self.name, 'c', str(index), *['0'] * (self.dims - 1))

  def by_chunk(self, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Index of a chunk -> those of some rows that are in it."""
    chunks = rows // self.chunk
    return {int(index): rows[chunks == index] for index in np.unique(chunks)}

  def damaged(self, rows: np.ndarray, read: Callable[[int], object]) -> StorageError | None:
    """The error of the first chunk of some rows that cannot be read; None if all can.

    Args:
      rows: `[n]`.
      read: reads a row.
    """
    for index, held in self.by_chunk(rows).items():
      try:
        read(int(held[0]))
      except StorageError:
        return self.lost(index, held, 'is damaged')
    return None

  def lost(self, index: int, rows: np.ndarray, what: str) -> StorageError:
    """An error that names the file of a chunk, the images whose values it held, and the remedy.

    Args:
      index: of the chunk.
      rows: `[n]` of the images.
      what: is wrong with it.
    """
    file = self.file(index)
    status = self.group.joinpath(self.name).with_name('status') / 'c' / str(index)
    there = [str(path) for path in dict.fromkeys((file, status)) if path.exists()]
    remedy = f'remove {" and ".join(there)}, and start again' if there else 'start again'
    images = 'all images' if self.constant else self._images(rows)
    return StorageError(
      f'{file} {what}; it held {self.name} of {images}. To have that computed again, {remedy}'
    )

  def _images(self, rows: np.ndarray) -> str:
    shown = [read_name(self.group, int(row)) or f'row {row}' for row in rows[:SHOWN]]
    others = len(rows) - len(shown)
    return ', '.join(shown) + (f' and {others} more' if others else '')
