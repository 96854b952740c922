"""Arrays of many images on disk, as Zarr (version 3): what other tools read, while a run goes on.

A group holds the images of one shape: an array for each field, whose first axis is the image. A
chunk, some images of one field, is one file, which is replaced whole or not at all; an image's
`status` is written after its other fields. A process that is killed at any point leaves rows that
are there and rows that are not. Every chunk has a checksum: a file that is damaged, or that is gone
though its images are done, is an error that names it.
"""

from collections.abc import Mapping, Sequence
import json
import os
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np
import tensorstore

from perturb.errors import StorageError
from perturb.store import files
from perturb.store.damage import ChunkFiles
from perturb.store.names import NAMES

PENDING, DONE, FAILED = 0, 1, 2  # Values of `status`.
MEANINGS = {
  'flag_values': [PENDING, DONE, FAILED],
  'flag_meanings': 'pending done failed',
}
# An attribute of `status`: the fields of which each done image has a file, even if it holds nothing
# but fill values. Fields that a later version adds are not among them.
FILED = 'fields_with_files'


class Field(NamedTuple):
  """What is stored of each image.

  Attributes:
    dtype: 'float32', 'int32', ...
    dims: names of the axes after the image's.
    shape: their lengths.
  """

  dtype: str = 'float32'
  dims: tuple[str, ...] = ()
  shape: tuple[int, ...] = ()


Rows = slice | Sequence[int] | np.ndarray

_UNKNOWN = {'f': 'NaN', 'i': -1, 'u': 0}  # By the kind of a dtype: what stands where nothing is.


def write_group(path: pathlib.Path, attributes: Mapping[str, Any]) -> None:
  """Makes a folder a Zarr group; one that is there keeps its attributes."""
  if (path / 'zarr.json').exists():
    return
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise StorageError(f'{path}: cannot be written ({error.strerror})') from error
  group = {'zarr_format': 3, 'node_type': 'group', 'attributes': dict(attributes)}
  files.write_atomically(path / 'zarr.json', (json.dumps(group, indent=2) + '\n').encode())


def read_attributes(path: pathlib.Path) -> dict[str, Any]:
  """The attributes of a group, or an array.

  Raises:
    StorageError: if there is none, or a damaged one.
  """
  return _described(path).get('attributes', {})


def _described(path: pathlib.Path) -> dict[str, Any]:
  try:
    found = json.loads((path / 'zarr.json').read_text())
    found['zarr_format']  # What is no description has not even that.
    return found
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise StorageError(f'{path}: not a Zarr group that can be read ({error})') from error


