"""Tensors as a checkpoint describes them: where their numbers are, not yet the numbers."""

import dataclasses
import math
from typing import Any

import ml_dtypes
import numpy as np

from perturb.nets.weights.errors import shown, shown_shape
from perturb.nets.weights.pickles import Node

_MAX_DIMENSIONS = 32
_LONGEST_REFERENCE = 7  # Parts of a reference to a storage, and one too many.
_MAX_SIZE = 2**62  # bytes, so that numpy can count them

_DTYPES = {
  'float32': np.dtype('<f4'),
  'float64': np.dtype('<f8'),
  'float16': np.dtype('<f2'),
  'bfloat16': np.dtype(ml_dtypes.bfloat16),
  'float8_e4m3fn': np.dtype(ml_dtypes.float8_e4m3fn),
  'float8_e5m2': np.dtype(ml_dtypes.float8_e5m2),
  'float8_e4m3fnuz': np.dtype(ml_dtypes.float8_e4m3fnuz),
  'float8_e5m2fnuz': np.dtype(ml_dtypes.float8_e5m2fnuz),
  'int64': np.dtype('<i8'),
  'int32': np.dtype('<i4'),
  'int16': np.dtype('<i2'),
  'int8': np.dtype('i1'),
  'uint64': np.dtype('<u8'),
  'uint32': np.dtype('<u4'),
  'uint16': np.dtype('<u2'),
  'uint8': np.dtype('u1'),
  'bool': np.dtype('?'),
  'complex64': np.dtype('<c8'),
  'complex128': np.dtype('<c16'),
}
_STORAGES = {
  'FloatStorage': 'float32',
  'DoubleStorage': 'float64',
  'HalfStorage': 'float16',
  'BFloat16Storage': 'bfloat16',
  'LongStorage': 'int64',
  'IntStorage': 'int32',
  'ShortStorage': 'int16',
  'CharStorage': 'int8',
  'ByteStorage': 'uint8',
  'BoolStorage': 'bool',
  'ComplexFloatStorage': 'complex64',
  'ComplexDoubleStorage': 'complex128',
  'UntypedStorage': 'uint8',
}
# Only passed over: the bytes of an element.
_QUANTIZED = {
  'QUInt8Storage': 1,
  'QInt8Storage': 1,
  'QInt32Storage': 4,
  'QUInt4x2Storage': 1,
  'QUInt2x4Storage': 1,
}


@dataclasses.dataclass(frozen=True)
class Stored:
  """A tensor whose numbers are in a file.

  Attributes:
    dtype: of an element.
    shape: its shape.
    strides: in elements, for each dimension.
    offset: of its first element in the storage, in bytes.
    storage: the key of the storage that holds its numbers.
    size: the bytes that the storage has by the description.
  """

  dtype: np.dtype
  shape: tuple[int, ...]
  strides: tuple[int, ...]
  offset: int
  storage: str
  size: int

  @property
  def nbytes(self) -> int:
    """Of its numbers, by themselves."""
    return math.prod(self.shape) * self.dtype.itemsize


@dataclasses.dataclass(frozen=True)
class Foreign:
  """What stands where a tensor might, and cannot be read.

  Attributes:
    reason: why, to follow the words 'tensor NAME'.
    is_tensor: whether the file calls it a tensor.
  """

  reason: str
  is_tensor: bool = False


StateDict = dict[str, Stored | Foreign]


def is_tensor(one: Stored | Foreign) -> bool:
  """Whether the file calls it a tensor, readable or not."""
  return isinstance(one, Stored) or one.is_tensor


class _UnreadableError(Exception):
  """The reason why a tensor cannot be read."""


