"""A small network with named layers, and its images, shared by the tests of the methods."""

import functools

import numpy as np

from perturb.nets.layers import Conv, Dense, GlobalMean, MaxPool, Relu
from perturb.nets.network import Layers, Network
from perturb.nets.preprocessing import PREPROCESSINGS
from perturb.nets.pretrained import Pretrained
from tests import fixtures


class SmallNet(Network):
  """Three convolutions of 32 x 32 images (16 x 16, 16 x 16, 8 x 8), a global mean, 5 classes."""

  classes: int = 5

  def build_layers(self) -> Layers:
    layers = Layers()
    layers.add('conv1', functools.partial(Conv, 8, 3, 2, 1, use_bias=True))
    layers.add('relu1', Relu)
    layers.add('conv2', functools.partial(Conv, 12, 3, 1, 1, use_bias=True))
    layers.add('relu2', Relu)
    layers.add('pool2', functools.partial(MaxPool, 2, 2))
    layers.add('conv3', functools.partial(Conv, 10, 3, 1, 1, use_bias=True))
    layers.add('relu3', Relu)
    layers.add('mean', GlobalMean)
    layers.add('fc', functools.partial(Dense, self.classes))
    return layers


@functools.cache
def small_net() -> Pretrained:
  """`SmallNet` with the weights that `tests/record.py` gives its torch counterpart."""
  return Pretrained(
    network=SmallNet(),
    variables={'params': fixtures.method_weights()},
    size=32,
    preprocessing=PREPROCESSINGS['unit'],
    class_names=('ant', 'bee', 'cat', 'dog', 'eel'),
  )


IMAGES, TARGETS = fixtures.method_images(), np.array(fixtures.METHOD_TARGETS)
