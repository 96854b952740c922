"""Dense convolution, with its backward pass in the form that is fastest on each backend.

On a GPU or a TPU the library's convolution is used. On a CPU, XLA's own is as fast as a matrix
product where it has many output channels; its transpose is not: it copies the kernel at each call,
and scatters over the input's pixels where there is a stride. The forms below were chosen by
measurement; all give the same numbers up to rounding.
"""

from collections.abc import Callable
import functools

import jax
import jax.numpy as jnp

from perturb.nets.kernels.padding import Padding

LAYOUT = ('NHWC', 'HWIO', 'NHWC')

# Floats of an intermediate result that still stay in a CPU's caches.
SMALL, LARGE = 2**21, 2**22
FEW_CHANNELS = 64  # At or below, XLA's CPU convolution runs at half speed.
IMAGE_CHANNELS = 4
FEW_PHASES = 16  # At or below, a convolution with so many outputs is slower than a product.


def library_conv(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
  """The library's convolution; see `conv`."""
  return jax.lax.conv_general_dilated(
    x, kernel, (stride, stride), padding, dimension_numbers=LAYOUT
  )


def _pad(x: jax.Array, padding: Padding) -> jax.Array:
  if padding == ((0, 0), (0, 0)):
    return x
  return jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), *padding, (0, 0))))