class Group:
  """The arrays of a group, read and written by rows.

  Args:
    path: of its folder; `write_group` has made it.
  """

  def __init__(self, path: pathlib.Path):
    self.path = path
    self._arrays: dict[str, tensorstore.TensorStore] = {}

  def grow(self, fields: Mapping[str, Field], count: int, chunk: int) -> None:
    """Makes room for `count` images, `chunk` of them a file; those that are there stay.

    The size of the chunks is that of the first time.
    """
    for name, field in fields.items():
      path = self.path / name
      if name not in self:
        alike = [other for other in fields if _status_of(other) == name != other]
        described = MEANINGS | {FILED: sorted(alike)} if name == _status_of(name) else {}
        _create(path, field, count, chunk, attributes=described)
      array = _open(path)
      if array.shape[0] < count:
        sizes: list[int | None] = [count, *[None] * len(field.shape)]
        array = _result(array.resize(exclusive_max=sizes), path)
      self._arrays[name] = array

  def _array(self, name: str) -> tensorstore.TensorStore:
    if name not in self._arrays:
      self._arrays[name] = _open(self.path / name)
    return self._arrays[name]

  def __contains__(self, name: str) -> bool:
    return name != NAMES and (self.path / name / 'zarr.json').exists()

  def fields(self) -> list[str]:
    """The names of the arrays, with those of subgroups: `grad_cam/heatmap`."""
    found = [path.parent for path in self.path.rglob('zarr.json')]
    arrays = [path for path in found if 'shape' in _described(path)]
    names = (path.relative_to(self.path).as_posix() for path in arrays)
    return sorted(name for name in names if name in self)

  def chunk(self, name: str) -> int:
    """Images a file of a field."""
    shape: Any = self._array(name).chunk_layout.read_chunk.shape
    return shape[0]

  def read(self, name: str, rows: Rows = slice(None)) -> np.ndarray:
    """Some rows of a field, `[N, ...]`: NaN, -1 or 0 where nothing is stored yet.

    Raises:
      StorageError: if a file is damaged, or gone; names it and its images.
    """
    try:
      values = np.asarray(_result(self._array(name)[rows].read(), self.path / name))
    except StorageError as error:
      raise self._damaged(name, rows) or error from error
    self._check_files(name, rows)
    return values

  def _files(self, name: str) -> ChunkFiles:
    array = self._array(name)
    constant = array.domain.labels[0] != NAMES
    return ChunkFiles(self.path, name, self.chunk(name), array.ndim, constant)

  def _damaged(self, name: str, rows: Rows) -> StorageError | None:
    array = self._array(name)
    return self._files(name).damaged(
      np.arange(array.shape[0])[rows], lambda row: _result(array[row].read(), self.path / name)
    )

  def _check_files(self, name: str, rows: Rows) -> None:
    """Refuses to give fill values for what was stored: its file is gone."""
    files_of, asked = self._files(name), np.arange(self._array(name).shape[0])[rows]
    gone = [i for i in files_of.by_chunk(asked) if not files_of.file(i).exists()]
    if not gone:
      return
    for index, held in files_of.by_chunk(asked[self._has_file(name, asked)]).items():
      # A run that goes on may have written it by now.
      if index in gone and not files_of.file(index).exists():
        raise files_of.lost(index, held, 'is missing')

  def _has_file(self, name: str, rows: np.ndarray) -> np.ndarray:
    """Which rows of a field are known to have been stored, `[n]`."""
    status = _status_of(name)
    if self._files(name).constant:
      return np.full(len(rows), True)
    if status not in self or name not in read_attributes(self.path / status).get(FILED, ()):
      return np.full(len(rows), False)
    return np.asarray(_result(self._array(status)[rows].read(), self.path / status)) == DONE

  def write(self, rows: np.ndarray, values: Mapping[str, Any]) -> None:
    """Stores some rows of some fields; `status`, or that of a subgroup, after all the others.

    Args:
      rows: `[n]` indices.
      values: field -> `[n, ...]`, or one value for all.

    Raises:
      StorageError: if the disk is full, for one; all that was stored before stays readable.
    """
    for last in (False, True):
      names = [name for name in values if (name.split('/')[-1] == 'status') == last]
      writes = {name: self._write(name, rows, values[name]) for name in names}
      for name, write in writes.items():
        try:
          _result(write, self.path / name)
        except StorageError as error:  # What else is in the chunk may be damaged.
          raise self._damaged(name, rows) or error from error

  def _write(self, name: str, rows: np.ndarray, value: Any) -> Any:
    array = self._array(name)
    full = np.broadcast_to(
      np.asarray(value, array.dtype.numpy_dtype), (len(rows), *array.shape[1:])
    )
    return array[rows].write(full)


def write_constant(path: pathlib.Path, dim: str, values: np.ndarray) -> None:
  """A one-dimensional array that the images of a group share, as the areas asked for."""
  if not (path / 'zarr.json').exists():
    _create(path, Field(str(values.dtype)), len(values), len(values), dim=dim, attributes={})
  if not (path / 'c' / '0').exists():  # Killed in between, or removed because it was damaged.
    _result(_open(path).write(values), path)


def _status_of(name: str) -> str:
  """The field that says of which images a field is there."""
  return '/'.join([*name.split('/')[:-1], 'status'])


def _create(
  path: pathlib.Path,
  field: Field,
  count: int,
  chunk: int,
  *,
  dim: str = NAMES,
  attributes: Mapping[str, Any],
) -> None:
  metadata = {
    'shape': [count, *field.shape],
    'data_type': field.dtype,
    'fill_value': _UNKNOWN[np.dtype(field.dtype).kind],
    'chunk_grid': {'name': 'regular', 'configuration': {'chunk_shape': [chunk, *field.shape]}},
    'codecs': [
      {'name': 'bytes', 'configuration': {'endian': 'little'}},
      {'name': 'zstd', 'configuration': {'level': 3}},
      {'name': 'crc32c'},
    ],
    'dimension_names': [dim, *field.dims],
    'attributes': dict(attributes),
  }
  _result(tensorstore.open(_spec(path) | {'metadata': metadata}, create=True), path)


def _spec(path: pathlib.Path) -> dict[str, Any]:
  return {
    'driver': 'zarr3',
    'kvstore': {'driver': 'file', 'path': f'{path.absolute()}/'},
    'store_data_equal_to_fill_value': True,
  }


def _open(path: pathlib.Path) -> tensorstore.TensorStore:
  return _result(tensorstore.open(_spec(path), open=True), path)


def _result(future: Any, path: pathlib.Path) -> Any:
  """What a future of tensorstore gives; its errors in a line."""
  try:
    return future.result()
  except (ValueError, OSError) as error:
    code = re.search(r"os_error_code='(\d+)'", str(error))
    reason = os.strerror(int(code[1])) if code else str(error).split(' [')[0]
    raise StorageError(f'{path}: {reason}') from error
