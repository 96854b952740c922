"""The names of a group's images as a Zarr array of strings, which tensorstore does not write."""

from collections.abc import Sequence
import json
import pathlib
from typing import Any

import numpy as np
import tensorstore

from perturb.store import files

NAMES = 'image'  # The array of the images' names, and the axis that it names.
CHUNK = 4096  # Names.


def write_names(group: pathlib.Path, names: Sequence[str]) -> None:
  """The names of a group's images, by which xarray finds them: strings, in whole chunks."""
  path = group / NAMES
  metadata = {
    'zarr_format': 3,
    'node_type': 'array',
    'shape': [len(names)],
    'data_type': 'string',
    'fill_value': '',
    'chunk_grid': {'name': 'regular', 'configuration': {'chunk_shape': [CHUNK]}},
    'chunk_key_encoding': {'name': 'default', 'configuration': {'separator': '/'}},
    'codecs': [{'name': 'vlen-utf8', 'configuration': {}}, {'name': 'crc32c'}],
    'dimension_names': [NAMES],
    'attributes': {},
  }
  (path / 'c').mkdir(parents=True, exist_ok=True)
  for first in range(0, len(names), CHUNK):
    encoded = [name.encode() for name in names[first : first + CHUNK]]
    encoded += [b''] * (CHUNK - len(encoded))
    parts = [len(one).to_bytes(4, 'little') + one for one in encoded]
    content = CHUNK.to_bytes(4, 'little') + b''.join(parts)
    _write_if_new(path / 'c' / str(first // CHUNK), _with_checksum(content))
  _write_if_new(path / 'zarr.json', (json.dumps(metadata, indent=2) + '\n').encode())


def read_name(group: pathlib.Path, row: int) -> str | None:
  """The name of an image; None where none is stored, or it is damaged."""
  try:
    data = (group / NAMES / 'c' / str(row // CHUNK)).read_bytes()
  except OSError:
    return None
  if _with_checksum(data[:-4]) != data:
    return None
  at = 4
  for _ in range(row % CHUNK):
    at += 4 + int.from_bytes(data[at : at + 4], 'little')
  end = at + 4 + int.from_bytes(data[at : at + 4], 'little')
  return data[at + 4 : end].decode() or None


def _with_checksum(content: bytes) -> bytes:
  """A chunk as Zarr's codec `crc32c` stores it."""
  metadata = {
    'shape': [len(content)],
    'data_type': 'uint8',
    'chunk_grid': {'name': 'regular', 'configuration': {'chunk_shape': [max(1, len(content))]}},
    'codecs': [{'name': 'bytes'}, {'name': 'crc32c'}],
  }
  spec = {
    'driver': 'zarr3',
    'kvstore': {'driver': 'memory'},
    'metadata': metadata,
    'store_data_equal_to_fill_value': True,
  }
  array: Any = tensorstore.open(spec, create=True, context=tensorstore.Context()).result()
  array.write(np.frombuffer(content, np.uint8)).result()
  return array.kvstore.read('c/0').result().value


def _write_if_new(path: pathlib.Path, content: bytes) -> None:
  if not path.exists() or path.read_bytes() != content:
    files.write_atomically(path, content)
