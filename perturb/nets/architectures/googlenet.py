"""GoogLeNet with batch normalisation, as in torchvision.

Source: Szegedy et al., Going deeper with convolutions (CVPR 2015). torchvision's network, and its
weights, have batch normalisation, and 3 x 3 filters in the branch that has 5 x 5 ones in the paper.
"""

import functools

from perturb.nets.layers import (
  BatchNorm,
  Concatenate,
  Conv,
  Dense,
  GlobalMean,
  MaxPool,
  MeanPool,
  Relu,
)
from perturb.nets.network import INPUT, Layers, Network

# Module: widths of 1x1, 3x3 reduce, 3x3, "5x5" reduce, "5x5", pool projection.
INCEPTIONS = {
  '3a': (64, 96, 128, 16, 32, 32),
  '3b': (128, 128, 192, 32, 96, 64),
  '4a': (192, 96, 208, 16, 48, 64),
  '4b': (160, 112, 224, 24, 64, 64),
  '4c': (128, 128, 256, 24, 64, 64),
  '4d': (112, 144, 288, 32, 64, 64),
  '4e': (256, 160, 320, 32, 128, 128),
  '5a': (256, 160, 320, 32, 128, 128),
  '5b': (384, 192, 384, 48, 128, 128),
}


class GoogLeNet(Network):
  """Layers `conv1.conv`, `conv1.bn`, `conv1`, `maxpool1` ... `inception5b`, `avgpool`, `fc`.

  `conv1` is the output of the ReLU. Module `inception4d` has `inception4d.branch1`, `.branch2.0`,
  `.branch2.1`, `.branch3.0`, `.branch3.1`, `.branch4.0` (pooling) and `.branch4.1`, each but the
  pooling with its `.conv` and `.bn`; its output is `inception4d`. The names `inception_4d`,
  `inception_4d/output`, `mixed4d` and `loss3/classifier` are accepted.

  Attributes:
    divisor: of all widths; 1 for the published network.
    class_maps: mean over windows of 7 x 7 instead of the whole image, and maps of logits
      `[N, h, w, classes]`.
  """

  divisor: int = 1
  class_maps: bool = False

  def build_layers(self) -> Layers:
    layers = Layers()
    pool = functools.partial(MaxPool, round_up=True)
    self._conv(layers, 'conv1', INPUT, 64, 7, 2)
    layers.add('maxpool1', functools.partial(pool, 3, 2))
    self._conv(layers, 'conv2', 'maxpool1', 64)
    self._conv(layers, 'conv3', 'conv2', 192, 3)
    layers.add('maxpool2', functools.partial(pool, 3, 2))
    for name, widths in INCEPTIONS.items():
      self._inception(layers, f'inception{name}', widths)
      if name == '3b':
        layers.add('maxpool3', functools.partial(pool, 3, 2))
      elif name == '4e':
        layers.add('maxpool4', functools.partial(pool, 2, 2))
    layers.add('avgpool', functools.partial(MeanPool, 7) if self.class_maps else GlobalMean)
    layers.add('fc', functools.partial(Dense, self.classes))
    return layers

  def _conv(
    self, layers: Layers, name: str, below: str, width: int, kernel: int = 1, stride: int = 1
  ) -> str:
    """Appends a convolution, its normalisation and its ReLU."""
    width //= self.divisor
    layers.add(f'{name}.conv', functools.partial(Conv, width, kernel, stride, kernel // 2), below)
    layers.add(f'{name}.bn', functools.partial(BatchNorm, 1e-3))
    return layers.add(name, Relu)

  def _inception(self, layers: Layers, name: str, widths: tuple[int, ...]) -> None:
    below = layers[-1].name
    one, reduce3, three, reduce5, five, project = widths
    branches = [self._conv(layers, f'{name}.branch1', below, one)]
    for branch, reduce, width in (('branch2', reduce3, three), ('branch3', reduce5, five)):
      reduced = self._conv(layers, f'{name}.{branch}.0', below, reduce)
      branches.append(self._conv(layers, f'{name}.{branch}.1', reduced, width, 3))
    pool = functools.partial(MaxPool, 3, 1, 1, round_up=True)
    pooled = layers.add(f'{name}.branch4.0', pool, below)
    branches.append(self._conv(layers, f'{name}.branch4.1', pooled, project))
    layers.add(name, Concatenate, *branches)

  def aliases(self) -> dict[str, str]:
    names = {'loss3/classifier': 'fc', 'dropout': 'avgpool'}
    for module in INCEPTIONS:
      for alias in (f'inception_{module}', f'inception_{module}/output', f'mixed{module}'):
        names[alias] = f'inception{module}'
    return names

  def unused(self, tensor: str) -> bool:
    """The auxiliary classifiers, which only training uses."""
    return tensor.startswith(('aux1.', 'aux2.'))