def dtype_named(name: str) -> np.dtype | None:
  """The type of an element by PyTorch's name, as 'float32'."""
  return _DTYPES.get(name)


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
  """The strides, in elements, of a tensor without gaps."""
  return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def checked(tensor: Stored) -> Stored | Foreign:
  """The tensor, or why it cannot be one."""
  if len(tensor.shape) > _MAX_DIMENSIONS:
    return Foreign(f'has {len(tensor.shape)} dimensions', is_tensor=True)
  largest = math.prod(max(n, 1) for n in tensor.shape) * tensor.dtype.itemsize
  reach = sum(n * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
  if max(largest, reach, tensor.offset, tensor.size) > _MAX_SIZE:
    return Foreign(f'is too large: {shown_shape(tensor.shape)}', is_tensor=True)
  return tensor


def storage_itemsizes(references: list[Node]) -> dict[str, int]:
  """The bytes of an element of each storage that is referred to, by its key, where known."""
  known = {kind: _DTYPES[name].itemsize for kind, name in _STORAGES.items()} | _QUANTIZED
  sizes = {}
  for node in references:
    match _items(node.items[0]):
      case ['storage', Node(kind='name', name=str(name)), str(key), *_]:
        kind = name.rpartition('.')[2]
        if kind in known:
          sizes[key] = known[kind]
  return sizes


def tensor_of(value: Any) -> Stored | Foreign:
  """What a value in a dict is: a tensor, or why not."""
  if not isinstance(value, Node):
    return Foreign(f'is of type {type(value).__name__}, not a tensor')
  name, items = value.name, value.items
  try:
    for _ in range(8):  # Parameters that hold tensors; tensors of a class that hold their parts.
      if value.kind != 'call':
        break
      if name in _BUILDERS:
        return checked(_BUILDERS[name](items))
      if name in _WRAPPERS and items and isinstance(items[0], Node):
        name, items = items[0].name, items[0].items
      elif name in _TYPED and len(items) > 2 and isinstance(items[0], Node):
        name, items = items[0].name, _items(items[2])
      else:
        break
  except _UnreadableError as error:
    return Foreign(str(error), is_tensor=True)
  return Foreign(f'is a {shown(_kind(value, name))}, not a plain tensor', '_rebuild_' in name)


def _kind(node: Node, name: str) -> str:
  if name.split('.')[0] in ('copyreg', 'copy_reg') and node.items:
    first = node.items[0]  # The class of an object of protocols 0 and 1.
    return first.name if isinstance(first, Node) and first.name else name
  return name or node.kind


def _items(value: Any) -> list[Any]:
  """The elements of a tuple, a list, or a torch.Size; none for anything else."""
  if isinstance(value, Node) and value.kind == 'call' and value.name == 'torch.Size':
    value = value.items[0] if value.items else None
  return value.items if isinstance(value, Node) and value.kind in ('tuple', 'list') else []


def _is_count(value: Any) -> bool:
  return type(value) is int and value >= 0


def _counts(value: Any) -> tuple[int, ...]:
  items = _items(value)
  if len(items) > _MAX_DIMENSIONS:
    raise _UnreadableError(f'has {len(items)} dimensions')
  if not all(map(_is_count, items)):
    raise _UnreadableError('has an offset, a shape or a stride that is not made of counts')
  return tuple(items)


def _storage(value: Any) -> tuple[np.dtype, str, int, int]:
  """(type, key, elements, first element) of a reference to a storage, or to a part of one."""
  if isinstance(value, Node) and value.kind == 'persistent':
    match _items(value.items[0])[:_LONGEST_REFERENCE]:
      case ['storage', Node(kind='name', name=str(name)), str(key), _, int(size), *view] if (
        name.startswith('torch.') and size >= 0 and len(view) <= 1
      ):
        leaf = name.rpartition('.')[2]
        if leaf not in _STORAGES:
          raise _UnreadableError(f'has a storage of the kind {shown(name)}, which is not read')
        return _DTYPES[_STORAGES[leaf]], key, size, _view_offset(view)
  raise _UnreadableError('has a storage of an unknown kind')


def _view_offset(view: list[Any]) -> int:
  if view in ([], [None]):
    return 0
  match _items(view[0]):
    case [_, offset, size] if _is_count(offset) and _is_count(size):
      return offset
  raise _UnreadableError('has a storage that is an unknown part of another')


def _build(items: list[Any], dtype_name: Any = None) -> Stored:
  if len(items) < 4 or not _is_count(items[1]):
    raise _UnreadableError('has an offset, a shape or a stride that is not made of counts')
  kind, key, size, start = _storage(items[0])
  dtype = kind
  if dtype_name is not None:
    name = dtype_name.name if isinstance(dtype_name, Node) else ''
    found = dtype_named(name.removeprefix('torch.'))
    if found is None:
      raise _UnreadableError(f'has elements of type {shown(name)}, which is not read')
    dtype = found
  shape, strides = _counts(items[2]), _counts(items[3])
  if len(shape) != len(strides):
    raise _UnreadableError('has an offset, a shape or a stride that is not made of counts')
  offset = start * kind.itemsize + items[1] * dtype.itemsize
  return Stored(dtype, shape, strides, offset, key, size * kind.itemsize)


def _build_with_dtype(items: list[Any]) -> Stored:
  if len(items) < 7:
    raise _UnreadableError('has no type of its elements')
  return _build(items, items[6])


_BUILDERS = {
  'torch._utils._rebuild_tensor': _build,
  'torch._utils._rebuild_tensor_v2': _build,
  'torch._utils._rebuild_tensor_v3': _build_with_dtype,
}
_WRAPPERS = frozenset(
  (
    'torch._utils._rebuild_parameter',
    'torch._utils._rebuild_parameter_with_state',
    'torch.nn.parameter.Parameter',  # Before torch 0.4.
    'torch.nn.parameter.Buffer',
    'torch.autograd.variable.Variable',
  )
)
_TYPED = frozenset(('torch._tensor._rebuild_from_type_v2', 'torch._tensor._rebuild_from_type'))
