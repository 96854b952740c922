"""What a plain function reads beside its arguments, which a compiled program takes in as it was.

A function such as `lambda x: model(x)` does not change when the arrays of `model` are replaced, by
training for example. A program that was compiled for it would go on with the old ones.
"""

from collections.abc import Iterator
import functools
import types
from typing import Any
import zlib

import jax
import numpy as np

_MOST = 5_000  # Objects that are looked at; what lies beyond these is taken as constant.
_LIBRARIES = ('jax', 'jaxlib', 'flax', 'numpy', 'optax', 'equinox', 'perturb', 'builtins')
_ATOMS = (str, bytes, int, complex, type(None), type, types.ModuleType, types.BuiltinFunctionType)


class Closure:
  """A static argument, equal to itself as long as the arrays that it reads are the same.

  Attributes:
    value: the argument, most often a function.
  """

  def __init__(self, value: Any) -> None:
    self.value = value
    self._key = value if _is_hashable(value) else id(value)
    self._reads = tuple(_reads(value))

  @property
  def traced(self) -> bool:
    """Whether it reads an array whose value is not known."""
    return any(isinstance(each, jax.core.Tracer) for each in self._reads)

  def _state(self) -> tuple[Any, ...]:
    return tuple(id(each) if isinstance(each, jax.Array) else each for each in self._reads)

  def __eq__(self, other: object) -> bool:
    # The arrays are held, so that no other array can have the identity of one of them.
    return (
      isinstance(other, Closure)
      and type(self.value) is type(other.value)
      and self._key == other._key
      and self._state() == other._state()
    )

  def __hash__(self) -> int:
    return hash((self._key, self._state()))


def code_of(value: Any) -> types.CodeType | None:
  """What a function of a user's has in common with one that is made anew; None for any other."""
  function = value.func if isinstance(value, functools.partial) else value
  function = getattr(function, '__wrapped__', function)
  function = getattr(function, '__func__', function)
  return None if _of_a_library(function) else getattr(function, '__code__', None)


def _of_a_library(function: Any) -> bool:
  return (getattr(function, '__module__', None) or '').split('.')[0] in _LIBRARIES


def _is_hashable(value: Any) -> bool:
  try:
    hash(value)
  except TypeError:
    return False
  return True


def _reads(value: Any) -> Iterator[Any]:
  """The JAX arrays that a value reaches, the sums of NumPy's, and numbers that are not whole."""
  stack: list[Any] = [value]
  seen: set[int] = set()
  while stack and len(seen) < _MOST:
    one = stack.pop()
    if isinstance(one, np.ndarray):
      yield id(one) if one.dtype == object else zlib.crc32(np.ascontiguousarray(one).tobytes())
    elif isinstance(one, jax.Array | float | bool):
      yield one
    elif id(one) not in seen and not isinstance(one, _ATOMS):
      seen.add(id(one))
      stack.extend(_inside(one))


def _inside(value: Any) -> list[Any]:
  match value:
    case dict():
      return list(value.values())
    case list() | tuple() | set() | frozenset():
      return list(value)
    case functools.partial():
      return [value.func, value.args, value.keywords]
    case types.MethodType():
      return [value.__self__, value.__func__]
    case types.FunctionType():
      return _of_function(value)
  if hasattr(value, '__wrapped__'):  # A jitted function.
    return [value.__wrapped__]
  return [getattr(value, '__dict__', None), *_slots(value)]


def _slots(value: Any) -> list[Any]:
  names = [n for kind in type(value).__mro__ for n in getattr(kind, '__slots__', ()) or ()]
  return [getattr(value, name, None) for name in names if isinstance(name, str)]


def _of_function(function: types.FunctionType) -> list[Any]:
  if _of_a_library(function):
    return []
  named = [function.__globals__.get(name) for name in _names(function.__code__)]
  cells = []
  for cell in function.__closure__ or ():
    try:
      cells.append(cell.cell_contents)
    except ValueError:  # It is not filled yet.
      continue
  return [*named, *cells, function.__defaults__, function.__kwdefaults__]


def _names(code: types.CodeType) -> Iterator[str]:
  """The names that a function's code, and that of the functions inside it, may look up."""
  yield from code.co_names
  for constant in code.co_consts:
    if isinstance(constant, types.CodeType):
      yield from _names(constant)
