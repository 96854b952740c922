"""The layers of the networks under study, as Flax modules on `[N, H, W, C]`.

Batch normalisation uses its stored statistics, and dropout does not exist: a network under study
is not in training.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from perturb.nets.kernels import padding as pad
from perturb.nets.kernels.convolution import conv
from perturb.nets.kernels.depthwise import depthwise_conv
from perturb.nets.kernels.pooling import adaptive_mean_matrix, max_pool


class Conv(nn.Module):
  """Square convolution.

  Attributes:
    features: number of filters; ignored if `depthwise`.
    kernel_size: side, in pixels.
    stride: in pixels.
    padding: zeros on each side, in pixels; None for TensorFlow's SAME.
    use_bias: whether a bias is added.
    depthwise: one filter a channel.
  """

  features: int
  kernel_size: int = 1
  stride: int = 1
  padding: int | None = None
  use_bias: bool = False
  depthwise: bool = False

  def padding_of(self, shape: Sequence[int]) -> pad.Padding:
    """The zeros around an image `[H, W]`."""
    if self.padding is None:
      return pad.same(shape, self.kernel_size, self.stride)
    return pad.symmetric(self.padding)

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    k = self.kernel_size
    channels = (x.shape[-1],) if self.depthwise else (x.shape[-1], self.features)
    kernel = self.param('kernel', nn.initializers.he_normal(), (k, k, *channels))
    padding = self.padding_of(x.shape[1:3])
    if self.depthwise:
      x = depthwise_conv(x, kernel, self.stride, padding)
    elif k == 1 and self.stride == 1 and padding == pad.symmetric(0):
      x = x @ kernel[0, 0]
    else:
      x = conv(x, kernel, self.stride, padding)
    if self.use_bias:
      x = x + self.param('bias', nn.initializers.zeros, (x.shape[-1],))
    return x


class Dense(nn.Module):
  """Linear layer on `[N, C]`, or on every pixel of `[N, H, W, C]`."""

  features: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = self.param('kernel', nn.initializers.he_normal(), (x.shape[-1], self.features))
    return x @ kernel + self.param('bias', nn.initializers.zeros, (self.features,))


class WindowDense(nn.Module):
  """Linear layer on a whole image of `window` x `window` pixels: the first one above a convolution.

  Attributes:
    features: number of outputs.
    window: side of the image it was made for, in pixels.
    slide: apply it to every window of a larger image, as a convolution, and return a map
      `[N, H - window + 1, W - window + 1, features]`; otherwise `[N, features]`.
  """

  features: int
  window: int
  slide: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (self.window, self.window, x.shape[-1], self.features)
    kernel = self.param('kernel', nn.initializers.he_normal(in_axis=(0, 1, 2)), shape)
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    if x.shape[1:3] != shape[:2] and self.slide:
      return conv(x, kernel, 1, pad.symmetric(0)) + bias
    flat = x.reshape(x.shape[0], -1) @ kernel.reshape(-1, self.features) + bias
    return flat[:, None, None] if self.slide else flat


class BatchNorm(nn.Module):
  """Batch normalisation by its stored statistics: one multiply-add a value."""

  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    features = (x.shape[-1],)
    scale = self.param('scale', nn.initializers.ones, features)
    bias = self.param('bias', nn.initializers.zeros, features)
    mean = self.variable('batch_stats', 'mean', jnp.zeros, features)
    var = self.variable('batch_stats', 'var', jnp.ones, features)
    gain = scale * jax.lax.rsqrt(var.value + self.epsilon)
    return x * gain + (bias - mean.value * gain)


class LocalResponseNorm(nn.Module):
  """x / (k + alpha * sum of the squares of `size` neighbouring channels) ** beta."""

  size: int = 5
  k: float = 2.0
  alpha: float = 1e-4  # MatConvNet's; Caffe and PyTorch divide theirs by `size`.
  beta: float = 0.75

  def __call__(self, x: jax.Array) -> jax.Array:
    half = self.size // 2
    squares = jnp.pad(x * x, ((0, 0), (0, 0), (0, 0), (half, self.size - 1 - half)))
    total = sum(squares[..., i : i + x.shape[-1]] for i in range(self.size))
    return x * (self.k + self.alpha * total) ** -self.beta


class Relu(nn.Module):
  """max(x, 0), and at most `cap` if there is one."""

  cap: float | None = None

  def __call__(self, x: jax.Array) -> jax.Array:
    return nn.relu(x) if self.cap is None else jnp.clip(x, 0.0, self.cap)


class MaxPool(nn.Module):
  """Maximum over square windows.

  Attributes:
    window: side, in pixels.
    stride: in pixels.
    padding: on each side, in pixels.
    round_up: whether a last window that is not full counts (Caffe; `ceil_mode` of PyTorch).
  """

  window: int
  stride: int
  padding: int = 0
  round_up: bool = False

  def __call__(self, x: jax.Array) -> jax.Array:
    padding = pad.symmetric(self.padding)
    if self.round_up:
      padding = pad.rounded_up(x.shape[1:3], self.window, self.stride, self.padding)
    return max_pool(x, self.window, self.stride, padding)


class MeanPool(nn.Module):
  """Mean over the square windows of side `window`, at every pixel; no padding."""

  window: int

  def __call__(self, x: jax.Array) -> jax.Array:
    window = (1, self.window, self.window, 1)
    total = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, (1, 1, 1, 1), 'VALID')
    return total / self.window**2


class AdaptiveMeanPool(nn.Module):
  """Mean over `bins` x `bins` cells that cover an image of any size."""

  bins: int

  def __call__(self, x: jax.Array) -> jax.Array:
    if x.shape[1:3] == (self.bins, self.bins):
      return x
    rows, columns = (adaptive_mean_matrix(size, self.bins) for size in x.shape[1:3])
    return jnp.einsum('ih,nhwc,jw->nijc', rows, x, columns)


class GlobalMean(nn.Module):
  """Mean over the two spatial axes: `[N, H, W, C] -> [N, C]`."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return jnp.mean(x, axis=(1, 2))


class Add(nn.Module):
  """Sum of a residual block's branch and of its shortcut."""

  def __call__(self, branch: jax.Array, shortcut: jax.Array) -> jax.Array:
    return branch + shortcut


class Concatenate(nn.Module):
  """Branches side by side, along the channels."""

  def __call__(self, *branches: jax.Array) -> jax.Array:
    return jnp.concatenate(branches, axis=-1)


class Softmax(nn.Module):
  """Probabilities from logits."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return nn.softmax(x)
