"""The eleven basic names of colours, drawn at random and told of pixels."""

import numpy as np
from skimage.color import rgb2lab

# Typical colours of each name, RGB; the first is the one that is drawn.
COLOURS = {
  'black': ((22, 22, 26),),
  'blue': ((40, 84, 200), (110, 165, 225), (40, 100, 150), (24, 40, 96)),
  'brown': ((128, 78, 42), (84, 52, 34), (160, 110, 72)),
  'green': ((58, 146, 62), (116, 164, 70), (36, 84, 32)),
  'grey': ((128, 128, 128), (84, 84, 86), (176, 176, 176)),
  'orange': ((240, 136, 28),),
  'pink': ((240, 140, 180), (248, 190, 206)),
  'purple': ((126, 54, 156), (170, 120, 200), (78, 34, 98)),
  'red': ((206, 32, 38), (130, 20, 28)),
  'white': ((240, 240, 236),),
  'yellow': ((244, 218, 52), (250, 236, 140)),
}
BRIGHT = tuple(name for name in COLOURS if name not in ('black', 'grey', 'white'))

_JITTER = 16  # Of each channel, of 255.
_FARTHEST = 30.0  # In CIELAB: what is farther from all names has none.
_FEWEST = 0.005  # Of a picture's pixels: fewer of a name are edges, and unnamed.


def draw_colour(random: np.random.Generator, names: tuple[str, ...] = BRIGHT) -> np.ndarray:
  """A colour near that of one of the names, float `[3]`, 0 to 255."""
  name = names[int(random.integers(len(names)))]
  return np.clip(COLOURS[name][0] + random.uniform(-_JITTER, _JITTER, 3), 0, 255)


def name_colours(picture: np.ndarray) -> np.ndarray:
  """The name of each pixel's colour: the nearest in CIELAB, if it is near.

  Args:
    picture: uint8 `[H, W, 3]`.

  Returns:
    uint8 `[H, W]`: 0 for none, else 1 + the index in `COLOURS`.
  """
  typical = rgb2lab(np.array([rgb for some in COLOURS.values() for rgb in some], np.uint8)[None])[0]
  names = np.repeat(np.arange(1, 1 + len(COLOURS)), [len(some) for some in COLOURS.values()])
  distance = np.linalg.norm(rgb2lab(picture)[..., None, :] - typical, axis=-1)
  named = np.where(distance.min(-1) <= _FARTHEST, names[distance.argmin(-1)], 0)
  counts = np.bincount(named.ravel(), minlength=1 + len(COLOURS))
  return np.where(counts[named] < _FEWEST * named.size, 0, named).astype(np.uint8)
