"""Objects with an alpha channel, and where their parts and textures are."""

from collections.abc import Callable
import functools
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from concepts.drawing.colours import draw_colour
from concepts.drawing.textures import PATTERNS, draw_texture
from perturb.data.flower_pictures import HUES, Scene, render

SIDE = 160  # Of the square in which an object is drawn, in pixels.
FINER = 3  # Samples of it along a side of a pixel.
# What the three label maps of an object are of: parts, parts of parts, and textures.
LAYERS = ('part', 'part', 'texture')
PART, DETAIL, TEXTURE = range(3)

Fill = np.ndarray  # A colour `[3]`, or pixels of the whole square.
Points = list[tuple[float, float]]

_TEXTURED = 0.45  # The share of shapes with a pattern.
_FLOWERS = 5  # Viewpoints of each colour of the flower.


class Drawing(NamedTuple):
  """An object.

  Attributes:
    name: 'house'.
    pixels: uint8 `[h, w, 4]`, RGB and alpha.
    labels: uint8 `[h, w, 3]`, a map for each of `LAYERS`: 0 for none, else 1 + the index in
      `names`.
    names: of its parts and textures.
  """

  name: str
  pixels: np.ndarray
  labels: np.ndarray
  names: tuple[str, ...]


def draw_object(random: np.random.Generator, name: str) -> Drawing:
  """One of `OBJECTS`."""
  if name == 'flower':
    return _flower(HUES[int(random.integers(len(HUES)))], int(random.integers(_FLOWERS)))
  canvas = _Canvas()
  _DRAWN[name](random, canvas)
  return canvas.drawing(name, _light(random))


class _Canvas:
  """A square, from (0, 0) at the top left to (1, 1), that is drawn on."""

  def __init__(self) -> None:
    side = SIDE * FINER
    self.image = Image.new('RGB', (side, side))
    self.alpha = Image.new('L', (side, side))
    self.layers = [Image.new('L', (side, side)) for _ in LAYERS]
    self.names: list[str] = []

  def paint(self, fill: Fill, points: Points, label: str = '', layer: int = PART) -> None:
    """A polygon over what is there. What has no label hides what had one."""
    area = Image.new('L', self.image.size)
    ImageDraw.Draw(area).polygon([self._at(*point) for point in points], fill=255)
    self._fill(fill, area, label, layer)

  def disc(
    self, fill: Fill, middle: tuple[float, float], radius: float, label: str = '', layer: int = PART
  ) -> None:
    """As `paint`, a disc."""
    area = Image.new('L', self.image.size)
    (x, y), r = middle, radius
    corners = [*self._at(x - r, y - r), *self._at(x + r, y + r)]
    ImageDraw.Draw(area).ellipse(corners, fill=255)
    self._fill(fill, area, label, layer)

  def box(
    self, fill: Fill, sides: tuple[float, float, float, float], label: str = '', layer: int = PART
  ) -> None:
    """As `paint`, a rectangle: left, top, right, bottom."""
    left, top, right, bottom = sides
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    self.paint(fill, corners, label, layer)

  def cut(self, middle: tuple[float, float], radius: float) -> None:
    """Takes a disc away."""
    (x, y), r = middle, radius
    corners = [*self._at(x - r, y - r), *self._at(x + r, y + r)]
    for image in (self.alpha, *self.layers):
      ImageDraw.Draw(image).ellipse(corners, fill=0)

  def drawing(self, name: str, light: np.ndarray) -> Drawing:
    """What is drawn, lit: `light` `[SIDE, SIDE, 1]` multiplies the colours."""
    merged = Image.merge('RGBA', [*self.image.split(), self.alpha])
    pixels = np.array(merged.resize((SIDE, SIDE), Image.Resampling.BOX))
    pixels[..., :3] = np.clip(pixels[..., :3] * light, 0, 255)
    labels = np.stack([np.asarray(one) for one in self.layers], axis=-1)
    middle = FINER // 2
    return Drawing(name, pixels, labels[middle::FINER, middle::FINER], tuple(self.names))

  def _at(self, x: float, y: float) -> tuple[float, float]:
    return x * self.image.width, y * self.image.height

  def _fill(self, fill: Fill, area: Image.Image, label: str, layer: int) -> None:
    if fill.ndim == 1:
      red, green, blue = np.rint(fill).astype(int).tolist()
      self.image.paste((red, green, blue), mask=area)
    else:
      finer = Image.fromarray(fill).resize(self.image.size, Image.Resampling.BICUBIC)
      self.image.paste(finer, mask=area)
    self.alpha.paste(255, mask=area)
    for number, one in enumerate(self.layers):
      if number >= layer or not label:
        one.paste(self._code(label) if number == layer else 0, mask=area)

  def _code(self, label: str) -> int:
    if not label:
      return 0
    if label not in self.names:
      self.names.append(label)
    return 1 + self.names.index(label)


