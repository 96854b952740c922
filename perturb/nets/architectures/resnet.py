"""ResNet50, as in torchvision or as in Caffe.

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
  and `fc1000` are accepted.

  Attributes:
    depths: number of bottleneck blocks at each resolution.
    width: of the first convolution; the blocks' widths follow from it.
    class_maps: mean over windows of 7 x 7 instead of the whole image, and maps of logits
      `[N, h, w, classes]`.
    caffe: as the authors' network, which strides in the first 1 x 1 convolution of a block, and
      rounds the size of the pooled image up instead of padding it.
  """

  depths: tuple[int, ...] = (3, 4, 6, 3)
  width: int = 64
  class_maps: bool = False
  caffe: bool = False

  def build_layers(self) -> Layers:
    layers = Layers()
    layers.add('conv1', functools.partial(Conv, self.width, 7, 2, 3))
    layers.add('bn1', BatchNorm)
    layers.add('relu', Relu)
    pool = (
      functools.partial(MaxPool, 3, 2, round_up=True)
      if self.caffe
      else functools.partial(MaxPool, 3, 2, 1)
    )
    layers.add('maxpool', pool)
    for stage, depth in enumerate(self.depths):
      for index in range(depth):
        stride = 2 if stage > 0 and index == 0 else 1
        self._block(layers, f'layer{stage + 1}.{index}', self.width * 2**stage, stride, index == 0)
    layers.add('avgpool', functools.partial(MeanPool, 7) if self.class_maps else GlobalMean)
    layers.add('fc', functools.partial(Dense, self.classes))
    return layers

  def _block(self, layers: Layers, name: str, width: int, stride: int, project: bool) -> None:
    """Appends a bottleneck block."""
    shortcut = layers[-1].name
    strides = (stride, 1) if self.caffe else (1, stride)
    layers.add(f'{name}.conv1', functools.partial(Conv, width, 1, strides[0], 0))
    layers.add(f'{name}.bn1', BatchNorm)
    layers.add(f'{name}.relu1', Relu)
    layers.add(f'{name}.conv2', functools.partial(Conv, width, 3, strides[1], 1))
    layers.add(f'{name}.bn2', BatchNorm)
    layers.add(f'{name}.relu2', Relu)
    layers.add(f'{name}.conv3', functools.partial(Conv, width * EXPANSION, 1, 1, 0))
    branch = layers.add(f'{name}.bn3', BatchNorm)
    if project:
      convolution = functools.partial(Conv, width * EXPANSION, 1, stride, 0)
      layers.add(f'{name}.downsample.0', convolution, shortcut)
      shortcut = layers.add(f'{name}.downsample.1', BatchNorm)
    layers.add(f'{name}.add', Add, branch, shortcut)
    layers.add(name, Relu)

  def aliases(self) -> dict[str, str]:
    names = {'pool1': 'maxpool', 'pool5': 'avgpool', 'fc1000': 'fc', 'conv1_relu': 'relu'}
    for stage, depth in enumerate(self.depths, start=1):
      names[f'layer{stage}'] = f'layer{stage}.{depth - 1}'
      for index in range(min(depth, 26)):
        names[f'res{stage + 1}{chr(ord("a") + index)}'] = f'layer{stage}.{index}'
    return names
