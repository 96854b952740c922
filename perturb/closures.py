"""What a plain function reads beside its arguments, which a compiled program takes in as it was.

A function such as `lambda x: model(x)` does not change when the weights of `model` are replaced, by
training for example. A program that was compiled for it would go on with the old ones. So what a
function reads is part of what it is compiled for: arrays, numbers and texts, other functions, and
what these read; in closures, globals, containers, attributes, and the classes and modules of a
user's. Nothing is called for it. Not seen are what a library or C code keeps to itself, and what
comes after `MOST` objects.
"""

from collections import deque
from collections.abc import Iterator
import functools
import pathlib
import sys
import types
from typing import Any
import zlib

import jax
import numpy as np

MOST = 5_000  # Objects that are looked at.
_LIBRARIES = {'jax', 'jaxlib', 'flax', 'numpy', 'optax', 'equinox', 'perturb', 'concepts'}
_LIBRARIES |= set(sys.stdlib_module_names) - {'__main__'}
_VALUES = (str, bytes, int, float, complex, bool, type(None))

Path = tuple[str, ...]  # How something is reached: ('global model', '.w').


class Closure:
  """A static argument, equal to itself as long as what it reads is the same.

  Attributes:
    value: the argument, most often a function.
  """

  def __init__(self, value: Any) -> None:
    self.value = value
    self._key = value if _is_hashable(value) else id(value)
    self._held: list[Any] = [value]  # So that no other object can have the identity of one.
    self.traced = False  # Whether it reads an array whose value is not known.
    reads = {path: self._token(one) for path, one in _reads(value)}
    ignored = _CHANGED_BY_TRACING.get(code_of(value), frozenset())
    self._state = tuple((path, reads[path]) for path in reads if path not in ignored)
    self._hash = hash((self._key, self._state))

  def _token(self, one: Any) -> Any:
    self.traced = self.traced or isinstance(one, jax.core.Tracer)
    if isinstance(one, np.ndarray) and one.dtype != object:
      content = np.ascontiguousarray(one).reshape(-1).view(np.uint8)
      return str(one.dtype), one.shape, zlib.crc32(content.data)
    if isinstance(one, float | complex):
      return type(one), repr(one)  # NaN is itself.
    if isinstance(one, _VALUES):
      return type(one), one
    self._held.append(one)
    return type(one), id(one)

  def changed_paths(self, now: 'Closure') -> frozenset[Path]:
    """Where what is read is no array and not as it is now."""
    before, after = dict(self._state), dict(now._state)
    return frozenset(
      path
      for path in before.keys() | after.keys()
      if before.get(path) != after.get(path) and not _is_array(before.get(path, after.get(path)))
    )

  def __eq__(self, other: object) -> bool:
    return (
      isinstance(other, Closure)
      and self._hash == other._hash
      and type(self.value) is type(other.value)
      and self._key == other._key
      and self._state == other._state
    )

  def __hash__(self) -> int:
    return self._hash


# By code: what tracing a function changes itself, as a counter of calls or a cache, is not what it
# depends on.
_CHANGED_BY_TRACING: dict[types.CodeType | None, frozenset[Path]] = {}


def was_traced(before: Closure) -> None:
  """Learns what the trace of a function has changed of what it reads."""
  code = code_of(before.value)
  changed = before.changed_paths(Closure(before.value))
  if code is not None and changed:
    _CHANGED_BY_TRACING[code] = _CHANGED_BY_TRACING.get(code, frozenset()) | changed


def _is_array(token: Any) -> bool:
  kind = token[0] if isinstance(token, tuple) else None
  return isinstance(kind, str) or (isinstance(kind, type) and issubclass(kind, jax.Array))


def code_of(value: Any) -> types.CodeType | None:
  """What a function of a user's has in common with one that is made anew; None for any other.

  Of an object that is called, that of its class.
  """
  function = value.func if isinstance(value, functools.partial) else value
  function = getattr(function, '__wrapped__', function)
  function = getattr(function, '__func__', function)
  if not hasattr(function, '__code__'):
    function = vars(type(function)).get('__call__')
  return None if _of_a_library(function) else getattr(function, '__code__', None)


def _of_a_library(one: Any) -> bool:
  return _is_library(str(getattr(one, '__module__', None) or '').split('.')[0])


