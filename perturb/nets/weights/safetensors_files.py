"""The format of safetensors: the length of a JSON object, that object, the numbers."""

import json
import math
from typing import Any, BinaryIO

from perturb.nets.weights.errors import CheckpointError, shown
from perturb.nets.weights.pieces import Plain, file_size
from perturb.nets.weights.tensors import (
  Foreign,
  StateDict,
  Stored,
  checked,
  dtype_named,
  row_major,
)

_MAX_HEADER = 1 << 23  # bytes
_DTYPES = {
  'F64': 'float64',
  'F32': 'float32',
  'F16': 'float16',
  'BF16': 'bfloat16',
  'F8_E4M3': 'float8_e4m3fn',
  'F8_E5M2': 'float8_e5m2',
  'I64': 'int64',
  'I32': 'int32',
  'I16': 'int16',
  'I8': 'int8',
  'U64': 'uint64',
  'U32': 'uint32',
  'U16': 'uint16',
  'U8': 'uint8',
  'BOOL': 'bool',
  'C64': 'complex64',
}


def is_safetensors(file: BinaryIO) -> bool:
  """Whether a file begins with the length of a JSON object, and that object."""
  size = file_size(file)
  file.seek(0)
  header = file.read(9)
  return header[8:] == b'{' and int.from_bytes(header[:8], 'little') <= size - 8


def read_layout(file: BinaryIO) -> tuple[StateDict, dict[str, Plain]]:
  """(the tensors by name, where the numbers of each are).

  Raises:
    CheckpointError: for a file that is no such file, or damaged.
  """
  size = file_size(file)
  file.seek(0)
  length = int.from_bytes(file.read(8), 'little')
  if length > min(size - 8, _MAX_HEADER):
    raise CheckpointError('not a sound safetensors file: its header is truncated or too long')
  try:
    header = json.loads(file.read(length))
    described = {name: _described(one) for name, one in header.items() if name != '__metadata__'}
  except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
    raise CheckpointError('not a sound safetensors file: its header is damaged') from error
  tensors, pieces, start = {}, {}, 8 + length
  for name, (kind, shape, begin, end) in described.items():
    tensors[name] = _tensor(name, kind, shape, end - begin)
    pieces[name] = Plain(start + begin, end - begin)
  _check_order(pieces, start, size)
  return tensors, pieces


def _described(one: Any) -> tuple[str, tuple[int, ...], int, int]:
  """(type, shape, first byte, last byte + 1) in the words of the header."""
  shape, (begin, end) = tuple(one['shape']), one['data_offsets']
  if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)) or begin > end:
    raise ValueError
  return str(one['dtype']), shape, begin, end


def _tensor(name: str, kind: str, shape: tuple[int, ...], nbytes: int) -> Stored | Foreign:
  dtype = dtype_named(_DTYPES.get(kind, ''))
  if dtype is None:
    return Foreign(f'has elements of type {shown(kind)}, which is not read', is_tensor=True)
  if len(shape) <= 64 and math.prod(shape) * dtype.itemsize != nbytes:
    return Foreign('has another number of bytes than its shape needs', is_tensor=True)
  strides = row_major(shape) if len(shape) <= 64 else shape
  return checked(Stored(dtype, shape, strides, 0, name, nbytes))


def _check_order(pieces: dict[str, Plain], start: int, size: int) -> None:
  at = start
  for name, piece in sorted(pieces.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
    if piece.offset < at:
      raise CheckpointError(f'not a sound safetensors file: {shown(name)} overlaps another tensor')
    at = piece.offset + piece.nbytes
  if at > size:
    raise CheckpointError('truncated: the last numbers of the safetensors file are missing')
