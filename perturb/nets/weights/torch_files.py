"""Reads PyTorch checkpoints (`.pth`, `.safetensors`) without torch and without running a pickle.

A pickle is a program for a small stack machine. `pickle.load` runs it, and lets it import and call
anything. Here `_read_structure` interprets only the instructions that describe containers,
numbers, strings and tensors; a name or an instruction outside these lists is refused by name.
"""

from collections.abc import Callable
import dataclasses
import io
import os
import pickletools
from typing import Any, BinaryIO
import zipfile

import ml_dtypes
import numpy as np
import safetensors

from perturb.errors import UserError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

_DTYPES = {
  'FloatStorage': np.dtype('<f4'),
  'DoubleStorage': np.dtype('<f8'),
  'HalfStorage': np.dtype('<f2'),
  'BFloat16Storage': np.dtype(ml_dtypes.bfloat16),
  'LongStorage': np.dtype('<i8'),
  'IntStorage': np.dtype('<i4'),
  'ShortStorage': np.dtype('<i2'),
  'CharStorage': np.dtype('i1'),
  'ByteStorage': np.dtype('u1'),
  'BoolStorage': np.dtype('?'),
}


class CheckpointError(UserError):
  """The file is not a checkpoint that can be read safely; the message says why."""


@dataclasses.dataclass(frozen=True)
class _Storage:
  key: str
  dtype: np.dtype
  size: int  # elements


@dataclasses.dataclass(frozen=True)
class _Tensor:
  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  stride: tuple[int, ...]


class _Mark:
  pass


_MARK = _Mark()


def _rebuild_tensor(storage, offset, shape, stride, *_unused) -> _Tensor:
  if not isinstance(storage, _Storage):
    raise CheckpointError('a tensor without a storage')
  values = (offset, *shape, *stride)
  if not all(type(v) is int and v >= 0 for v in values) or len(shape) != len(stride):
    raise CheckpointError('a tensor whose offset, shape or stride is not made of counts')
  return _Tensor(storage, offset, tuple(shape), tuple(stride))


def _rebuild_parameter(tensor, *_unused) -> _Tensor:
  return tensor


def _ordered_dict(pairs=()) -> dict:
  return dict(pairs)


_CONSTRUCTORS: dict[tuple[str, str], Callable[..., Any]] = {
  ('collections', 'OrderedDict'): _ordered_dict,
  ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
  ('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
  ('torch', 'Size'): tuple,
}


def _global(module: str, name: str) -> Any:
  if module in ('torch', 'torch.storage') and name in _DTYPES:
    return _DTYPES[name]
  if (module, name) in _CONSTRUCTORS:
    return _CONSTRUCTORS[module, name]
  raise CheckpointError(
    f'it asks for {module}.{name}, which is not a constructor of tensors; refused (a file of '
    'torch.save(model.state_dict(), path) needs none)'
  )


def _storage(persistent_id: Any) -> _Storage:
  match persistent_id:
    case ('storage', np.dtype() as dtype, str(key), str(), int(size), *view) if (
      size >= 0 and view in ([], [None])
    ):
      return _Storage(key, dtype, size)
  raise CheckpointError('a storage of an unknown kind')


_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_LITERALS = frozenset(
  (
    'INT',
    'BININT',
    'BININT1',
    'BININT2',
    'LONG',
    'LONG1',
    'LONG4',
    'FLOAT',
    'BINFLOAT',
    'BINUNICODE',
    'SHORT_BINUNICODE',
    'BINUNICODE8',
    'UNICODE',
  )
)
_EMPTY: dict[str, Callable[[], Any]] = {
  'EMPTY_DICT': dict,
  'EMPTY_LIST': list,
  'EMPTY_TUPLE': tuple,
}
_SHORT_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}


