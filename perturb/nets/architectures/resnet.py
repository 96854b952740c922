"""ResNets: of 50 layers and the like, as in torchvision or as in Caffe; of 18; small ones.

Source: He et al., Deep residual learning for image recognition (CVPR 2016).
"""

import functools

from perturb.nets.layers import Add, BatchNorm, Conv, Dense, GlobalMean, MaxPool, MeanPool, Relu
from perturb.nets.network import Layers, Network

EXPANSION = 4  # A bottleneck's output is this many times as wide as its inside.


class ResNet(Network):
  """Layers `conv1`, `bn1`, `relu`, `maxpool`, `layer1.0.conv1` ... `layer4.2`, `avgpool`, `fc`.

  Block `layer3.0` has the layers `layer3.0.conv1`, `.bn1`, `.relu1`, `.conv2`, `.bn2`, `.relu2`,
  `.conv3`, `.bn3`, where the shape changes `.downsample.0` and `.downsample.1`, then `.add`; its
  output is `layer3.0`. `layer3` is the last block's, and Caffe's names `res4a` ... `res5c`, `pool5`
  and `fc1000` are accepted. A basic block ends with `.bn2` and `.add`. A small network has no
  `maxpool`.

  Attributes:
    depths: number of blocks at each resolution.
    width: of the first convolution; the blocks' widths follow from it.
    class_maps: mean over windows of 7 x 7 instead of the whole image, and maps of logits
      `[N, h, w, classes]`.
    caffe: as the authors' network, which strides in the first 1 x 1 convolution of a block, and
      rounds the size of the pooled image up instead of padding it.
    basic: blocks of two 3 x 3 convolutions, as in ResNet18, instead of bottlenecks.
    small: for images of about 32 x 32 pixels: a first convolution of 3 x 3 without stride, and no
      pooling after it, as in section 4.2 of the paper.
  """

  depths: tuple[int, ...] = (3, 4, 6, 3)
  width: int = 64
  class_maps: bool = False
  caffe: bool = False
  basic: bool = False
  small: bool = False

  def build_layers(self) -> Layers:
    layers = Layers()
    self._stem(layers)
    block = self._basic_block if self.basic else self._bottleneck
    for stage, depth in enumerate(self.depths):
      for index in range(depth):
        stride = 2 if stage > 0 and index == 0 else 1
        project = index == 0 and not (self.basic and stage == 0)
        block(layers, f'layer{stage + 1}.{index}', self.width * 2**stage, stride, project)
    layers.add('avgpool', functools.partial(MeanPool, 7) if self.class_maps else GlobalMean)
    layers.add('fc', functools.partial(Dense, self.classes))
    return layers

  def _stem(self, layers: Layers) -> None:
    kernel, stride = (3, 1) if self.small else (7, 2)
    layers.add('conv1', functools.partial(Conv, self.width, kernel, stride, kernel // 2))
    layers.add('bn1', BatchNorm)
    layers.add('relu', Relu)
    if not self.small:
      pool = {'round_up': True} if self.caffe else {'padding': 1}
      layers.add('maxpool', functools.partial(MaxPool, 3, 2, **pool))

  def _bottleneck(self, layers: Layers, name: str, width: int, stride: int, project: bool) -> None:
    below = layers[-1].name
    strides = (stride, 1) if self.caffe else (1, stride)
    layers.add(f'{name}.conv1', functools.partial(Conv, width, 1, strides[0], 0))
    layers.add(f'{name}.bn1', BatchNorm)
    layers.add(f'{name}.relu1', Relu)
    layers.add(f'{name}.conv2', functools.partial(Conv, width, 3, strides[1], 1))
    layers.add(f'{name}.bn2', BatchNorm)
    layers.add(f'{name}.relu2', Relu)
    layers.add(f'{name}.conv3', functools.partial(Conv, width * EXPANSION, 1, 1, 0))
    branch = layers.add(f'{name}.bn3', BatchNorm)
    self._sum(layers, name, branch, below, (width * EXPANSION, stride) if project else None)

  def _basic_block(self, layers: Layers, name: str, width: int, stride: int, project: bool) -> None:
    below = layers[-1].name
    layers.add(f'{name}.conv1', functools.partial(Conv, width, 3, stride, 1))
    layers.add(f'{name}.bn1', BatchNorm)
    layers.add(f'{name}.relu1', Relu)
    layers.add(f'{name}.conv2', functools.partial(Conv, width, 3, 1, 1))
    branch = layers.add(f'{name}.bn2', BatchNorm)
    self._sum(layers, name, branch, below, (width, stride) if project else None)

  def _sum(
    self,
    layers: Layers,
    name: str,
    branch: str,
    shortcut: str,
    projection: tuple[int, int] | None,
  ) -> None:
    """Appends the end of a block; the shortcut is projected to a (width, stride), if any."""
    if projection:
      width, stride = projection
      convolution = functools.partial(Conv, width, 1, stride, 0)
      layers.add(f'{name}.downsample.0', convolution, shortcut)
      shortcut = layers.add(f'{name}.downsample.1', BatchNorm)
    layers.add(f'{name}.add', Add, branch, shortcut)
    layers.add(name, Relu)

  def dropout_layers(self) -> tuple[str, ...]:
    """After every convolution of the last two resolutions: blocks 3 and 4 of ResNet50.

    After its normalisation and its ReLU, as in the authors' code of DropBlock. The last one of a
    block is the branch of its sum.
    """
    ends = ('.relu1', '.add') if self.basic else ('.relu1', '.relu2', '.add')
    last = [*enumerate(self.depths, start=1)][-2:]
    return tuple(
      f'layer{stage}.{index}{end}'
      for stage, depth in last
      for index in range(depth)
      for end in ends
    )

  def aliases(self) -> dict[str, str]:
    names = {'pool5': 'avgpool', 'fc1000': 'fc', 'conv1_relu': 'relu'}
    if not self.small:
      names['pool1'] = 'maxpool'
    for stage, depth in enumerate(self.depths, start=1):
      names[f'layer{stage}'] = f'layer{stage}.{depth - 1}'
      for index in range(min(depth, 26)):
        names[f'res{stage + 1}{chr(ord("a") + index)}'] = f'layer{stage}.{index}'
    return names
