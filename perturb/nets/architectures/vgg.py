"""VGG16, with and without batch normalisation, as in torchvision or as in Caffe.

Source: Simonyan and Zisserman, Very deep convolutional networks (ICLR 2015), configuration D.
"""

import functools

from perturb.nets.layers import AdaptiveMeanPool, BatchNorm, Conv, Dense, MaxPool, Relu, WindowDense
from perturb.nets.network import Layers, Network

VGG16_GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(Network):
  """Layers `features.0` ... `features.30` (43 with batch norm), `avgpool`, `classifier.0` ... `.6`.

  The papers' names `conv1_1` ... `conv5_3`, `pool1` ... `pool5`, `fc6`, `fc7`, `fc8` are accepted;
  `conv5_3` is the output of the ReLU (`features.29`), as in Caffe, and `features.28` the
  convolution's.

  Attributes:
    groups: widths of the convolutions, a tuple for each resolution.
    batch_norm: normalise after every convolution.
    hidden: width of the first two linear layers.
    class_maps: run the linear layers as convolutions, and return maps of logits
      `[N, h, w, classes]`.
    caffe: Caffe's size of a pooled image, which rounds up; the same where the size is even.
  """

  groups: tuple[tuple[int, ...], ...] = VGG16_GROUPS
  batch_norm: bool = False
  hidden: int = 4096
  class_maps: bool = False
  caffe: bool = False

  def build_layers(self) -> Layers:
    layers = Layers()
    for group in self.groups:
      for width in group:
        layers.add(f'features.{len(layers)}', functools.partial(Conv, width, 3, 1, 1, True))
        if self.batch_norm:
          layers.add(f'features.{len(layers)}', BatchNorm)
        layers.add(f'features.{len(layers)}', Relu)
      layers.add(f'features.{len(layers)}', functools.partial(MaxPool, 2, 2, round_up=self.caffe))
    if not self.class_maps:
      layers.add('avgpool', functools.partial(AdaptiveMeanPool, 7))
    layers.add('classifier.0', functools.partial(WindowDense, self.hidden, 7, self.class_maps))
    layers.add('classifier.1', Relu)
    layers.add('classifier.3', functools.partial(Dense, self.hidden))
    layers.add('classifier.4', Relu)
    layers.add('classifier.6', functools.partial(Dense, self.classes))
    return layers

  def aliases(self) -> dict[str, str]:
    names: dict[str, str] = {}
    index = -1
    for g, group in enumerate(self.groups, start=1):
      for c in range(1, len(group) + 1):
        index += 3 if self.batch_norm else 2
        names[f'conv{g}_{c}'] = names[f'relu{g}_{c}'] = f'features.{index}'
      index += 1
      names[f'pool{g}'] = f'features.{index}'
    return names | {
      'fc6': 'classifier.1',
      'relu6': 'classifier.1',
      'fc7': 'classifier.4',
      'relu7': 'classifier.4',
      'fc8': 'classifier.6',
      # Dropout, which does nothing but in training.
      'classifier.2': 'classifier.1',
      'classifier.5': 'classifier.4',
    }

  def dropouts(self) -> dict[str, float]:
    return {'classifier.2': 0.5, 'classifier.5': 0.5}
