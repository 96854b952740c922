"""Textures: photographs of surfaces that scikit-image carries, and patterns of two colours.

The names are those of the Describable Textures Dataset (Cimpoi et al., CVPR 2014) where it has one.
"""

import functools

import numpy as np
from PIL import Image

from concepts.drawing.colours import COLOURS, draw_colour
from perturb.data.images import bundled_folder, open_picture

# Of each photograph, which is grey, what white becomes.
PHOTOGRAPHS = {'brick': (214, 126, 98), 'grass': (150, 196, 92), 'gravel': (206, 194, 176)}
PATTERNS = ('chequered', 'polka-dotted', 'striped', 'zigzagged')
TEXTURES = (*PHOTOGRAPHS, *PATTERNS)

_GAIN = 1.4  # The photographs are dark.
_FINER = 2  # Samples of a pattern along a side of a pixel.
_CONTRAST = 150.0  # At least between the two colours: sum of the differences of channels.


def draw_texture(random: np.random.Generator, name: str, size: int) -> np.ndarray:
  """A square full of a texture, uint8 `[size, size, 3]`."""
  if name in PHOTOGRAPHS:
    tint = np.array(PHOTOGRAPHS[name]) * random.uniform(0.8, 1.1) + random.uniform(-14, 14, 3)
    return tinted(crop(random, f'{name}.png', (0.35, 0.8), (size, size)), tint)
  return _pattern(random, name, size)


def crop(
  random: np.random.Generator, file: str, share: tuple[float, float], shape: tuple[int, int]
) -> np.ndarray:
  """A part of a photograph of scikit-image, uint8 `[height, width, 3]`.

  Args:
    random: of where it is, how large, and whether it is mirrored.
    file: its name.
    share: least and largest of what can be shown of it.
    shape: (height, width).
  """
  pixels = _photograph(file)
  scale = random.uniform(*share) * min(pixels.shape[0] / shape[0], pixels.shape[1] / shape[1])
  height, width = (max(2, int(side * scale)) for side in shape)
  top = int(random.integers(pixels.shape[0] - height + 1))
  left = int(random.integers(pixels.shape[1] - width + 1))
  part = pixels[top : top + height, left : left + width]
  if random.integers(2):
    part = part[:, ::-1]
  image = Image.fromarray(np.ascontiguousarray(part))
  return np.asarray(image.resize(shape[::-1], Image.Resampling.BICUBIC))


def tinted(pixels: np.ndarray, tint: np.ndarray) -> np.ndarray:
  """Grey pixels with another white, and brighter."""
  return np.clip(_GAIN * pixels * (tint / 255), 0, 255).astype(np.uint8)


@functools.cache
def _photograph(file: str) -> np.ndarray:
  path = str(bundled_folder() / file)
  return np.asarray(open_picture(path, path))


def _pattern(random: np.random.Generator, name: str, size: int) -> np.ndarray:
  first = second = draw_colour(random, tuple(COLOURS))
  while np.abs(first - second).sum() < _CONTRAST:
    second = draw_colour(random, tuple(COLOURS))
  x, y = _turned_grid(random, size)
  inside = _INSIDE[name](x, y, random.uniform(0.3, 0.7)).astype(np.float32)
  share = inside.reshape(size, _FINER, size, _FINER).mean((1, 3))[..., None]
  return np.rint(share * first + (1 - share) * second).astype(np.uint8)


def _turned_grid(random: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
  """Coordinates of the samples in periods of the pattern, at a random angle and phase."""
  angle, period = random.uniform(0, np.pi), random.uniform(0.07, 0.2) * size
  places = (np.arange(size * _FINER, dtype=np.float32) + 0.5) / (_FINER * period)
  along, across = places[None, :], places[:, None]
  cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
  left, top = random.uniform(0, 1, 2).astype(np.float32)
  return cos * along + sin * across + left, cos * across - sin * along + top


def _chequered(x: np.ndarray, y: np.ndarray, share: float) -> np.ndarray:
  del share  # A board has as many squares of both colours.
  return (np.floor(2 * x) + np.floor(2 * y)) % 2 == 0


def _dotted(x: np.ndarray, y: np.ndarray, share: float) -> np.ndarray:
  return np.hypot(x % 1 - 0.5, y % 1 - 0.5) < 0.2 + 0.25 * share


def _striped(x: np.ndarray, y: np.ndarray, share: float) -> np.ndarray:
  return (x + 0 * y) % 1 < share


def _zigzagged(x: np.ndarray, y: np.ndarray, share: float) -> np.ndarray:
  return (x + np.abs(y % 1 - 0.5)) % 1 < share


_INSIDE = {
  'chequered': _chequered,
  'polka-dotted': _dotted,
  'striped': _striped,
  'zigzagged': _zigzagged,
}