def _light(random: np.random.Generator) -> np.ndarray:
  """Brighter from one side to the other, `[SIDE, SIDE, 1]`."""
  angle, strength = random.uniform(0, 2 * np.pi), random.uniform(0.05, 0.3)
  places = np.linspace(-0.7, 0.7, SIDE)
  return (1 + strength * (np.cos(angle) * places + np.sin(angle) * places[:, None]))[..., None]


def _polygon(corners: int, inner: float = 1.0) -> Points:
  """A regular polygon, or a star if every other corner is nearer to the middle."""
  angles = 2 * np.pi * np.arange(corners) / corners - np.pi / 2
  radii = 0.48 * np.where(np.arange(corners) % 2, inner, 1.0)
  return [(0.5 + r * np.cos(a), 0.5 + r * np.sin(a)) for r, a in zip(radii, angles, strict=True)]


_OUTLINES: dict[str, Points] = {
  'triangle': _polygon(3),
  'square': [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9)],
  'star': _polygon(10, 0.42),
  'cross': [
    *[(0.35, 0.05), (0.65, 0.05), (0.65, 0.35), (0.95, 0.35), (0.95, 0.65), (0.65, 0.65)],
    *[(0.65, 0.95), (0.35, 0.95), (0.35, 0.65), (0.05, 0.65), (0.05, 0.35), (0.35, 0.35)],
  ],
}


def _shape(random: np.random.Generator, canvas: _Canvas, name: str) -> None:
  """Of one colour or a pattern, which is then labelled."""
  fill, label = draw_colour(random), ''
  if random.uniform() < _TEXTURED:
    label = PATTERNS[int(random.integers(len(PATTERNS)))]
    fill = draw_texture(random, label, SIDE)
  if name in _OUTLINES:
    canvas.paint(fill, _OUTLINES[name], label, TEXTURE)
    return
  canvas.disc(fill, (0.5, 0.5), 0.48, label, TEXTURE)
  if name == 'ring':
    canvas.cut((0.5, 0.5), random.uniform(0.22, 0.32))


_GLASS, _DARK = np.array([150.0, 190, 214]), np.array([34.0, 34, 38])


def _wheel(random: np.random.Generator, canvas: _Canvas) -> None:
  """One that lies about: what is a part of a car is an object here."""
  _wheel_at(canvas, (0.5, 0.5), 0.48, random.uniform(150, 220), label='')


def _wheel_at(
  canvas: _Canvas, middle: tuple[float, float], radius: float, rim: float, label: str = 'wheel'
) -> None:
  metal = np.full(3, rim)
  canvas.disc(_DARK, middle, radius, label)
  layer = DETAIL if label else PART
  canvas.disc(metal, middle, 0.62 * radius, 'rim', layer)
  for angle in np.pi * 2 * np.arange(5) / 5 + 0.3:
    x, y = middle[0] + 0.4 * radius * np.cos(angle), middle[1] + 0.4 * radius * np.sin(angle)
    canvas.disc(0.35 * metal, (x, y), 0.12 * radius, 'rim', layer)


def _house(random: np.random.Generator, canvas: _Canvas) -> None:
  fill, label = draw_colour(random, ('white', 'yellow', 'pink', 'grey', 'orange')), 'wall'
  canvas.box(fill, (0.14, 0.45, 0.86, 0.96), label)
  eaves, ridge = random.uniform(0.02, 0.08), random.uniform(0.04, 0.16)
  roof = draw_colour(random, ('red', 'brown', 'grey', 'blue'))
  canvas.paint(roof, [(eaves, 0.47), (0.5, ridge), (1 - eaves, 0.47)], 'roof')
  door = random.uniform(0.22, 0.62)
  canvas.box(draw_colour(random), (door, 0.64, door + 0.16, 0.96), 'door')
  for left in (0.2, 0.42, 0.64):
    if abs(left - door) > 0.18:
      canvas.box(np.full(3, 245.0), (left - 0.015, 0.55, left + 0.175, 0.76), 'window')
      for pane in (left, left + 0.085):
        canvas.box(_GLASS, (pane, 0.565, pane + 0.075, 0.745), 'pane', DETAIL)


