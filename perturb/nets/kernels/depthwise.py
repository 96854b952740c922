"""Depthwise convolution in the form that is fastest on each backend.

XLA's CPU backend has no fast path for grouped convolutions: it takes ten times as long as the
same sum written as shifted multiply-adds. A GPU or a TPU has one, so there the library's
convolution is used. Both forms give the same numbers up to rounding, and are differentiable.
"""

import functools

import jax
import jax.numpy as jnp

from perturb.nets.kernels.padding import Padding


def shifted_sum(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
  """Depthwise correlation without padding, as one fused sum over the kernel's offsets.

  Args:
    x: images `[N, H, W, C]`, already padded.
    kernel: `[kh, kw, C]`.
    stride: of the output, in pixels of `x`.

  Returns:
    `[N, (H - kh) // stride + 1, (W - kw) // stride + 1, C]`.
  """
  n, height, width, channels = x.shape
  kh, kw, _ = kernel.shape
  rows, columns = (height - kh) // stride + 1, (width - kw) // stride + 1
  total = jnp.zeros((), x.dtype)
  for i in range(kh):
    for j in range(kw):
      window = jax.lax.slice(
        x,
        (0, i, j, 0),
        (n, i + (rows - 1) * stride + 1, j + (columns - 1) * stride + 1, channels),
        (1, stride, stride, 1),
      )
      total = total + window * kernel[i, j]
  return total


def _pad(x: jax.Array, padding: Padding, interior: int = 0) -> jax.Array:
  config = [(0, 0, 0), *((low, high, interior) for low, high in padding), (0, 0, 0)]
  # The barrier keeps XLA from fusing the padding into the sum, where every one of the k * k
  # offsets would evaluate its border test again.
  return jax.lax.optimization_barrier(jax.lax.pad(x, jnp.zeros((), x.dtype), config))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv_shifted(
  x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> jax.Array:
  """Depthwise convolution as shifted multiply-adds; see `depthwise_conv`."""
  return shifted_sum(_pad(x, padding), kernel, stride)


def _depthwise_forward(x, kernel, stride, padding):
  return depthwise_conv_shifted(x, kernel, stride, padding), (x, kernel)


def _depthwise_backward(stride, padding, residuals, g):
  x, kernel = residuals
  kh, kw, _ = kernel.shape
  vertical, horizontal = (
    (k - 1 - low, size + low - (stride * (out - 1) + 1))
    for k, size, out, (low, _) in zip((kh, kw), x.shape[1:3], g.shape[1:3], padding, strict=True)
  )
  dx = shifted_sum(_pad(g, (vertical, horizontal), stride - 1), kernel[::-1, ::-1])
  padded = _pad(x, padding)
  rows, columns = g.shape[1:3]
  dkernel = jnp.stack(
    [
      jnp.stack(
        [
          jnp.sum(
            g
            * padded[
              :,
              i : i + (rows - 1) * stride + 1 : stride,
              j : j + (columns - 1) * stride + 1 : stride,
            ],
            axis=(0, 1, 2),
          )
          for j in range(kw)
        ]
      )
      for i in range(kh)
    ]
  )
  return dx, dkernel


depthwise_conv_shifted.defvjp(_depthwise_forward, _depthwise_backward)


def depthwise_conv(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
  """Depthwise convolution, in the form that is fastest on the default backend.

  Args:
    x: images `[N, H, W, C]`.
    kernel: `[kh, kw, C]`.
    stride: in pixels.
    padding: `((top, bottom), (left, right))` in pixels, filled with zeros.

  Returns:
    `[N, H', W', C]`.
  """
  if jax.default_backend() == 'cpu':
    return depthwise_conv_shifted(x, kernel, stride, padding)
  return jax.lax.conv_general_dilated(
    x,
    kernel[:, :, None, :],
    (stride, stride),
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=x.shape[-1],
  )
