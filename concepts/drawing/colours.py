"""The eleven basic names of colours, drawn at random and told of pixels."""

import numpy as np
from skimage.color import rgb2lab

# A typical colour of each name, RGB.
COLOURS = {
  'black': (22, 22, 26),
  'blue': (40, 84, 200),
  'brown': (128, 78, 42),
  'green': (58, 146, 62),
  'grey': (128, 128, 128),
  'orange': (240, 136, 28),
  'pink': (240, 140, 180),
  'purple': (126, 54, 156),
  'red': (206, 32, 38),
  'white': (240, 240, 236),
  'yellow': (244, 218, 52),
}
BRIGHT = tuple(name for name in COLOURS if name not in ('black', 'grey', 'white'))

_JITTER = 16  # Of each channel, of 255.
_FARTHEST = 34.0  # In CIELAB: what is farther from all names has none.
_FEWEST = 0.005  # Of a picture's pixels: fewer of a name are edges, and unnamed.


def draw_colour(random: np.random.Generator, names: tuple[str, ...] = BRIGHT) -> np.ndarray:
  """A colour near that of one of the names, float `[3]`, 0 to 255."""
  name = names[int(random.integers(len(names)))]
  return np.clip(COLOURS[name] + random.uniform(-_JITTER, _JITTER, 3), 0, 255)


def name_colours(picture: np.ndarray) -> np.ndarray:
  """The name of each pixel's colour: the nearest in CIELAB, if it is near.

  Args:
    picture: uint8 `[H, W, 3]`.

  Returns:
    uint8 `[H, W]`: 0 for none, else 1 + the index in `COLOURS`.
  """
  typical = rgb2lab(np.array(list(COLOURS.values()), np.uint8)[None])[0]
  distance = np.linalg.norm(rgb2lab(picture)[..., None, :] - typical, axis=-1)
  named = np.where(distance.min(-1) <= _FARTHEST, 1 + distance.argmin(-1), 0).astype(np.uint8)
  counts = np.bincount(named.ravel(), minlength=1 + len(COLOURS))
  return np.where(counts[named] < _FEWEST * named.size, 0, named).astype(np.uint8)
