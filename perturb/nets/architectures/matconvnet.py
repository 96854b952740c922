"""The networks of Oramas et al.: VGG-F, and two small ones, with MatConvNet's layers.

Sources: Chatfield et al., Return of the devil in the details (BMVC 2014), CNN-F; the MNIST example
of MatConvNet; Oramas et al., Visual explanation by interpretation (ICLR 2019). The papers count
every layer, the softmax included.
"""

import functools

from perturb.nets.layers import Conv, Dense, LocalResponseNorm, MaxPool, Relu, WindowDense
from perturb.nets.network import Layers, Network


class VGGF(Network):
  """VGG-F: `conv1`, `relu1`, `norm1`, `pool1` ... `pool5`, `fc6`, `relu6` ... `fc8`, `prob`.

  The 21 layers of the paper. Unlike Caffe's, the name `conv1` is the convolution's output.

  Attributes:
    widths: of the five convolutions.
    hidden: width of the first two linear layers.
    class_maps: run the linear layers as convolutions, and return maps of logits
      `[N, h, w, classes]`.
  """

  widths: tuple[int, ...] = (64, 256, 256, 256, 256)
  hidden: int = 4096
  class_maps: bool = False

  def build_layers(self) -> Layers:
    layers = Layers()
    for number, width in enumerate(self.widths, start=1):
      kernel, stride, padding = {1: (11, 4, 0), 2: (5, 1, 2)}.get(number, (3, 1, 1))
      layers.add(f'conv{number}', functools.partial(Conv, width, kernel, stride, padding, True))
      layers.add(f'relu{number}', Relu)
      if number <= 2:
        layers.add(f'norm{number}', LocalResponseNorm)
      if number in (1, 2, 5):
        layers.add(f'pool{number}', functools.partial(MaxPool, 3, 2, round_up=True))
    layers.add('fc6', functools.partial(WindowDense, self.hidden, 6, self.class_maps))
    layers.add('relu6', Relu)
    layers.add('fc7', functools.partial(Dense, self.hidden))
    layers.add('relu7', Relu)
    layers.add('fc8', functools.partial(Dense, self.classes))
    return layers


class MNISTNet(Network):
  """The digits' network: `conv1`, `pool1`, `conv2`, `pool2`, `conv3`, `relu3`, `fc4`, `prob`.

  For images `[N, 28, 28, 1]`. `conv3` reads the whole 4 x 4 image: `[N, 500]`.
  """

  classes: int = 10

  def build_layers(self) -> Layers:
    layers = Layers()
    layers.add('conv1', functools.partial(Conv, 20, 5, 1, 0, True))
    layers.add('pool1', functools.partial(MaxPool, 2, 2))
    layers.add('conv2', functools.partial(Conv, 50, 5, 1, 0, True))
    layers.add('pool2', functools.partial(MaxPool, 2, 2))
    layers.add('conv3', functools.partial(WindowDense, 500, 4))
    layers.add('relu3', Relu)
    layers.add('fc4', functools.partial(Dense, self.classes))
    return layers


class FlowerNet(Network):
  """A network of the 10 layers of the an8Flower study, for images `[N, 112, 112, 3]`.

  `conv1`, `relu1`, `pool1`, `conv2`, `relu2`, `pool2`, `fc3`, `relu3`, `fc4`, `prob`. The authors
  give the number of layers and the size of the input; the sizes of the layers are ours.
  """

  classes: int = 12

  def build_layers(self) -> Layers:
    layers = Layers()
    layers.add('conv1', functools.partial(Conv, 32, 7, 2, 0, True))
    layers.add('relu1', Relu)
    layers.add('pool1', functools.partial(MaxPool, 3, 2))
    layers.add('conv2', functools.partial(Conv, 64, 5, 2, 2, True))
    layers.add('relu2', Relu)
    layers.add('pool2', functools.partial(MaxPool, 3, 2))
    layers.add('fc3', functools.partial(WindowDense, 256, 6))
    layers.add('relu3', Relu)
    layers.add('fc4', functools.partial(Dense, self.classes))
    return layers
