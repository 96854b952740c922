"""Labelled photographs that come inside packages: scikit-image's, and two of Debian's.

  apt-get install opencv-doc tuxpaint-stamps-default

The objects of tuxpaint-stamps-default are put on other photographs, where they are. The labels are
by eye. The first six are those that methods are tuned on, the others are kept aside.
"""

from collections.abc import Callable
import io
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image
import skimage.data

OPENCV = pathlib.Path('/usr/share/doc/opencv-doc/examples/data')
STAMPS = pathlib.Path('/usr/share/tuxpaint/stamps')


class Photograph(NamedTuple):
  """A picture and what is on it.

  Attributes:
    label: name of its ImageNet class.
    picture: opens it, RGB of any size.
    stamp: file of an object that is put on it; none if empty.
    centre: of the object, across and down, as fractions of the picture.
    share: the object's longer side, as a fraction of the picture's.
  """

  label: str
  picture: Callable[[], Image.Image]
  stamp: str = ''
  centre: tuple[float, float] = (0.5, 0.5)
  share: float = 0.7


def _skimage(name: str) -> Callable[[], Image.Image]:
  return lambda: Image.open(pathlib.Path(skimage.data.__file__).parent / name).convert('RGB')


def _opencv(name: str) -> Callable[[], Image.Image]:
  return lambda: Image.open(OPENCV / name).convert('RGB')


PHOTOGRAPHS = {
  'chelsea': Photograph('tabby', _skimage('chelsea.png')),
  'coffee': Photograph('espresso', _skimage('coffee.png')),
  'baboon': Photograph('baboon', _opencv('baboon.jpg')),
  'squirrel': Photograph('fox squirrel', _opencv('squirrel_cls.jpg')),
  'bear': Photograph(
    'brown bear',
    _opencv('home.jpg'),
    'animals/mammals/bears/european-bear.png',
    (0.4, 0.65),
    0.6,
  ),
  'violin': Photograph(
    'violin', _skimage('brick.png'), 'hobbies/music/string/violin.png', (0.6, 0.5), 0.75
  ),
  'motorcycle': Photograph('motor scooter', _skimage('motorcycle_left.png')),
  'football': Photograph('soccer ball', _opencv('messi5.jpg')),
  'butterfly': Photograph('monarch', _opencv('butterfly.jpg')),
  'fruits': Photograph('orange', _opencv('fruits.jpg')),
  'tiger': Photograph(
    'tiger', _skimage('gravel.png'), 'animals/mammals/cats/tiger.png', (0.55, 0.5)
  ),
  'beaver': Photograph(
    'beaver', _opencv('aloeL.jpg'), 'animals/mammals/rodents/beaver.png', (0.4, 0.6), 0.5
  ),
  'truck': Photograph(
    'garbage truck', _opencv('building.jpg'), 'vehicles/garbagetruck.png', (0.5, 0.65)
  ),
  'balloon': Photograph(
    'balloon', _opencv('home.jpg'), 'vehicles/flight/balloon360.png', (0.35, 0.35), 0.5
  ),
  'elephant': Photograph(
    'African elephant', _skimage('grass.png'), 'animals/mammals/elephant.png', (0.5, 0.5)
  ),
}
TUNED = tuple(PHOTOGRAPHS)[:6]


def _square(image: Image.Image, size: int) -> Image.Image:
  scale = size / min(image.size)
  width, height = (max(size, round(side * scale)) for side in image.size)
  left, top = (width - size) // 2, (height - size) // 2
  resized = image.resize((width, height), Image.Resampling.BICUBIC)
  return resized.crop((left, top, left + size, top + size))


def pixels(name: str, size: int) -> np.ndarray:
  """A photograph as uint8 `[size, size, 3]`."""
  photograph = PHOTOGRAPHS[name]
  picture = _square(photograph.picture(), size).convert('RGBA')
  if photograph.stamp:
    stamp = Image.open(STAMPS / photograph.stamp).convert('RGBA')
    stamp = stamp.crop(stamp.getbbox())
    scale = photograph.share * size / max(stamp.size)
    width, height = (round(side * scale) for side in stamp.size)
    corner = (
      max(0, round(photograph.centre[0] * size - width / 2)),
      max(0, round(photograph.centre[1] * size - height / 2)),
    )
    picture.alpha_composite(stamp.resize((width, height), Image.Resampling.BICUBIC), corner)
  return np.asarray(picture.convert('RGB'))


def noisy(picture: np.ndarray) -> np.ndarray:
  """With noise whose standard deviation is one grey level."""
  noise = np.random.default_rng(0).standard_normal(picture.shape)
  return np.clip(np.round(picture + noise), 0, 255).astype(np.uint8)


def shifted(picture: np.ndarray) -> np.ndarray:
  """Two pixels down and to the right; the first ones are repeated."""
  return np.pad(picture, ((2, 0), (2, 0), (0, 0)), 'edge')[:-2, :-2]


def recompressed(picture: np.ndarray) -> np.ndarray:
  """Saved as JPEG of quality 95, and read."""
  file = io.BytesIO()
  Image.fromarray(picture).save(file, 'JPEG', quality=95)
  return np.asarray(Image.open(file))
