"""Generated pictures labelled as BRODEN's are: with colours, textures, objects, parts and scenes.

Some pictures are one texture, as those of the Describable Textures Dataset are. In the others
objects of several kinds, sizes, colours and angles lie over each other at a place.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from concepts.drawing.backdrops import PLACES, SURFACES, Backdrop, draw_backdrop
from concepts.drawing.colours import COLOURS, name_colours
from concepts.drawing.objects import LAYERS, OBJECTS, SHAPES, TEXTURE, Drawing, draw_object
from concepts.drawing.textures import TEXTURES, draw_texture
from perturb.data.composites import OPAQUE, Cutout

CATEGORIES = ('color', 'object', 'part', 'scene', 'texture')
ONE_TEXTURE = 0.25  # The share of pictures that are one.
MOST = 4  # Objects in a picture, 1 to so many.
SCALES = (0.22, 0.62)  # Of the longer side of an object, as a share of the picture's side.
TURNED = 20.0  # Degrees at most; shapes are turned by any angle.
STAMPED = 0.4  # The share of objects that are cut-outs where there are some.
_LEAST_SEEN, _TRIES = 0.5, 20  # Share of each object's pixels; places that are tried for one.
_SHADOW = 0.35  # How much darker the ground is in it.


class Scene(NamedTuple):
  """A picture and what is labelled in it, by category; a category that is not labelled is missing.

  Attributes:
    picture: uint8 `[S, S, 3]`.
    maps: uint16 `[M, S / 2, S / 2]`: 0 for nothing, else 1 + the index in `names`.
    whole: names of what the whole picture is.
    names: of what the maps show.
  """

  picture: np.ndarray
  maps: Mapping[str, np.ndarray]
  whole: Mapping[str, tuple[str, ...]]
  names: tuple[str, ...]


def compose_scene(seed: int, index: int, size: int = 224, cutouts: Sequence[Cutout] = ()) -> Scene:
  """The picture of an index: the same whatever else is composed, and in whatever order.

  As in BRODEN the names of colours end in '-c' and those of places in '-s', so that they are no
  others'. A pixel of a map is labelled as the one at the middle of what it shows.

  Args:
    seed: of the set of pictures, from 0.
    index: of the picture, from 0.
    size: S, its side in pixels, even.
    cutouts: photographs of more objects, whose parts are not labelled.
  """
  random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
  if random.uniform() < ONE_TEXTURE:
    return _one_texture(random, size)
  place = PLACES[int(random.integers(len(PLACES)))]
  sheet = _Sheet(draw_backdrop(random, place, size))
  for _ in range(1 + int(random.integers(MOST))):
    sheet.add(random, _choose(random, cutouts))
  maps = {name: found for name, found in sheet.maps().items() if found.any()}
  return Scene(
    sheet.picture,
    {**maps, 'color': sheet.colours()[None]},
    {'scene': (f'{place}-s',)},
    tuple(sheet.names),
  )


def _one_texture(random: np.random.Generator, size: int) -> Scene:
  name = TEXTURES[int(random.integers(len(TEXTURES)))]
  nothing = np.zeros((size, size), np.uint8)
  sheet = _Sheet(Backdrop(draw_texture(random, name, size), nothing, nothing))
  maps = {'color': sheet.colours()[None]}
  return Scene(sheet.picture, maps, {'texture': (name,)}, tuple(sheet.names))


def _choose(random: np.random.Generator, cutouts: Sequence[Cutout]) -> Drawing:
  """A drawn object or a cut-out one; all kinds of either are equally likely."""
  if not cutouts or random.uniform() >= STAMPED:
    return draw_object(random, OBJECTS[int(random.integers(len(OBJECTS)))])
  labels = sorted({one.label for one in cutouts})
  label = labels[int(random.integers(len(labels)))]
  alike = [one for one in cutouts if one.label == label]
  one = alike[int(random.integers(len(alike)))]
  nothing = np.zeros((*one.pixels.shape[:2], len(LAYERS)), np.uint8)
  return Drawing(label, one.pixels, nothing, ())


class _Sheet:
  """A picture, its maps at full size, and the names in them; objects are added one over another."""

  def __init__(self, backdrop: Backdrop) -> None:
    self.picture = backdrop.picture
    self.names: list[str] = []
    self.object = self._codes(SURFACES)[backdrop.surfaces]
    self.layers = np.zeros((len(LAYERS), *self.object.shape), np.uint16)
    self.layers[TEXTURE] = self._codes(TEXTURES)[backdrop.textures]
    self.owner = np.zeros(self.object.shape, np.uint8)  # The object that a pixel shows, from 1.
    self.whole: list[int] = []  # Pixels of each object, hidden or not.

  def maps(self) -> dict[str, np.ndarray]:
    """By category those of objects, parts and textures at half the size; none is all empty."""
    found = {'object': [self.object]}
    for name, layer in zip(LAYERS, self.layers, strict=True):
      if layer[1::2, 1::2].any():
        found.setdefault(name, []).append(layer)
    return {name: np.stack(layers)[:, 1::2, 1::2] for name, layers in found.items()}

  def colours(self) -> np.ndarray:
    """The map of colours at half the size."""
    half = Image.fromarray(self.picture).reduce(2)
    return self._codes([f'{name}-c' for name in COLOURS])[name_colours(np.asarray(half))]

  def add(self, random: np.random.Generator, drawing: Drawing) -> None:
    """Adds an object where it hides no other too much, or not at all if there is no such place."""
    pixels, labels = _moved(random, drawing, len(self.picture))
    for _ in range(_TRIES):
      corner = [
        int(random.uniform(-0.2 * side, len(self.picture) - 0.8 * side))
        for side in pixels.shape[:2]
      ]
      if self._shows_enough(alpha := _placed(pixels[..., 3], corner, len(self.picture))):
        self._paint(pixels, alpha, corner)
        self._label(drawing, _placed(labels, corner, len(self.picture)), alpha >= OPAQUE)
        return

  def _shows_enough(self, alpha: np.ndarray) -> bool:
    """Whether with an object over it each other one is still seen."""
    left = np.bincount(self.owner[alpha < OPAQUE], minlength=1 + len(self.whole))[1:]
    return bool(np.all(left >= _LEAST_SEEN * np.array(self.whole, float)))

  def _paint(self, pixels: np.ndarray, alpha: np.ndarray, corner: Sequence[int]) -> None:
    """The object over its soft shadow."""
    size = len(self.picture)
    below = Image.new('L', (size, size))
    below.paste(Image.fromarray(alpha), (size // 56, size // 56))
    soft = np.asarray(below.filter(ImageFilter.GaussianBlur(size / 56)), np.float32)
    shadow = soft[..., None] / 255
    over = alpha[..., None].astype(np.float32) / 255
    ground = self.picture * (1 - _SHADOW * shadow)
    colour = _placed(pixels[..., :3], corner, size)
    self.picture = np.rint(over * colour + (1 - over) * ground).astype(np.uint8)

  def _label(self, drawing: Drawing, labels: np.ndarray, seen: np.ndarray) -> None:
    self.whole.append(int(seen.sum()))
    self.owner[seen] = len(self.whole)
    self.object[seen] = self._codes([drawing.name])[1]
    inner = np.moveaxis(self._codes(drawing.names)[labels], -1, 0)
    for layer, inside in zip(self.layers, inner, strict=True):
      layer[seen] = inside[seen]

  def _codes(self, names: Sequence[str]) -> np.ndarray:
    """0, and what stands for each name in the maps of this picture."""
    self.names += [name for name in names if name not in self.names]
    return np.array([0, *(1 + self.names.index(name) for name in names)], np.uint16)


def _moved(
  random: np.random.Generator, drawing: Drawing, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """The pixels and labels of an object at another size, mirrored and turned."""
  height, width = drawing.pixels.shape[:2]
  scale = random.uniform(*SCALES) * size / max(height, width)
  shape = max(2, round(width * scale)), max(2, round(height * scale))
  angle = random.uniform(-180, 180) if drawing.name in SHAPES else random.uniform(-TURNED, TURNED)
  step = -1 if random.integers(2) else 1
  pixels, labels = (
    Image.fromarray(np.ascontiguousarray(one[:, ::step]))
    for one in (drawing.pixels, drawing.labels)
  )
  return (
    np.asarray(
      pixels.resize(shape, Image.Resampling.BICUBIC).rotate(
        angle, Image.Resampling.BICUBIC, expand=True
      )
    ),
    np.asarray(
      labels.resize(shape, Image.Resampling.NEAREST).rotate(
        angle, Image.Resampling.NEAREST, expand=True
      )
    ),
  )


def _placed(pixels: np.ndarray, corner: Sequence[int], size: int) -> np.ndarray:
  """Pixels `[h, w, ...]` with their top left at a corner of a square of zeros, cut at its sides."""
  whole = np.zeros((size, size, *pixels.shape[2:]), np.uint8)
  inside = tuple(
    slice(max(start, 0), min(start + side, size))
    for start, side in zip(corner, pixels.shape[:2], strict=True)
  )
  whole[inside] = pixels[
    tuple(
      slice(one.start - start, one.stop - start) for one, start in zip(inside, corner, strict=True)
    )
  ]
  return whole
