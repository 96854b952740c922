"""Places behind the objects of a scene, and which surface and texture each pixel shows."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from concepts.drawing.textures import TEXTURES, crop, draw_texture, tinted

PLACES = ('beach', 'field', 'moon', 'ocean', 'space', 'street')
SURFACES = ('grass', 'road', 'sand', 'sea', 'sky', 'wall')


class Backdrop(NamedTuple):
  """A place without objects.

  Attributes:
    picture: uint8 `[S, S, 3]`.
    surfaces: uint8 `[S, S]`: 0 for none, else 1 + the index in `SURFACES`.
    textures: uint8 `[S, S]`: 0 for none, else 1 + the index in `TEXTURES`.
  """

  picture: np.ndarray
  surfaces: np.ndarray
  textures: np.ndarray


def draw_backdrop(random: np.random.Generator, place: str, size: int) -> Backdrop:
  """One of `PLACES`, S x S pixels."""
  picture = np.zeros((size, size, 3), np.uint8)
  surfaces, textures = np.zeros((2, size, size), np.uint8)
  top = 0
  for kinds, share in _BANDS[place]:
    kind = kinds[int(random.integers(len(kinds)))]
    bottom = size if share == 1 else int(size * (share + random.uniform(-0.1, 0.1)))
    picture[top:bottom] = _DRAWN[kind](random, (bottom - top, size))
    surface, texture = _LABELS.get(kind, ('', ''))
    surfaces[top:bottom] = 1 + SURFACES.index(surface) if surface else 0
    textures[top:bottom] = 1 + TEXTURES.index(texture) if texture else 0
    top = bottom
  return Backdrop(picture, surfaces, textures)


# Of each place from top to bottom: one of these kinds of ground, and how far down it reaches.
_BANDS = {
  'beach': ((('sky',), 0.4), (('sea',), 0.62), (('sand',), 1)),
  'field': ((('sky',), 0.45), (('grass',), 1)),
  'moon': ((('craters',), 1),),
  'ocean': ((('sky',), 0.42), (('sea',), 1)),
  'space': ((('stars',), 1),),
  'street': ((('brick wall', 'plain wall'), 0.66), (('road',), 1)),
}
# Of each kind of ground: the surface and the texture that it is; the others are neither.
_LABELS = {
  'sky': ('sky', ''),
  'sea': ('sea', ''),
  'sand': ('sand', ''),
  'grass': ('grass', 'grass'),
  'brick wall': ('wall', 'brick'),
  'plain wall': ('wall', ''),
  'road': ('road', 'gravel'),
}


def _sky(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
  """Blue, or red towards evening, paler towards the horizon, with clouds."""
  evening = random.uniform() < 0.25
  high = np.array([70, 70, 120] if evening else [72, 136, 214]) + random.uniform(-18, 18, 3)
  low = np.array([244, 170, 110] if evening else [190, 220, 240]) + random.uniform(-10, 10, 3)
  down = np.linspace(0, 1, shape[0])[:, None, None]
  cover = 0.85 * np.clip(2.4 * clouds(random, shape, (3, 6, 14)) - 1.15, 0, 1)[..., None]
  return _bytes((1 - cover) * (high + (low - high) * down) + cover * 246)


def _sea(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
  """Waves, finer towards the horizon."""
  far = np.array([36, 92, 140]) + random.uniform(-16, 16, 3)
  near = np.array([28, 118, 140]) + random.uniform(-16, 16, 3)
  down = np.linspace(0, 1, shape[0])[:, None]
  bent = 0.5 * clouds(random, shape, (4, 9))
  wave = np.sin(2 * np.pi * (14 * np.sqrt(down + 0.02) + 3 * bent)) * (0.35 + bent)
  return _bytes(far + (near - far) * down[..., None] + 20 * wave[..., None])


def _sand(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
  colour = np.array([220, 190, 138]) + random.uniform(-14, 14, 3)
  grain = random.normal(0, 7, (*shape, 1))
  return _bytes(colour * (0.85 + 0.25 * clouds(random, shape, (3, 8, 20))[..., None]) + grain)


def _grass(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
  tint = np.array([150, 196, 92]) + random.uniform(-16, 16, 3)
  return tinted(crop(random, 'grass.png', (0.5, 1.0), shape), tint)


def _bricks(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
  return draw_texture(random, 'brick', max(shape))[: shape[0], : shape[1]]


def _plaster(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
  colour = np.array([214, 202, 180]) + random.uniform(-30, 20, 3)
  return _bytes(colour * (0.9 + 0.12 * clouds(random, shape, (2, 5, 40))[..., None]))


def _road(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
  tint = np.array([112, 112, 118]) + random.uniform(-12, 12, 3)
  return tinted(crop(random, 'gravel.png', (0.8, 1.0), shape), tint)


def _moon(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
  return tinted(crop(random, 'moon.png', (0.45, 1.0), shape), np.array([196, 190, 180]))


def _stars(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
  return crop(random, 'hubble_deep_field.jpg', (0.25, 0.6), shape)


_DRAWN = {
  'sky': _sky,
  'sea': _sea,
  'sand': _sand,
  'grass': _grass,
  'brick wall': _bricks,
  'plain wall': _plaster,
  'road': _road,
  'craters': _moon,
  'stars': _stars,
}


def clouds(
  random: np.random.Generator, shape: tuple[int, int], cells: tuple[int, ...]
) -> np.ndarray:
  """Noise of several sizes, the coarse ones strongest: 0 to 1, `[height, width]`."""
  total = np.zeros(shape, np.float32)
  for one in cells:
    noise = Image.fromarray(random.uniform(0, 1, (one, one)).astype(np.float32))
    total += np.asarray(noise.resize(shape[::-1], Image.Resampling.BICUBIC)) / one
  return np.clip(total / sum(1 / one for one in cells), 0, 1)


def _bytes(values: np.ndarray) -> np.ndarray:
  return np.clip(np.rint(values), 0, 255).astype(np.uint8)
