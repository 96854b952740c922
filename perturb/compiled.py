"""`jax.jit` for arguments that may be anything: callable pytrees, strings, numbers.

A network bound to its weights is a callable pytree: its arrays are passed to the compiled program
as arguments. A plain function is compiled in.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class _Joiner:
  """Hashable, so that one network compiles once."""

  tree: Any
  rest: tuple[Any, ...]

  def __call__(self, arrays: list[Any]) -> Any:
    remaining = iter(arrays)
    leaves = [next(remaining) if leaf is None else leaf for leaf in self.rest]
    return jax.tree.unflatten(self.tree, leaves)


def split(f: Any) -> tuple[list[Any], _Joiner]:
  """The arrays inside a callable pytree, and how to put them back."""
  leaves, tree = jax.tree.flatten(f)
  is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
  rest = tuple(None if array else leaf for leaf, array in zip(leaves, is_array, strict=True))
  arrays = [leaf for leaf, array in zip(leaves, is_array, strict=True) if array]
  return arrays, _Joiner(tree, rest)


@functools.partial(jax.jit, static_argnames=('function', 'join'))
def _run(arrays, *, function, join):
  arguments, options = join(arrays)
  return function(*arguments, **options)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
  """`jax.jit` whose arguments may be anything: the arrays in them are traced, the rest static."""

  @functools.wraps(function)
  def call(*arguments: Any, **options: Any) -> Any:
    arrays, join = split((arguments, options))
    return _run(arrays, function=function, join=join)

  return call


@functools.lru_cache(maxsize=512)
def _shapes(function, join, leaves):
  def of_arrays(arrays):
    return function(*join(arrays))

  return jax.eval_shape(of_arrays, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])


def shapes_of(function: Callable[..., Any], *arguments: Any) -> Any:
  """As `jax.eval_shape`, for any arguments, and remembered: tracing a network takes a while."""
  arrays, join = split(arguments)
  return _shapes(function, join, tuple((array.shape, array.dtype) for array in arrays))
