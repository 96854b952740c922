"""`jax.jit` for arguments that may be anything: callable pytrees, strings, numbers, functions.

A network bound to its weights is a callable pytree: its arrays are passed to the compiled program
as arguments, as are those of a Flax module that is bound to its variables. A plain function is
compiled in. Compiled programs are kept, so many of them that a loop over models and methods finds
its own again, and no more; of functions with the same code, those of the last three.
"""

from collections import OrderedDict
from collections.abc import Callable
import dataclasses
import functools
import threading
import types
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from perturb.closures import Closure, code_of, was_traced
from perturb.errors import warn

MOST_PROGRAMS = 512
MOST_OF_ONE_CODE = 3


@dataclasses.dataclass(frozen=True)
class _Joiner:
  """Hashable, so that one network compiles once."""

  tree: Any
  rest: tuple[Any, ...]

  def __call__(self, arrays: list[Any]) -> Any:
    remaining = iter(arrays)
    leaves = [next(remaining) if leaf is None else leaf for leaf in self.rest]
    leaves = [leaf.value if isinstance(leaf, Closure) else leaf for leaf in leaves]
    return jax.tree.unflatten(self.tree, leaves)

  def functions(self) -> list[Closure]:
    """The plain functions among the arguments."""
    return [leaf for leaf in self.rest if isinstance(leaf, Closure)]


@functools.partial(
  jax.tree_util.register_dataclass, data_fields=['variables'], meta_fields=['module']
)
@dataclasses.dataclass(frozen=True)
class _Bound:
  """A Flax module that is bound to its variables, as a pytree of these."""

  module: nn.Module
  variables: Any

  def __call__(self, *arguments: Any) -> Any:
    return self.module.apply(self.variables, *arguments)


def _as_pytree(value: Any) -> Any:
  if isinstance(value, nn.Module) and value.scope is not None:
    return _Bound(*value.unbind())
  return value


def _is_module(value: Any) -> bool:
  return isinstance(value, nn.Module)


def _static(leaf: Any) -> Any:
  """A leaf that is compiled in: a function, or another callable, with what it reads."""
  return Closure(leaf) if callable(leaf) and not isinstance(leaf, type) else leaf


def split(f: Any) -> tuple[list[Any], _Joiner]:
  """The arrays inside a callable pytree, and how to put them back."""
  leaves, tree = jax.tree.flatten(jax.tree.map(_as_pytree, f, is_leaf=_is_module))
  is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
  rest = [None if array else _static(leaf) for leaf, array in zip(leaves, is_array, strict=True)]
  arrays = [leaf for leaf, array in zip(leaves, is_array, strict=True) if array]
  return arrays, _Joiner(tree, tuple(rest))


class _Programs:
  """What was made for each function and its static arguments: the latest, and no more."""

  def __init__(self) -> None:
    self._lock = threading.RLock()
    self._made: OrderedDict[Any, Any] = OrderedDict()
    self._of_code: OrderedDict[Any, OrderedDict[Closure, None]] = OrderedDict()

  def get(self, key: tuple[Any, ...], join: _Joiner, make: Callable[[], Any]) -> Any:
    """What `make` gave for a key that begins with a function, or gives."""
    if any(each.traced for each in join.functions()):
      return make()  # It is of no use once the trace is over.
    with self._lock:
      if (key, join) in self._made:
        self._made.move_to_end((key, join))
        return self._made[key, join]
    made = make()  # Which may call a user's function, so not in the lock.
    with self._lock:
      for each in join.functions():
        self._count(key[0], each)
      made = self._made.setdefault((key, join), made)
      while len(self._made) > MOST_PROGRAMS:
        self._made.popitem(last=False)
    return made

  def _count(self, function: Callable[..., Any], value: Closure) -> None:
    """Drops what was made for the oldest function of a code, where there are several."""
    code = code_of(value.value)
    if code is None:
      return
    known = self._of_code.setdefault((function, code), OrderedDict())
    self._of_code.move_to_end((function, code))
    known[value] = None
    known.move_to_end(value)
    if len(known) >= MOST_OF_ONE_CODE:
      _warn_of(code)
    if len(known) > MOST_OF_ONE_CODE:
      self._drop(known.popitem(last=False)[0])
    while len(self._of_code) > MOST_PROGRAMS:
      self._of_code.popitem(last=False)

  def _drop(self, value: Closure) -> None:
    for entry in [entry for entry in self._made if value in entry[1].functions()]:
      made = self._made.pop(entry)
      if hasattr(made, 'clear_cache'):
        made.clear_cache()


@functools.cache
def _warn_of(code: types.CodeType) -> None:
  """Once for a code."""
  warn(
    f'a program is compiled a third time for {code.co_name!r} of '
    f'{code.co_filename}:{code.co_firstlineno}, which is another function at each call, or reads '
    'other arrays; define it once, and pass arrays that change as arguments: '
    'jax.tree_util.Partial(apply, variables)'
  )


_PROGRAMS = _Programs()


def _learn(join: _Joiner) -> None:
  for each in join.functions():
    if not each.traced:
      was_traced(each)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
  """`jax.jit` whose arguments may be anything: the arrays in them are traced, the rest static."""

  @functools.wraps(function)
  def call(*arguments: Any, **options: Any) -> Any:
    arrays, join = split((arguments, options))
    made = []

    def make() -> Any:
      def run(arrays: list[Any]) -> Any:
        arguments, options = join(arrays)
        return function(*arguments, **options)

      made.append(True)
      return jax.jit(run)

    result = _PROGRAMS.get((function,), join, make)(arrays)
    if made:
      _learn(join)
    return result

  return call


def shapes_of(function: Callable[..., Any], *arguments: Any) -> Any:
  """As `jax.eval_shape`, for any arguments, and remembered: tracing a network takes a while."""
  arrays, join = split(arguments)
  leaves = tuple((array.shape, array.dtype) for array in arrays)

  def make() -> Any:
    structs = [jax.ShapeDtypeStruct(*leaf) for leaf in leaves]
    shapes = jax.eval_shape(lambda arrays: function(*join(arrays)), structs)
    _learn(join)
    return shapes

  return _PROGRAMS.get((function, leaves), join, make)