@functools.cache
def _is_library(package: str) -> bool:
  """Whether a package is not a user's own: it is of these, or installed among others."""
  if package == '__main__':  # Of a notebook, its file is that of its kernel.
    return False
  file = getattr(sys.modules.get(package), '__file__', None) or ''
  installed = not {'site-packages', 'dist-packages'}.isdisjoint(pathlib.Path(file).parts)
  return package in _LIBRARIES or installed


def _is_hashable(value: Any) -> bool:
  try:
    hash(value)
  except TypeError:
    return False
  return True


def _reads(value: Any) -> Iterator[tuple[Path, Any]]:
  """What a value reaches, each thing once, and how: what has nothing inside, and functions."""
  stack: list[tuple[Path, Any]] = [((), value)]
  seen: set[int] = set()
  for _ in range(MOST):
    if not stack:
      return
    path, one = stack.pop()
    if isinstance(one, (*_VALUES, jax.Array, np.ndarray)):
      yield path, one
    elif id(one) not in seen:
      seen.add(id(one))
      inside = _inside(one)
      if path and (isinstance(one, types.FunctionType) or not inside):
        yield path, one
      stack += [((*path, name), part) for name, part in inside]


def _inside(value: Any) -> list[tuple[str, Any]]:
  match value:
    case dict() | list() | tuple() | set() | frozenset() | deque() if len(value) > MOST:
      return []  # Known by its identity.
    case dict():
      return [(f'[{key!r}]', one) for key, one in value.items()]
    case list() | tuple() | set() | frozenset() | deque():
      return [(f'[{i}]', one) for i, one in enumerate(value)]
    case functools.partial():
      return [('func', value.func), ('args', value.args), ('keywords', value.keywords)]
    case types.MethodType():
      return [('self', value.__self__), ('func', value.__func__)]
    case types.FunctionType():
      return [] if _of_a_library(value) else _of_function(value)
    case property():
      return [('get', value.fget)]
    case staticmethod() | classmethod():
      return [('func', value.__func__)]
    case type():
      return [] if _of_a_library(value) else _of_names(vars(value))
    case types.ModuleType():
      return []  # `_of_function` takes what is read of it.
  if hasattr(type(value), '__wrapped__') or '__wrapped__' in getattr(value, '__dict__', {}):
    return [('wrapped', value.__wrapped__)]  # A jitted function.
  wrapped = getattr(value, '__wrapped__', None) if callable(value) else None
  if wrapped is not None:
    return [('wrapped', wrapped)]
  kinds = [kind for kind in type(value).__mro__ if not _of_a_library(kind)]
  return [
    *_of_names(getattr(value, '__dict__', None) or {}),
    *_of_slots(value),
    *((f'class {kind.__qualname__}', kind) for kind in kinds if kind is not object),
  ]


def _of_names(named: Any) -> list[tuple[str, Any]]:
  hidden = ('__dict__', '__weakref__', '__doc__', '__module__', '__annotations__')
  return [(f'.{name}', one) for name, one in dict(named).items() if name not in hidden]


def _of_slots(value: Any) -> list[tuple[str, Any]]:
  found = []
  for kind in type(value).__mro__:
    for name, member in vars(kind).items():
      if isinstance(member, types.MemberDescriptorType):
        try:
          found.append((f'.{name}', member.__get__(value, type(value))))
        except AttributeError:  # It is not filled.
          continue
  return found


def _of_function(function: types.FunctionType) -> list[tuple[str, Any]]:
  names = list(dict.fromkeys(_names(function.__code__)))
  found: list[tuple[str, Any]] = []
  for name in names:
    if name not in function.__globals__:
      continue
    one = function.__globals__[name]
    if isinstance(one, types.ModuleType):
      found += _of_module(one, names)
    else:
      found.append((f'global {name}', one))
  for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
    try:
      found.append((f'cell {name}', cell.cell_contents))
    except ValueError:  # It is not filled yet.
      continue
  beside = {'defaults': function.__defaults__, 'keywords': function.__kwdefaults__}
  return [*found, *beside.items(), *_of_names(function.__dict__)]


def _of_module(module: types.ModuleType, names: list[str]) -> list[tuple[str, Any]]:
  """What a function's names may be in a module of a user's."""
  if _is_library(module.__name__.split('.')[0]):
    return []
  return [
    (f'module {module.__name__}.{name}', getattr(module, name))
    for name in names
    if hasattr(module, name)
  ]


def _names(code: types.CodeType) -> Iterator[str]:
  """The names that a function's code, and that of the functions inside it, may look up."""
  yield from code.co_names
  for constant in code.co_consts:
    if isinstance(constant, types.CodeType):
      yield from _names(constant)
