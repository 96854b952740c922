"""A network of which it is known what each filter is for."""

import functools
import io

import numpy as np
from PIL import Image

from concepts.probe import Concept, Labels, Probe
from perturb.data.images import Source
from perturb.data.records import Dataset, Record
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


SIDE = 16  # Of the pictures of `planted_probe`, in pixels.
SHARE = 1 / 48  # Of all its pixels that each colour has.


@functools.cache
def planted_probe() -> Probe:
  """12 pictures: dark noise with a square of 4 x 4 pixels, red, green and blue in turns.

  The first 6 are for training. Concepts 0 to 2 are the squares, 3 the whole of the last picture,
  which is for validation alone.
  """
  random = np.random.RandomState(0)
  pictures, maps = random.randint(0, 100, (12, SIDE, SIDE, 3)), np.zeros((12, SIDE, SIDE), np.int32)
  for i, (top, left) in enumerate(random.randint(0, SIDE - 4, (12, 2))):
    square = i, slice(top, top + 4), slice(left, left + 4)
    pictures[*square, i % 3] = random.randint(150, 256, (4, 4))
    maps[square] = 1 + i % 3
  files = [io.BytesIO() for _ in pictures]
  for picture, file in zip(pictures, files, strict=True):
    Image.fromarray(picture.astype(np.uint8)).save(file, 'png')
  names = ('red', 'green', 'blue')
  return Probe(
    Dataset(
      [Source(f'picture_{i}', f'picture {i}') for i in range(12)],
      lambda i: Record(io.BytesIO(files[i].getvalue()), None),
    ),
    np.arange(12) < 6,
    (*(Concept(1 + i, names[i], ('color',)) for i in range(3)), Concept(4, 'night', ('scene',))),
    (SIDE, SIDE),
    lambda i: Labels({'color': maps[i : i + 1]}, {'scene': (4,) if i == 11 else ()}),
  )
