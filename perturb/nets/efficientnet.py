"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6.

Source: Tan and Le, EfficientNet (ICML 2019); the "Lite" variants of the TensorFlow TPU models.
"""

from collections.abc import Callable
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from perturb.nets.layers import Conv, FrozenBatchNorm
from perturb.nets.network import Network

# (repeats, kernel, stride of the first, expansion, width)
LITE0_BLOCKS = (
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)


def relu6(x: jax.Array) -> jax.Array:
  """min(max(x, 0), 6)."""
  return jnp.clip(x, 0.0, 6.0)


class ConvNorm(nn.Module):
  """Convolution, batch norm, ReLU6: the stem and the head."""

  features: int
  kernel_size: int = 1
  stride: int = 1

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = Conv(self.features, self.kernel_size, self.stride, name='conv')(x)
    return relu6(FrozenBatchNorm(name='norm')(x))


class InvertedResidual(nn.Module):
  """Expand by 1 x 1, filter depthwise, project by 1 x 1, add the input where shapes allow."""

  features: int
  kernel_size: int
  stride: int
  expansion: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    h = x
    width = x.shape[-1] * self.expansion
    if self.expansion != 1:
      h = Conv(width, name='expand_conv')(h)
      h = relu6(FrozenBatchNorm(name='expand_norm')(h))
    h = Conv(width, self.kernel_size, self.stride, depthwise=True, name='depthwise_conv')(h)
    h = relu6(FrozenBatchNorm(name='depthwise_norm')(h))
    h = Conv(self.features, name='project_conv')(h)
    h = FrozenBatchNorm(name='project_norm')(h)
    return x + h if h.shape == x.shape else h


class GlobalMean(nn.Module):
  """Mean over the two spatial axes: `[N, h, w, c] -> [N, c]`."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return jnp.mean(x, axis=(1, 2))


class EfficientNetLite(Network):
  """Layers `stem`, `blocks.0` ... `blocks.15`, `head`, `pool`, `logits`.

  Attributes:
    blocks: a row for each group of blocks: repeats, kernel, stride, expansion, width.
    stem: width of the first convolution.
    head: width of the last convolution.
    classes: number of logits.
  """

  blocks: tuple[tuple[int, int, int, int, int], ...] = LITE0_BLOCKS
  stem: int = 32
  head: int = 1280
  classes: int = 1000

  def layers(self) -> list[tuple[str, Callable[..., nn.Module]]]:
    layers: list[tuple[str, Callable[..., nn.Module]]] = [
      ('stem', functools.partial(ConvNorm, self.stem, 3, 2))
    ]
    for repeats, kernel, stride, expansion, width in self.blocks:
      for i in range(repeats):
        layers.append(
          (
            f'blocks.{len(layers) - 1}',
            functools.partial(InvertedResidual, width, kernel, stride if i == 0 else 1, expansion),
          )
        )
    return [
      *layers,
      ('head', functools.partial(ConvNorm, self.head)),
      ('pool', GlobalMean),
      ('logits', functools.partial(nn.Dense, self.classes)),
    ]


_TORCH_NAMES = {
  'conv': '_conv',
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
  'expand_conv': '_expand_conv',
  'expand_norm': '_bn0',
  'depthwise_conv': '_depthwise_conv',
  'depthwise_norm': '_bn1',
  'project_conv': '_project_conv',
  'project_norm': '_bn2',
}


def torch_name(path: tuple[str, ...]) -> str:
  """The key in the PyTorch checkpoint of one leaf, e.g. ('stem', 'conv', 'kernel')."""
  layer, *rest = path
  if layer == 'logits':
    module = '_fc'
  elif layer in ('stem', 'head'):
    module = f'_conv_{layer}' if rest[0] == 'conv' else {'stem': '_bn0', 'head': '_bn1'}[layer]
  else:
    module = f'_{layer}.{_TORCH_NAMES[rest[0]]}'
  return f'{module}.{_TORCH_NAMES[rest[-1]]}'
