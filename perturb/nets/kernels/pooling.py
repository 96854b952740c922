"""Max pooling in the form that is fastest on each backend, and adaptive mean pooling.

XLA's CPU backend runs the backward pass of a windowed maximum as a scatter, one pixel at a time.
Written over the window's offsets it is a handful of whole-array operations.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from perturb.nets.kernels.padding import Padding


def _offset(x: jax.Array, i: int, j: int, size: tuple[int, int], stride: int) -> jax.Array:
  """The pixel (i, j) of every window: `[N, h, w, C]`."""
  limits = (
    x.shape[0],
    i + (size[0] - 1) * stride + 1,
    j + (size[1] - 1) * stride + 1,
    x.shape[3],
  )
  return jax.lax.slice(x, (0, i, j, 0), limits, (1, stride, stride, 1))


def _pad(x: jax.Array, padding: Padding, value: float) -> jax.Array:
  if padding == ((0, 0), (0, 0)):
    return x
  config = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
  # The barrier keeps XLA from evaluating the padding again at every offset.
  return jax.lax.optimization_barrier(jax.lax.pad(x, jnp.array(value, x.dtype), config))


def _output_size(shape: tuple[int, ...], window: int, stride: int, padding: Padding):
  rows, columns = (
    (size + low + high - window) // stride + 1
    for size, (low, high) in zip(shape[1:3], padding, strict=True)
  )
  return rows, columns


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def max_pool_shifted(x: jax.Array, window: int, stride: int, padding: Padding) -> jax.Array:
  """Max pooling as a maximum over the window's offsets; see `max_pool`."""
  size = _output_size(x.shape, window, stride, padding)
  padded = _pad(x, padding, -jnp.inf)
  offsets = [(i, j) for i in range(window) for j in range(window)]
  return functools.reduce(jnp.maximum, [_offset(padded, i, j, size, stride) for i, j in offsets])


def _forward(x, window, stride, padding):
  y = max_pool_shifted(x, window, stride, padding)
  return y, (x, y)


def _backward(window, stride, padding, residuals, g):
  """Each window gives its gradient to its first maximum, in reading order.

  The gradient is put together from stride x stride interleaved images ("phases"): pixel
  stride * q + a belongs to the windows q - t that hold it at offset a + stride * t.
  """
  x, y = residuals
  size = y.shape[1:3]
  padded = _pad(x, padding, -jnp.inf)
  winner = jnp.full(y.shape, -1, jnp.int8)
  for k in reversed(range(window * window)):
    here = _offset(padded, k // window, k % window, size, stride) == y
    winner = jnp.where(here, jnp.int8(k), winner)
  reach = (window - 1) // stride  # How many windows before its own a pixel can belong to.
  rows, columns = (
    max(-(-n // stride), out + reach) for n, out in zip(padded.shape[1:3], size, strict=True)
  )
  around = [(reach, rows - size[0]), (reach, columns - size[1])]
  winner, g = (
    jax.lax.pad(v, jnp.array(fill, v.dtype), [(0, 0, 0), *((*n, 0) for n in around), (0, 0, 0)])
    for v, fill in ((winner, -1), (g, 0))
  )
  winner, g = jax.lax.optimization_barrier((winner, g))

  def part(i: int, j: int) -> jax.Array:
    """What windows give to the pixels that they hold at offset (i, j)."""
    top, left = reach - i // stride, reach - j // stride
    won = winner[:, top : top + rows, left : left + columns] == i * window + j
    return jnp.where(won, g[:, top : top + rows, left : left + columns], 0)

  def phase(a: int, b: int) -> jax.Array:
    parts = [part(i, j) for i in range(a, window, stride) for j in range(b, window, stride)]
    zeros = jnp.zeros((g.shape[0], rows, columns, g.shape[3]), g.dtype)
    return functools.reduce(jnp.add, parts, zeros)

  lines = []
  for a in range(stride):
    # Laid side by side as channels, neighbouring pixels are where they belong in memory.
    pixels = jax.lax.optimization_barrier([phase(a, b) for b in range(stride)])
    line = jnp.concatenate(pixels, axis=-1).reshape(g.shape[0], rows, -1)
    lines.append(jax.lax.optimization_barrier(line))
  whole = jax.lax.optimization_barrier(jnp.concatenate(lines, axis=-1))
  whole = whole.reshape(g.shape[0], rows * stride, columns * stride, g.shape[3])
  top, left = padding[0][0], padding[1][0]
  return (whole[:, top : top + x.shape[1], left : left + x.shape[2]],)


max_pool_shifted.defvjp(_forward, _backward)


def max_pool(x: jax.Array, window: int, stride: int, padding: Padding) -> jax.Array:
  """Maximum over square windows, in the form that is fastest on the default backend.

  Args:
    x: images `[N, H, W, C]`.
    window: side, in pixels.
    stride: in pixels.
    padding: `((top, bottom), (left, right))` in pixels, never a maximum.

  Returns:
    `[N, h, w, C]`. The gradient of a window goes to its first maximum, in reading order.
  """
  if jax.default_backend() == 'cpu':
    return max_pool_shifted(x, window, stride, padding)
  return jax.lax.reduce_window(
    x,
    -jnp.inf,
    jax.lax.max,
    (1, window, window, 1),
    (1, stride, stride, 1),
    ((0, 0), *padding, (0, 0)),
  )


def adaptive_mean_matrix(size: int, bins: int) -> np.ndarray:
  """`[bins, size]`: the mean over pixels floor(i size / bins) to ceil((i + 1) size / bins)."""
  matrix = np.zeros((bins, size), np.float32)
  for i in range(bins):
    low, high = i * size // bins, -(-(i + 1) * size // bins)
    matrix[i, low:high] = 1 / (high - low)
  return matrix
