"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation, with ReLU6.

Source: Tan and Le, EfficientNet (ICML 2019); the "Lite" variants of the TensorFlow TPU models.
"""

from collections.abc import Callable
import functools
import math

import flax.linen as nn

from perturb.nets.layers import Add, BatchNorm, Conv, Dense, GlobalMean, Relu
from perturb.nets.network import Layers, Network

# (repeats, kernel, stride of the first, expansion, width)
Blocks = tuple[tuple[int, int, int, int, int], ...]
LITE0_BLOCKS: Blocks = (
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)


def scaled(width: float, depth: float) -> Blocks:
  """The blocks of a larger variant.

  Widths are rounded to multiples of 8; the first and the last group keep their depth.
  """
  blocks = []
  for i, (repeats, kernel, stride, expansion, features) in enumerate(LITE0_BLOCKS):
    wide = int(features * width + 4) // 8 * 8
    wide += 8 if wide < 0.9 * features * width else 0
    deep = repeats if i in (0, len(LITE0_BLOCKS) - 1) else math.ceil(repeats * depth)
    blocks.append((deep, kernel, stride, expansion, wide))
  return tuple(blocks)


class EfficientNetLite(Network):
  """Layers `stem.conv`, `stem.norm`, `stem`, `blocks.0...`, `head`, `pool`, `logits`.

  Block `blocks.4` has the layers `blocks.4.expand_conv`, `.expand_norm`, `.expand`,
  `.depthwise_conv`, `.depthwise_norm`, `.depthwise`, `.project_conv`, `.project_norm`; its output
  is `blocks.4`: a sum, or `.project_norm` where the shape changes. The first block has no
  expansion.

  Attributes:
    blocks: a row for each group of blocks: repeats, kernel, stride, expansion, width.
    stem: width of the first convolution.
    head: width of the last convolution.
  """

  blocks: Blocks = LITE0_BLOCKS
  stem: int = 32
  head: int = 1280

  def build_layers(self) -> Layers:
    layers = Layers()
    self._conv(layers, 'stem.conv', 'stem.norm', functools.partial(Conv, self.stem, 3, 2))
    layers.add('stem', functools.partial(Relu, 6.0))
    width, number = self.stem, 0
    for repeats, kernel, stride, expansion, features in self.blocks:
      for i in range(repeats):
        step = stride if i == 0 else 1
        self._block(layers, f'blocks.{number}', width, features, kernel, step, expansion)
        width, number = features, number + 1
    self._conv(layers, 'head.conv', 'head.norm', functools.partial(Conv, self.head))
    layers.add('head', functools.partial(Relu, 6.0))
    layers.add('pool', GlobalMean)
    layers.add('logits', functools.partial(Dense, self.classes))
    return layers

  def _conv(self, layers: Layers, name: str, norm: str, build: Callable[..., nn.Module]) -> str:
    layers.add(name, build)
    return layers.add(norm, functools.partial(BatchNorm, 1e-3))

  def _block(
    self,
    layers: Layers,
    name: str,
    width: int,
    features: int,
    kernel: int,
    stride: int,
    expansion: int,
  ) -> None:
    """Expand by 1 x 1, filter depthwise, project by 1 x 1, add the input where shapes allow."""
    below, wide = layers[-1].name, width * expansion
    steps = [
      ('depthwise', functools.partial(Conv, wide, kernel, stride, depthwise=True)),
      ('project', functools.partial(Conv, features)),
    ]
    if expansion != 1:
      steps.insert(0, ('expand', functools.partial(Conv, wide)))
    for step, build in steps:
      last = self._conv(layers, f'{name}.{step}_conv', f'{name}.{step}_norm', build)
      if step != 'project':
        layers.add(f'{name}.{step}', functools.partial(Relu, 6.0))
    if stride == 1 and width == features:
      layers.add(name, Add, last, below)

  def aliases(self) -> dict[str, str]:
    names = {'_fc': 'logits'}
    listed = self.layer_names()
    for number in range(sum(repeats for repeats, *_ in self.blocks)):
      block = f'blocks.{number}'
      names[block] = names[f'_{block}'] = block if block in listed else f'{block}.project_norm'
    return names

  def torch_module(self, layer: str) -> str:
    names = {
      'expand_conv': '_expand_conv',
      'expand_norm': '_bn0',
      'depthwise_conv': '_depthwise_conv',
      'depthwise_norm': '_bn1',
      'project_conv': '_project_conv',
      'project_norm': '_bn2',
    }
    outer = {
      'stem.conv': '_conv_stem',
      'stem.norm': '_bn0',
      'head.conv': '_conv_head',
      'head.norm': '_bn1',
      'logits': '_fc',
    }
    if layer in outer:
      return outer[layer]
    block, _, step = layer.rpartition('.')
    return f'_{block}.{names[step]}'
