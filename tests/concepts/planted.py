"""A network of which it is known what each filter is for."""

import functools

import numpy as np

from perturb.nets import PREPROCESSINGS, Pretrained
from perturb.nets.layers import Conv, Dense, GlobalMean, Relu
from perturb.nets.network import Layers, Network


class PlantedNet(Network):
  """Images of 8 x 8 pixels; filters 0 to 2 carry the classes, filters 3 to 5 nothing."""

  classes: int = 3

  def build_layers(self) -> Layers:
    layers = Layers()
    layers.add('conv1', functools.partial(Conv, 6, use_bias=True))
    layers.add('relu1', Relu)
    layers.add('mean', GlobalMean)
    layers.add('fc', functools.partial(Dense, self.classes))
    return layers


@functools.cache
def planted_net() -> Pretrained:
  """Filter k of `conv1` is colour k; class k is the brightest colour. Filters 3 to 5 are zero."""
  params = {
    'conv1': {'kernel': np.eye(3, 6, dtype=np.float32)[None, None], 'bias': np.zeros(6)},
    'fc': {'kernel': np.eye(6, 3, dtype=np.float32), 'bias': np.zeros(3)},
  }
  return Pretrained(
    network=PlantedNet(),
    variables={'params': {k: {n: np.float32(w) for n, w in v.items()} for k, v in params.items()}},
    size=8,
    preprocessing=PREPROCESSINGS['unit'],
    class_names=('red', 'green', 'blue'),
  )


def planted_images(each: int) -> tuple[np.ndarray, np.ndarray]:
  """(images `[3 * each, 8, 8, 3]`, their classes): noise, and the colour of the class above it."""
  labels = np.repeat(np.arange(3), each)
  x = np.random.RandomState(0).rand(len(labels), 8, 8, 3).astype(np.float32)
  x[np.arange(len(labels)), :, :, labels] += 1
  return x, labels
