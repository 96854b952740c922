"""AlexNet, as in torchvision.

Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks (2014): one
column, no response normalisation.
"""

import functools

from perturb.nets.layers import AdaptiveMeanPool, Conv, Dense, MaxPool, Relu, WindowDense
from perturb.nets.network import Layers, Network

# (width, kernel, stride, padding, whether a max pooling follows)
ALEXNET_CONVS = (
  (64, 11, 4, 2, True),
  (192, 5, 1, 2, True),
  (384, 3, 1, 1, False),
  (256, 3, 1, 1, False),
  (256, 3, 1, 1, True),
)


class AlexNet(Network):
  """Layers `features.0` ... `features.12`, `avgpool`, `classifier.1` ... `classifier.6`.

  The papers' names `conv1` ... `conv5`, `pool1`, `pool2`, `pool5`, `fc6`, `fc7`, `fc8` are
  accepted; `conv5` is the output of the ReLU, as in Caffe, and `features.10` the convolution's.

  Attributes:
    convs: a row for each convolution: width, kernel, stride, padding, whether a pooling follows.
    window: side of the image that the linear layers read.
    hidden: width of the first two linear layers.
    class_maps: run the linear layers as convolutions, and return maps of logits
      `[N, h, w, classes]`.
  """

  convs: tuple[tuple[int, int, int, int, bool], ...] = ALEXNET_CONVS
  window: int = 6
  hidden: int = 4096
  class_maps: bool = False

  def build_layers(self) -> Layers:
    layers = Layers()
    for width, kernel, stride, padding, pool in self.convs:
      layers.add(
        f'features.{len(layers)}', functools.partial(Conv, width, kernel, stride, padding, True)
      )
      layers.add(f'features.{len(layers)}', Relu)
      if pool:
        layers.add(f'features.{len(layers)}', functools.partial(MaxPool, 3, 2))
    if not self.class_maps:
      layers.add('avgpool', functools.partial(AdaptiveMeanPool, self.window))
    layers.add(
      'classifier.1', functools.partial(WindowDense, self.hidden, self.window, self.class_maps)
    )
    layers.add('classifier.2', Relu)
    layers.add('classifier.4', functools.partial(Dense, self.hidden))
    layers.add('classifier.5', Relu)
    layers.add('classifier.6', functools.partial(Dense, self.classes))
    return layers

  def aliases(self) -> dict[str, str]:
    names: dict[str, str] = {}
    index = 0
    for number, (*_, pool) in enumerate(self.convs, start=1):
      names[f'conv{number}'] = names[f'relu{number}'] = f'features.{index + 1}'
      if pool:
        names[f'pool{number}'] = f'features.{index + 2}'
      index += 3 if pool else 2
    return names | {
      'fc6': 'classifier.2',
      'relu6': 'classifier.2',
      'fc7': 'classifier.5',
      'relu7': 'classifier.5',
      'fc8': 'classifier.6',
      # Dropout, which does nothing but in training.
      'classifier.0': f'features.{index - 1}' if self.class_maps else 'avgpool',
      'classifier.3': 'classifier.2',
    }

  def dropouts(self) -> dict[str, float]:
    return {'classifier.0': 0.5, 'classifier.3': 0.5}