class _Machine:
  """The part of the pickle machine that describes data."""

  def __init__(self) -> None:
    self.stack: list[Any] = []
    self.memo: dict[int, Any] = {}

  def pop_to_mark(self) -> list[Any]:
    start = len(self.stack) - 1
    while self.stack[start] is not _MARK:
      start -= 1
      if start < 0:
        raise CheckpointError('unbalanced marks')
    items = self.stack[start + 1 :]
    del self.stack[start:]
    return items

  def set_items(self, items: list[Any]) -> None:
    self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

  def step(self, name: str, argument: Any) -> None:
    """Carries out one instruction."""
    stack = self.stack
    if name in ('PROTO', 'FRAME'):
      return
    if name in _LITERALS:
      stack.append(argument)
    elif name in _CONSTANTS:
      stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
      stack.append(_EMPTY[name]())
    elif name in _SHORT_TUPLES:
      count = _SHORT_TUPLES[name]
      stack[-count:] = [tuple(stack[-count:])]
    elif name == 'MARK':
      stack.append(_MARK)
    elif name == 'TUPLE':
      stack.append(tuple(self.pop_to_mark()))
    elif name in ('SETITEM', 'SETITEMS'):
      items = [stack.pop(-2), stack.pop()] if name == 'SETITEM' else self.pop_to_mark()
      self.set_items(items)
    elif name in ('APPEND', 'APPENDS'):
      items = [stack.pop()] if name == 'APPEND' else self.pop_to_mark()
      stack[-1].extend(items)
    elif name == 'MEMOIZE':
      self.memo[len(self.memo)] = stack[-1]
    elif name in ('PUT', 'BINPUT', 'LONG_BINPUT'):
      self.memo[argument] = stack[-1]
    elif name in ('GET', 'BINGET', 'LONG_BINGET'):
      stack.append(self.memo[argument])
    elif name == 'GLOBAL':
      stack.append(_global(*argument.split(' ')))
    elif name == 'STACK_GLOBAL':
      attribute, module = stack.pop(), stack.pop()
      stack.append(_global(str(module), str(attribute)))
    elif name == 'BINPERSID':
      stack.append(_storage(stack.pop()))
    elif name == 'REDUCE':
      arguments, function = stack.pop(), stack.pop()
      if function not in _CONSTRUCTORS.values():
        raise CheckpointError('a call of something that is not a constructor of tensors; refused')
      stack.append(function(*arguments))
    elif name == 'BUILD':
      stack.pop()  # The `_metadata` of a state dict: versions of modules, of no use here.
    else:
      raise CheckpointError(f'the pickle instruction {name} is not needed for tensors; refused')


def _read_structure(file: BinaryIO) -> Any:
  machine = _Machine()
  try:
    for opcode, argument, _ in pickletools.genops(file):
      if opcode.name == 'STOP':
        return machine.stack.pop()
      machine.step(opcode.name, argument)
  except CheckpointError:
    raise
  except (
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    RecursionError,
  ) as error:
    raise CheckpointError(f'truncated or damaged ({error})') from error
  raise CheckpointError('truncated: the description of the tensors does not end')


_STATE_DICTS = ('state_dict', 'model_state_dict', 'model')  # Where training scripts put it.


def _tensors(structure: Any) -> dict[str, _Tensor]:
  if isinstance(structure, dict):
    nested = [structure[key] for key in _STATE_DICTS if isinstance(structure.get(key), dict)]
    structure = nested[0] if nested else structure
  named = structure.items() if isinstance(structure, dict) else ()
  tensors = {str(name): value for name, value in named if isinstance(value, _Tensor)}
  if not tensors:
    raise CheckpointError('it holds no state dict (a dict of named tensors)')
  return tensors


def _view(name: str, tensor: _Tensor, flat: np.ndarray) -> np.ndarray:
  last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride, strict=True))
  if 0 in tensor.shape:
    return np.zeros(tensor.shape, flat.dtype)
  if last >= flat.size:
    raise CheckpointError(f'tensor {name!r} reaches past the end of its storage')
  strides = [s * flat.itemsize for s in tensor.stride]
  view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides)
  return np.array(view)