def _car(random: np.random.Generator, canvas: _Canvas) -> None:
  paint = draw_colour(random, ('red', 'blue', 'green', 'yellow', 'white', 'orange', 'purple'))
  front, back = random.uniform(0.66, 0.76), random.uniform(0.2, 0.3)
  roof = [(back - 0.1, 0.5), (back, 0.29), (front - 0.08, 0.29), (front + 0.08, 0.5)]
  canvas.paint(paint, roof, 'body')
  canvas.paint(
    paint,
    [(0.03, 0.5), (0.88, 0.48), (0.97, 0.56), (0.97, 0.72), (0.03, 0.72)],
    'body',
  )
  middle = (back + front) / 2 - 0.02
  for left, right, lean in (
    (back + 0.02, middle - 0.02, -0.05),
    (middle + 0.02, front - 0.09, 0.0),
  ):
    top = [(left, 0.325), (right, 0.325)]
    slope = 0.09 if lean == 0 else 0.0
    canvas.paint(_GLASS, [*top, (right + slope, 0.475), (left + lean, 0.475)], 'window')
  canvas.disc(np.array([255.0, 236, 150]), (0.93, 0.58), 0.035, 'headlight')
  rim = random.uniform(150, 220)
  for x in (0.24, 0.76):
    _wheel_at(canvas, (x, 0.72), 0.13, rim)


def _face(random: np.random.Generator, canvas: _Canvas) -> None:
  skins = np.array([[246, 208, 172], [214, 160, 116], [150, 100, 66], [96, 62, 42]], float)
  skin = skins[int(random.integers(len(skins)))] + random.uniform(-10, 10, 3)
  hair = draw_colour(random, ('black', 'brown', 'yellow', 'grey', 'red'))
  canvas.disc(hair, (0.5, 0.44), 0.43, 'hair')
  canvas.disc(skin, (0.5, 0.55), 0.38, '')
  for x in (0.36, 0.64):
    canvas.disc(np.full(3, 246.0), (x, 0.5), 0.075, 'eye')
    canvas.disc(_DARK, (x + random.uniform(-0.02, 0.02), 0.5), 0.038, 'pupil', DETAIL)
  nose = np.clip(0.8 * skin, 0, 255)
  canvas.paint(nose, [(0.5, 0.53), (0.56, 0.67), (0.44, 0.67)], 'nose')
  smile = random.uniform(0.03, 0.08)
  across = np.linspace(0.34, 0.66, 13)
  bend = 1 - ((across - 0.5) / 0.16) ** 2
  lower = zip(across, 0.74 + 1.6 * smile * bend + 0.02, strict=True)
  upper = zip(across[::-1], 0.74 + 0.3 * smile * bend, strict=True)
  canvas.paint(np.array([178.0, 40, 52]), [*lower, *upper], 'mouth')


def _tree(random: np.random.Generator, canvas: _Canvas) -> None:
  """Round leaves on a trunk, or the triangles of a fir."""
  bark = draw_colour(random, ('brown',))
  leaves = draw_colour(random, ('green', 'green', 'green', 'orange'))
  canvas.paint(bark, [(0.45, 0.5), (0.55, 0.5), (0.59, 0.98), (0.41, 0.98)], 'trunk')
  if random.integers(2):
    for top, wide in ((0.02, 0.22), (0.2, 0.3), (0.4, 0.38)):
      shade = leaves * random.uniform(0.88, 1.05)
      low = top + 0.36
      canvas.paint(
        np.clip(shade, 0, 255), [(0.5, top), (0.5 + wide, low), (0.5 - wide, low)], 'crown'
      )
    return
  for _ in range(16):
    angle, far = random.uniform(0, 2 * np.pi), random.uniform(0, 0.26)
    middle = 0.5 + far * np.cos(angle), 0.34 + 0.8 * far * np.sin(angle)
    canvas.disc(np.clip(leaves * random.uniform(0.8, 1.1), 0, 255), middle, 0.12, 'crown')


_DRAWN: dict[str, Callable[[np.random.Generator, _Canvas], None]] = {
  **{
    name: functools.partial(_shape, name=name)
    for name in ('circle', 'cross', 'ring', 'square', 'star', 'triangle')
  },
  'car': _car,
  'face': _face,
  'house': _house,
  'tree': _tree,
  'wheel': _wheel,
}
OBJECTS = (*sorted([*_DRAWN, 'flower']),)
SHAPES = (*_OUTLINES, 'circle', 'ring', 'wheel')  # What may be turned by any angle.

# Of the parts that `render` numbers from 1: `perturb.data.flower_parts.PARTS`.
_FLOWER_NAMES = ('pot', 'soil', 'stem', 'leaf', 'petal', 'disc')


@functools.cache
def _flower(hue: str, viewpoint: int) -> Drawing:
  """The rendered flower, cut out."""
  scene = Scene(_FLOWERS, jitter=0.6)
  made = render('single-6c', f'petals {hue}', viewpoint, scene=scene)
  seen = made.parts > 0
  rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
  box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
  alpha = np.where(seen, 255, 0).astype(np.uint8)
  labels = np.zeros((*seen.shape, len(LAYERS)), np.uint8)
  labels[..., PART] = made.parts
  pixels = np.concatenate([made.picture, alpha[..., None]], axis=-1)
  return Drawing('flower', pixels[box], labels[box], _FLOWER_NAMES)
