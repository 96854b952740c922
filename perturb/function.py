"""What a method takes: any function of images to scores, and a class of each image.

A network bound to its weights is a callable pytree: its arrays are passed to the compiled program
as arguments. A plain function is compiled in.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError

Function = Callable[[jax.Array], jax.Array]  # [N, H, W, C] -> [N, K], or [N, h, w, K]
Images = jax.Array | np.ndarray  # [B, H, W, C], or one image [H, W, C]
Target = int | Sequence[int] | jax.Array | np.ndarray  # one index for all images, or [B]


def class_scores(outputs: jax.Array) -> jax.Array:
  """`[N, K]` as it is, or a map `[N, h, w, K]` as its spatial mean `[N, K]`."""
  return outputs.reshape(outputs.shape[0], -1, outputs.shape[-1]).mean(axis=1)


def pick(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """The score of each image's target: `[N]`."""
  return jnp.take_along_axis(class_scores(outputs), targets[:, None], axis=1)[:, 0]


def probability(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """Softmax probability of each image's target: `[N]`."""
  return pick(jax.nn.softmax(class_scores(outputs)), targets)


Score = Literal['score', 'probability']  # What f gives, or its softmax.
SCORES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
  'score': pick,
  'probability': probability,
}


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


def _call(f: Function, x: jax.Array) -> jax.Array:
  return f(x)


def check_images(x: Images) -> jax.Array:
  """Images as float32 `[B, H, W, C]`.

  Raises:
    UserError: for another number of axes.
  """
  x = jnp.asarray(x, jnp.float32)
  if x.ndim == 3:
    x = x[None]
  if x.ndim != 4:
    raise UserError(f'x must be [B, H, W, C] or [H, W, C], not of shape {x.shape}')
  return x


def count_outputs(f: Function, x: jax.Array) -> int:
  """K, the number of scores that f gives an image.

  Raises:
    UserError: unless f returns `[N, K]` or `[N, h, w, K]`.
  """
  shape = shapes_of(_call, f, x).shape
  if len(shape) not in (2, 4):
    raise UserError(f'f must return [N, K] or [N, h, w, K], not {shape}')
  return shape[-1]


def check_targets(f: Function, x: jax.Array, target: Target) -> jax.Array:
  """Targets as int32 `[B]`.

  Raises:
    UserError: for a target that is not an output of f.
  """
  if isinstance(target, jax.core.Tracer):  # Inside another method, which has checked it.
    return jnp.broadcast_to(target, x.shape[:1])
  outputs, targets = count_outputs(f, x), np.asarray(target)
  if not np.issubdtype(targets.dtype, np.integer) or targets.shape not in ((), x.shape[:1]):
    raise UserError(f'target must be one integer or {x.shape[0]} of them, not {target!r}')
  if targets.min() < 0 or targets.max() >= outputs:
    raise UserError(f'target {target}: f has outputs 0 to {outputs - 1}')
  return jnp.broadcast_to(jnp.asarray(targets, jnp.int32), x.shape[:1])


def _even(count: int, chunk: int) -> tuple[int, int]:
  """The fewest chunks of at most so many, and the size that fills them best."""
  chunks = -(-count // chunk)
  return chunks, -(-count // chunks)


def mapped(function: Callable[[jax.Array], Any], count: int, chunk: int) -> Any:
  """`function(indices [chunk])` over 0 .. count - 1, one chunk after the other.

  Args:
    function: of indices to a pytree of `[chunk, ...]`.
    count: number of indices.
    chunk: how many at once, at most; the last chunk is filled up with repeats of the last index.

  Returns:
    The pytree with `[count, ...]`.
  """
  chunks, chunk = _even(count, chunk)
  index = jnp.minimum(jnp.arange(chunks * chunk), count - 1).reshape(chunks, chunk)
  results = jax.lax.map(function, index)
  return jax.tree.map(lambda r: r.reshape(-1, *r.shape[2:])[:count], results)


def summed(
  function: Callable[[jax.Array, jax.Array, Any], Any], start: Any, count: int, chunk: int
) -> Any:
  """Folds `total = function(indices [chunk], weights [chunk], total)` over 0 .. count - 1.

  Args:
    function: adds what some indices give, times their weights (0 where the last chunk is filled
      up), to the total.
    start: the total of nothing.
    count: number of indices.
    chunk: how many at once, at most.
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
