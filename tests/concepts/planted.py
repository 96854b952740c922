"""A network of which it is known what each filter is for."""

import functools
import io

import numpy as np
from PIL import Image

from concepts.probe import Concept, Labels, Probe
from perturb.data.images import Source, png_file
from perturb.data.records import Dataset, Parts, Record
from perturb.nets import PREPROCESSINGS, Pretrained
from perturb.nets.layers import Conv, Dense, GlobalMean, Relu
from perturb.nets.network import Layers, Network


class PlantedNet(Network):
  """Filters 0 to 2 carry the classes, filters 3 to 5 nothing."""

  classes: int = 3

  def build_layers(self) -> Layers:
    layers = Layers()
    layers.add('conv1', functools.partial(Conv, 6, use_bias=True))
    layers.add('relu1', Relu)
    layers.add('mean', GlobalMean)
    layers.add('fc', functools.partial(Dense, self.classes))
    return layers


@functools.cache
def planted_net(size: int = 8) -> Pretrained:
  """Filter k of `conv1` is colour k; class k is the brightest colour. Filters 3 to 5 are zero."""
  params = {
    'conv1': {'kernel': np.eye(3, 6, dtype=np.float32)[None, None], 'bias': np.zeros(6)},
    'fc': {'kernel': np.eye(6, 3, dtype=np.float32), 'bias': np.zeros(3)},
  }
  return Pretrained(
    network=PlantedNet(),
    variables={'params': {k: {n: np.float32(w) for n, w in v.items()} for k, v in params.items()}},
    size=size,
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


# Rows and columns of each part, and its colour. The last one is cut off where the middle is kept.
PARTS = {
  'red': (slice(1, 5), slice(10, 22), 0),
  'green': (slice(6, 9), slice(10, 18), 1),
  'blue': (slice(10, 13), slice(10, 16), 2),
  'outside': (slice(0, 16), slice(0, 6), 1),
}


def part_masks(names: tuple[str, ...]) -> np.ndarray:
  """bool `[P, 16, 32]`."""
  masks = np.zeros((len(names), 16, 32), bool)
  for mask, name in zip(masks, names, strict=True):
    mask[PARTS[name][:2]] = True
  return masks


def planted_parts(*shown: tuple[str, ...]) -> Dataset:
  """Black pictures of 16 rows and 32 columns, `image_0` and so on, that show some of `PARTS`."""

  def painted(names: tuple[str, ...]) -> np.ndarray:
    picture = np.zeros((16, 32, 3), np.uint8)
    for name in names:
      picture[PARTS[name]] = 255
    return picture

  def parts(index: int) -> Parts:
    names = shown[index]
    rest = [tuple(name for name in names if name != left_out) for left_out in names]
    return Parts(names, part_masks(names), lambda part: painted(rest[part]))

  def read(index: int) -> Record:
    return Record(png_file(painted(shown[index])), 0)

  sources = [Source(f'image_{i}', f'image_{i}.png') for i in range(len(shown))]
  return Dataset(sources, read, ('red', 'green', 'blue'), parts=parts)