def _read_zip(file: BinaryIO) -> dict[str, np.ndarray]:
  with zipfile.ZipFile(file) as archive:
    names = archive.namelist()
    root = next((n[: -len('data.pkl')] for n in names if n.endswith('/data.pkl')), None)
    if root is None:
      raise CheckpointError('a zip file without data.pkl is not a PyTorch checkpoint')
    if root + 'byteorder' in names and archive.read(root + 'byteorder') != b'little':
      raise CheckpointError('big-endian checkpoints are not supported')
    tensors = _tensors(_read_structure(io.BytesIO(archive.read(root + 'data.pkl'))))
    storages: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
      storage = tensor.storage
      if storage.key not in storages:
        entry = f'{root}data/{storage.key}'
        size = archive.getinfo(entry).file_size if entry in names else -1
        if size != storage.size * storage.dtype.itemsize:
          raise CheckpointError(f'the data of tensor {name!r} are missing or truncated')
        storages[storage.key] = np.frombuffer(archive.read(entry), storage.dtype)
    return {n: _view(n, t, storages[t.storage.key]) for n, t in tensors.items()}


def _read_legacy(file: BinaryIO, file_size: int) -> dict[str, np.ndarray]:
  if _read_structure(file) != LEGACY_MAGIC:
    raise CheckpointError('not a PyTorch checkpoint')
  if _read_structure(file) != LEGACY_PROTOCOL:
    raise CheckpointError('an unknown version of the legacy format')
  system = _read_structure(file)
  if not (isinstance(system, dict) and system.get('little_endian') is True):
    raise CheckpointError('big-endian checkpoints are not supported')
  tensors = _tensors(_read_structure(file))
  wanted = {t.storage.key: t.storage for t in tensors.values()}
  keys = _read_structure(file)
  if not isinstance(keys, list):
    raise CheckpointError('truncated: the list of storages is missing')
  storages: dict[str, np.ndarray] = {}
  for key in keys:
    if key not in wanted:
      raise CheckpointError(f'storage {key!r} belongs to no tensor')
    storage = wanted[key]
    n_bytes = storage.size * storage.dtype.itemsize
    header = file.read(8)
    if int.from_bytes(header, 'little') != storage.size or file.tell() + n_bytes > file_size:
      raise CheckpointError(f'truncated: storage {key!r} is incomplete')
    storages[key] = np.frombuffer(file.read(n_bytes), storage.dtype)
  missing = set(wanted) - set(storages)
  if missing:
    raise CheckpointError(f'truncated: storage {min(missing)!r} is missing')
  return {n: _view(n, t, storages[t.storage.key]) for n, t in tensors.items()}


def _read_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except (safetensors.SafetensorError, TypeError, AttributeError) as error:
    raise CheckpointError(f'not a sound safetensors file ({error})') from error


def _is_safetensors(file: BinaryIO, file_size: int) -> bool:
  """Whether a file begins with the length of a JSON object, and that object."""
  header = file.read(9)
  return header[8:] == b'{' and int.from_bytes(header[:8], 'little') <= file_size - 8


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """The named tensors of a checkpoint, as numpy arrays.

  Reads PyTorch's zip format (torch 1.6 and later) and its legacy one, a state dict or a dict with
  one under `state_dict`, `model_state_dict` or `model`; and safetensors. The format is told by the
  content. Nothing in the file is executed.

  Args:
    path: of the file.

  Returns:
    Name -> array, in the order of the file.

  Raises:
    CheckpointError: names the file and what is wrong with it, or what it tried to call.
  """
  try:
    with open(path, 'rb') as file:
      size = os.path.getsize(path)
      if zipfile.is_zipfile(file):
        return _read_zip(file)
      file.seek(0)
      if str(path).endswith('.safetensors') or _is_safetensors(file, size):
        return _read_safetensors(path)
      file.seek(0)
      return _read_legacy(file, size)
  except CheckpointError as error:
    raise CheckpointError(f'checkpoint {path}: {error}') from error
  except (OSError, zipfile.BadZipFile, EOFError) as error:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    raise CheckpointError(f'checkpoint {path}: {reason}') from error
