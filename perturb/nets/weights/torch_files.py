"""Reads PyTorch checkpoints (`.pth`, `.safetensors`) without torch and without running a pickle.

The description of the tensors is a pickle, which `pickles` follows without running it, in which
`state_dicts` finds the dicts of tensors. Numbers are read when a state dict has been chosen.
"""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import io
import os
from typing import BinaryIO

import numpy as np

from perturb.nets.weights import safetensors_files
from perturb.nets.weights.errors import CheckpointError, shown
from perturb.nets.weights.pickles import Description, Node, described
from perturb.nets.weights.pieces import Member, Piece, Plain, file_size, members
from perturb.nets.weights.state_dicts import find_state_dicts, main_state_dict
from perturb.nets.weights.tensors import (
  Foreign,
  StateDict,
  Stored,
  is_tensor,
  row_major,
  storage_itemsizes,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

_PLACES = 8  # That a message names.
_MAX_ORDER = 16  # bytes of the word 'little' or 'big'
_FEW_STEPS = 1000  # Of the small pickles of the legacy format.
_STORAGE_STEPS = 200_000  # Of its list of storages.
_MAX_UNPACKED = 1 << 26  # bytes of a description that is compressed
# A file may give so many bytes, or so many times its own size if that is more.
_MAX_NUMBERS = 1 << 28
_MAX_GROWTH = 4

Storages = Mapping[str, Piece]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """A checkpoint whose numbers have not been read.

  Attributes:
    path: of the file.
    state_dicts: the dicts of tensors in it, nearest first: place -> name -> tensor. A place is the
      keys that lead there, as 'state_dict' or 'ema/model'; '' for the whole file.
    storages: where the numbers are, by the key that a tensor names.
  """

  path: str
  state_dicts: dict[str, StateDict]
  storages: Storages

  def state_dict(self, where: str) -> StateDict:
    """One of its state dicts, by its place.

    Raises:
      CheckpointError: for a place where there is none; names those where there are.
    """
    if where not in self.state_dicts:
      places = ', '.join(map(shown, [*self.state_dicts][:_PLACES]))
      raise CheckpointError(
        f'checkpoint {self.path}: no state dict at {shown(where)}; there are some at {places}'
      )
    return self.state_dicts[where]

  def read(self, where: str, names: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """The numbers of one of its state dicts.

    Args:
      where: a place of `state_dicts`.
      names: the names to read -> those that they have in the file; None for all tensors.

    Returns:
      Name -> array. Tensors that share their numbers may share their memory.

    Raises:
      CheckpointError: names the file, the tensor, and what is wrong with it.
    """
    state = self.state_dict(where)
    if names is None:
      names = {name: name for name, one in state.items() if is_tensor(one)}
    with _opened(self.path) as file:
      wanted = {ours: state[name] for ours, name in names.items()}
      return _read_tensors(file, wanted, self.storages)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
  """The file; what goes wrong with it names it."""
  try:
    with open(path, 'rb') as file:
      yield file
  except CheckpointError as error:
    raise CheckpointError(f'checkpoint {path}: {error}') from error
  except MemoryError as error:
    raise CheckpointError(f'checkpoint {path}: there is not enough memory for it') from error
  except OSError as error:
    raise CheckpointError(f'checkpoint {path}: {error.strerror or error}') from error
  except _NONSENSE as error:
    reason = 'damaged, its description makes no sense'
    raise CheckpointError(f'checkpoint {path}: {reason}') from error


# What code stumbles over where a description says what no program would write.
_NONSENSE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def _read_tensors(
  file: BinaryIO, tensors: dict[str, Stored | Foreign], storages: Storages
) -> dict[str, np.ndarray]:
  left = max(_MAX_NUMBERS, _MAX_GROWTH * file_size(file))
  read: dict[str, np.ndarray] = {}
  raw: dict[str, np.ndarray] = {}
  for name, tensor in tensors.items():
    if isinstance(tensor, Foreign):
      raise CheckpointError(f'tensor {shown(name)} {tensor.reason}')
    piece = storages.get(tensor.storage)
    if piece is None or piece.nbytes < tensor.size:
      raise CheckpointError(f'the data of tensor {shown(name)} are missing or truncated')
    left -= tensor.nbytes + (0 if tensor.storage in raw else piece.nbytes)
    if left < 0:
      raise CheckpointError('its tensors are far larger than the file: a compressed or crafted one')
    if tensor.storage not in raw:
      raw[tensor.storage] = piece.read(file)
    read[name] = _view(name, tensor, raw[tensor.storage])
  return read


def _view(name: str, tensor: Stored, raw: np.ndarray) -> np.ndarray:
  if 0 in tensor.shape:
    return np.zeros(tensor.shape, tensor.dtype)
  itemsize = tensor.dtype.itemsize
  last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
  if tensor.offset + (last + 1) * itemsize > raw.size:
    raise CheckpointError(f'tensor {shown(name)} reaches past the end of its storage')
  flat = raw[tensor.offset : tensor.offset + (last + 1) * itemsize].view(tensor.dtype)
  if tensor.strides == row_major(tensor.shape):
    return flat.reshape(tensor.shape)
  strides = [s * itemsize for s in tensor.strides]
  return np.array(np.lib.stride_tricks.as_strided(flat, tensor.shape, strides))


def _of_zip(file: BinaryIO) -> tuple[dict[str, StateDict], Storages]:
  inside = members(file)
  entry = min((n for n in inside if f'/{n}'.endswith('/data.pkl')), key=len, default=None)
  if entry is None:
    raise CheckpointError('a zip file without data.pkl is not a PyTorch checkpoint')
  root = entry.removesuffix('data.pkl')
  if f'{root}constants.pkl' in inside:
    raise CheckpointError('a TorchScript archive; save model.state_dict() instead')
  order = inside.get(f'{root}byteorder')
  if order and order.nbytes <= _MAX_ORDER and order.read(file).tobytes() != b'little':
    raise CheckpointError('big-endian checkpoints are not supported')
  with _description(file, inside[entry]) as description:
    found = find_state_dicts(description.root)
  data = f'{root}data/'
  return found, {n.removeprefix(data): one for n, one in inside.items() if n.startswith(data)}


@contextlib.contextmanager
def _description(file: BinaryIO, entry: Member) -> Iterator[Description]:
  place = entry.place(file)
  if entry.packed == entry.nbytes:
    file.seek(place.offset)
    source, end = file, place.offset + place.nbytes
  elif entry.nbytes > _MAX_UNPACKED:
    raise CheckpointError('the compressed description of its tensors is too long')
  else:
    source, end = io.BytesIO(entry.read(file).tobytes()), entry.nbytes
  with described(source, end) as description:
    yield description


def _of_legacy(file: BinaryIO) -> tuple[dict[str, StateDict], Storages]:
  size = file_size(file)
  file.seek(0)
  for expected in (LEGACY_MAGIC, LEGACY_PROTOCOL):
    with described(file, size, _FEW_STEPS) as number:
      if number.root != expected:
        raise CheckpointError('not a PyTorch checkpoint of a known version')
  with described(file, size, _FEW_STEPS) as system:
    if not (isinstance(system.root, Node) and system.root.entries.get('little_endian') is True):
      raise CheckpointError('big-endian checkpoints are not supported')
  with described(file, size) as description:
    found, sizes = find_state_dicts(description.root), storage_itemsizes(description.persistent)
  with described(file, size, _STORAGE_STEPS) as keys:
    if not isinstance(keys.root, Node):
      raise CheckpointError('truncated: the list of storages is missing')
    names = [key for key in keys.root.items if isinstance(key, str)]
  return found, _legacy_storages(file, size, names, sizes)


def _legacy_storages(
  file: BinaryIO, size: int, keys: list[str], itemsizes: dict[str, int]
) -> dict[str, Plain]:
  """Where the storages are that follow each other, each after its number of elements."""
  storages: dict[str, Plain] = {}
  at = file.tell()
  for key in keys:
    if key not in itemsizes:
      break  # What follows it cannot be found, and is missing only if it is asked for.
    file.seek(at)
    nbytes = int.from_bytes(file.read(8), 'little') * itemsizes[key]
    at += 8 + nbytes
    if at > size:
      break
    storages[key] = Plain(at - nbytes, nbytes)
  return storages


def _is_tar(file: BinaryIO) -> bool:
  file.seek(257)
  return file.read(5) == b'ustar'


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
  """What a checkpoint holds: all its state dicts, with the shapes of their tensors.

  See `read_checkpoint`, which also reads the numbers.

  Raises:
    CheckpointError: names the file and what is wrong with it.
  """
  name = os.fspath(path)
  with _opened(name) as file:
    if file.read(4) == b'PK\x03\x04':
      found, storages = _of_zip(file)
    elif name.endswith('.safetensors') or safetensors_files.is_safetensors(file):
      tensors, storages = safetensors_files.read_layout(file)
      found = {'': tensors}
    elif _is_tar(file):
      raise CheckpointError(
        'the tar format of the first versions of torch; load it and save it again'
      )
    else:
      found, storages = _of_legacy(file)
  return Checkpoint(name, found, storages)


def read_checkpoint(
  path: str | os.PathLike[str], where: str | None = None
) -> dict[str, np.ndarray]:
  """The named tensors of a checkpoint, as numpy arrays.

  Reads PyTorch's zip format (torch 1.6 and later), its legacy one (torch 0.1 and later, Python 2
  too), and safetensors. The format is told by the content. Nothing in the file is executed or
  imported, and whatever is beside the tensors, of any class, is left aside.

  Args:
    path: of the file.
    where: the place of the state dict in the file, one of `open_checkpoint(path).state_dicts`; None
      for the largest, the plain weights before their running averages.

  Returns:
    Name -> array, in the order of the file.

  Raises:
    CheckpointError: names the file and what is wrong with it.
  """
  checkpoint = open_checkpoint(path)
  return checkpoint.read(main_state_dict(checkpoint.state_dicts) if where is None else where)
