"""Loops over many problems whose memory is bounded: some at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def _even(count: int, chunk: int) -> tuple[int, int]:
  """The fewest chunks of at most so many, and the size that fills them best."""
  chunks = -(-count // chunk)
  return chunks, -(-count // chunks)


def mapped(function: Callable[[jax.Array], Any], count: int, chunk: int) -> Any:
  """`function(indices [chunk])` over 0 .. count - 1, one chunk after the other.

  Args:
    function: from indices to a pytree of `[chunk, ...]`.
    count: number of indices in all.
    chunk: how many indices at once, at most; the last chunk is filled up with repeats of the last
      index.

  Returns:
    The pytree with `[count, ...]`.
  """
  chunks, chunk = _even(count, chunk)
  index = jnp.minimum(jnp.arange(chunks * chunk), count - 1).reshape(chunks, chunk)
  results = jax.lax.map(function, index)
  return jax.tree.map(lambda r: r.reshape(chunks * chunk, *r.shape[2:])[:count], results)


def summed(
  function: Callable[[jax.Array, jax.Array, Any], Any], start: Any, count: int, chunk: int
) -> Any:
  """Folds `total = function(indices [chunk], weights [chunk], total)` over 0 .. count - 1.

  Args:
    function: adds what some indices give, times their weights (0 where the last chunk is filled
      up), to the total.
    start: the total before anything is added to it.
    count: number of indices in all.
    chunk: how many indices at once, at most.
  """
  chunks, chunk = _even(count, chunk)

  def step(i, total):
    index = i * chunk + jnp.arange(chunk)
    inside = (index < count).astype(jnp.float32)
    return function(jnp.minimum(index, count - 1), inside, total)

  return jax.lax.fori_loop(0, chunks, step, start)


def default_chunk(size: tuple[int, ...]) -> int:
  """Images `[H, W]` that are differentiated at once.

  On a CPU as many as stay in its caches, which is one of 224 x 224 pixels; elsewhere 32 of these.
  """
  return _as_many_as(1 if jax.default_backend() == 'cpu' else 32, size)


def default_forward_chunk(size: tuple[int, ...]) -> int:
  """Images `[H, W]` that go forward at once, where nothing is kept for a way back.

  Four of 224 x 224 pixels on a CPU, 64 elsewhere.
  """
  return _as_many_as(4 if jax.default_backend() == 'cpu' else 64, size)


def _as_many_as(count: int, size: tuple[int, ...]) -> int:
  """Images of this size that have as many pixels as `count` of 224 x 224; at least one."""
  return max(1, count * 224 * 224 // (size[0] * size[1]))