def _each(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
  """One image after the other, so that what is between stays in the caches."""
  if x.shape[0] == 1:
    return function(x)
  return jax.lax.map(lambda image: function(image[None])[0], x)


def _by_rows(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
  """A row of the kernel at a time, as a matrix product; stride 1."""
  k, channels, features = kernel.shape[0], *kernel.shape[2:]
  x = _pad(x, padding)
  rows, columns = x.shape[1] - k + 1, x.shape[2] - k + 1
  shifted = [x[:, :, j : j + columns] for j in range(k)]
  wide = jax.lax.optimization_barrier(jnp.concatenate(shifted, axis=-1))
  weights = kernel.reshape(k, k * channels, features)
  return functools.reduce(jnp.add, [wide[:, i : i + rows] @ weights[i] for i in range(k)])


def _windows(x: jax.Array, k: int, stride: int, padding: Padding) -> jax.Array:
  """All windows side by side, `[N, h, w, k * reach * stride * C]`; for few channels.

  A line of pixels is read as one of `stride` pixels with as many times the channels, so that a
  window is `reach` whole ones, wherever it begins; what it holds beyond k columns does not count.
  """
  channels, reach = x.shape[3], -(-k // stride)
  (top, bottom), (left, right) = padding
  rows = (x.shape[1] + top + bottom - k) // stride + 1
  columns = (x.shape[2] + left + right - k) // stride + 1
  width = columns + reach - 1
  sides = [(top, bottom, 0), (left, width * stride - x.shape[2] - left, 0)]
  x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *sides, (0, 0, 0)])
  x = jax.lax.optimization_barrier(x).reshape(*x.shape[:2], width, stride * channels)
  x = jnp.concatenate([x[:, :, j : j + columns] for j in range(reach)], axis=-1)
  x = jax.lax.optimization_barrier(x)
  x = jnp.concatenate([x[:, i : i + (rows - 1) * stride + 1 : stride] for i in range(k)], axis=-1)
  return jax.lax.optimization_barrier(x)


def _by_windows(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
  """All windows side by side, as one matrix product; for few channels."""
  k, features = kernel.shape[0], kernel.shape[3]
  weights = jnp.pad(kernel, ((0, 0), (0, -k % stride), (0, 0), (0, 0)))
  return _windows(x, k, stride, padding) @ weights.reshape(-1, features)


def _kernel_of_phases(kernel: jax.Array, stride: int) -> jax.Array:
  """`[reach, reach, stride^2 C, F]`: for an image whose stride x stride pixels are channels."""
  k, _, channels, features = kernel.shape
  reach = -(-k // stride)
  fill = (0, stride * reach - k)
  parts = jnp.pad(kernel, (fill, fill, (0, 0), (0, 0)))
  parts = parts.reshape(reach, stride, reach, stride, channels, features)
  return parts.transpose(0, 2, 1, 3, 4, 5).reshape(reach, reach, -1, features)


def _by_phases(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
  """A convolution of stride 1 of stride^2 times as many channels; for few channels."""
  parts = _kernel_of_phases(kernel, stride)
  sizes = [
    (size + sum(side) - kernel.shape[0]) // stride + parts.shape[0]
    for size, side in zip(x.shape[1:3], padding, strict=True)
  ]
  sides = [
    (low, size * stride - old - low, 0)
    for old, size, (low, _) in zip(x.shape[1:3], sizes, padding, strict=True)
  ]
  x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *sides, (0, 0, 0)])
  x = x.reshape(-1, sizes[0], stride, sizes[1], stride, x.shape[3])
  x = x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, *sizes, parts.shape[2])
  return library_conv(jax.lax.optimization_barrier(x), parts, 1, ((0, 0), (0, 0)))


def _forward(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
  k, _, channels, features = kernel.shape
  if k == 1:
    return _pad(x, padding)[:, ::stride, ::stride] @ kernel[0, 0]
  wide = x.shape[1] * x.shape[2] * k * channels
  if channels <= IMAGE_CHANNELS and features <= FEW_CHANNELS // 2:
    if k > 2 * stride > 2:  # Where padding the kernel to whole strides adds little.
      return _each(lambda image: _by_phases(image, kernel, stride, padding), x)
    function = functools.partial(_by_windows, kernel=kernel, stride=stride, padding=padding)
    return function(x) if wide * k // stride**2 * x.shape[0] <= LARGE else _each(function, x)
  few = channels >= FEW_CHANNELS // 2 and features <= FEW_CHANNELS
  if stride == 1 and few and wide < SMALL // 2:
    return _each(lambda image: _by_rows(image, kernel, padding), x)
  return library_conv(x, kernel, stride, padding)


def _scatter(columns: jax.Array, shape: tuple[int, ...], stride: int, padding: Padding):
  """Adds up, at each input pixel, what every offset of the kernel sends there.

  Args:
    columns: `[N, h, w, k, k, C]`.
    shape: of the input, `[N, H, W, C]`.
  """
  _, h, w, k, _, _ = columns.shape

  def sent(i: int, j: int) -> jax.Array:
    sides = [
      (offset - low, size + low - offset - ((out - 1) * stride + 1), stride - 1)
      for offset, size, out, (low, _) in zip((i, j), shape[1:3], (h, w), padding, strict=True)
    ]
    zero = jnp.zeros((), columns.dtype)
    return jax.lax.pad(columns[:, :, :, i, j], zero, [(0, 0, 0), *sides, (0, 0, 0)])

  return functools.reduce(jnp.add, [sent(i, j) for i in range(k) for j in range(k)])


def _to_input(g: jax.Array, kernel: jax.Array, shape, stride: int, padding: Padding) -> jax.Array:
  """The transposed convolution as one matrix product, and a sum over the kernel's offsets."""
  k, _, channels, features = kernel.shape
  columns = jnp.einsum('nhwf,kf->nhwk', g, kernel.reshape(-1, features))
  columns = jax.lax.optimization_barrier(columns.reshape(*g.shape[:3], k, k, channels))
  return _scatter(columns, (g.shape[0], *shape[1:]), stride, padding)


def _to_input_by_phases(
  g: jax.Array, kernel: jax.Array, shape, stride: int, padding: Padding
) -> jax.Array:
  """The transposed convolution as one of stride 1 to stride^2 times as many channels.

  Pixel stride * q + a of the (padded) input receives sum_t g[q - t] kernel[stride * t + a].
  """
  channels, parts = kernel.shape[2], _kernel_of_phases(kernel, stride)
  n, rows, columns = g.shape[0], *(size + parts.shape[0] - 1 for size in g.shape[1:3])
  shape_of_phases, nothing = (n, rows, columns, parts.shape[2]), ((0, 0), (0, 0))
  if parts.shape[2] <= FEW_PHASES:
    phases = _to_input(g, parts, shape_of_phases, 1, nothing)
  else:
    like = jax.ShapeDtypeStruct(shape_of_phases, g.dtype)
    (phases,) = jax.linear_transpose(lambda h: library_conv(h, parts, 1, nothing), like)(g)
  phases = phases.reshape(n, rows, columns, stride, stride, channels).transpose(0, 1, 3, 2, 4, 5)
  whole = phases.reshape(n, rows * stride, columns * stride, channels)
  sides = [
    (0, max(0, size + low - out * stride), 0)
    for size, out, (low, _) in zip(shape[1:3], (rows, columns), padding, strict=True)
  ]
  whole = jax.lax.pad(whole, jnp.zeros((), g.dtype), [(0, 0, 0), *sides, (0, 0, 0)])
  (top, _), (left, _) = padding
  return whole[:, top : top + shape[1], left : left + shape[2]]


def _to_kernel(
  g: jax.Array, x: jax.Array, shape: tuple[int, ...], stride: int, padding: Padding
) -> jax.Array:
  """The gradient of the kernel, `shape`: a matrix product for each of its offsets.

  XLA runs its own, a convolution with a kernel as large as the image, on one core inside a loop.
  """
  k, _, channels, features = shape
  if channels <= IMAGE_CHANNELS:  # A product of its own for each offset would be too thin.
    return _to_kernel_by_windows(g, x, shape, stride, padding)
  x, flat = _pad(x, padding), g.reshape(-1, features)
  rows, columns = ((size - 1) * stride + 1 for size in g.shape[1:3])
  seen = [
    x[:, i : i + rows : stride, j : j + columns : stride].reshape(-1, channels)
    for i in range(k)
    for j in range(k)
  ]
  return jnp.concatenate([part.T @ flat for part in seen]).reshape(shape)


def _to_kernel_by_windows(
  g: jax.Array, x: jax.Array, shape: tuple[int, ...], stride: int, padding: Padding
) -> jax.Array:
  """The same, one image after the other: its windows stay in the caches."""
  k, _, channels, features = shape

  def add(total: jax.Array, image: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
    seen = _windows(image[0][None], k, stride, padding)
    return total + image[1].reshape(-1, features).T @ seen.reshape(-1, seen.shape[-1]), None

  zeros = jnp.zeros((features, k * (k + -k % stride) * channels), g.dtype)
  total, _ = jax.lax.scan(add, zeros, (x, g))
  return total.T.reshape(k, k + -k % stride, channels, features)[:, :k]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def cpu_conv(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
  """Convolution in a CPU's fastest form; see `conv`."""
  return _forward(x, kernel, stride, padding)


def _cpu_forward(x, kernel, stride, padding):
  return cpu_conv(x, kernel, stride, padding), (x, kernel)


def _cpu_backward(stride, padding, residuals, g):
  x, kernel = residuals
  k, _, channels, _ = kernel.shape
  size = g.shape[1] * g.shape[2] * k * k * channels
  back = functools.partial(_to_input, kernel=kernel, shape=x.shape, stride=stride, padding=padding)
  if channels <= IMAGE_CHANNELS:
    dx = _to_input_by_phases(g, kernel, x.shape, stride, padding)
  elif size * g.shape[0] <= LARGE:
    dx = back(g)
  elif size <= SMALL and (channels <= FEW_CHANNELS or stride > 1):
    dx = _each(back, g)
  else:
    (dx,) = jax.linear_transpose(lambda h: library_conv(h, kernel, stride, padding), x)(g)
  return dx, _to_kernel(g, x, kernel.shape, stride, padding)


cpu_conv.defvjp(_cpu_forward, _cpu_backward)


def conv(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
  """Dense convolution, in the form that is fastest on the default backend.

  Args:
    x: images `[N, H, W, C]`.
    kernel: `[k, k, C, F]`.
    stride: in pixels.
    padding: `((top, bottom), (left, right))` in pixels, filled with zeros.

  Returns:
    `[N, h, w, F]`.
  """
  if jax.default_backend() == 'cpu':
    return cpu_conv(x, kernel, stride, padding)
  return library_conv(x, kernel, stride, padding)
