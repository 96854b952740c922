"""Photographs made of cut-out objects on a background, with the exact mask of every object."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from perturb.errors import UserError

SCALES = (0.25, 0.6)  # Of an object's longer side, as a share of the picture's side.
MOST_HIDDEN = 0.25  # Of an object's pixels, by those that lie over it.
MOST_ENLARGED = 2.5  # Times; an object of few pixels stays smaller than it is drawn to be.
CROPS = (0.6, 1.0)  # Of a background: the side of what is shown, as a share of its shorter side.
OPAQUE = 128  # The least alpha of a pixel that is in the mask.
TRIES, STARTS = 50, 20  # Places of an object; times that its picture is begun anew.
GREY, ALONE = 128, 0.8  # The plain background, and the longer side of the one object on it.


class Cutout(NamedTuple):
  """An object without its background.

  Attributes:
    name: for messages.
    label: its class.
    pixels: uint8 `[h, w, 4]`, RGB and alpha; something of it touches each of the four sides.
  """

  name: str
  label: str
  pixels: np.ndarray


class Place(NamedTuple):
  """Where an object is: its box in pixels of the picture, and whether it is mirrored."""

  top: int
  left: int
  height: int
  width: int
  mirrored: bool


class Composite(NamedTuple):
  """A picture with K objects; a later one lies over an earlier one.

  Attributes:
    picture: uint8 `[S, S, 3]`.
    masks: bool `[K, S, S]`: the pixels of each object that are seen.
    objects: the index of each object.
    places: of each object.
    background: uint8 `[S, S, 3]`, the picture without objects.
  """

  picture: np.ndarray
  masks: np.ndarray
  objects: tuple[int, ...]
  places: tuple[Place, ...]
  background: np.ndarray


def compose(
  objects: Sequence[Cutout],
  backgrounds: Sequence[np.ndarray],
  *,
  seed: int,
  index: int,
  size: int = 320,
  count: int = 2,
) -> Composite:
  """Draws the picture of an index: the same whatever else is drawn, and in whatever order.

  All classes are equally likely, and the objects of a class; those of a picture are of different
  classes. The longer side of an object is `SCALES` of the picture's, and the object is inside it as
  a whole. A place is drawn again if with it any object has a share of `MOST_HIDDEN` or more of its
  pixels hidden.

  Args:
    objects: to choose from.
    backgrounds: uint8 `[H, W, 3]` each; a square part of one is shown.
    seed: of the set of pictures, from 0.
    index: of the picture, from 0.
    size: S, its side in pixels.
    count: K, its objects.

  Raises:
    UserError: if there are fewer classes than objects in a picture, or no room for so many.
  """
  random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
  chosen = _choose(random, objects, count)
  background = _background(random, backgrounds, size)
  for _ in range(STARTS):
    places, layers = _arrange(random, [objects[i] for i in chosen], size)
    if len(layers) == count:
      picture = background
      for one in layers:
        picture = _over(one, picture)
      return Composite(picture, _seen(layers)[0], chosen, places, background)
  raise UserError(f'there is no room for {count} objects in a picture; take fewer')


def on_grey(cutout: Cutout, size: int) -> np.ndarray:
  """An object alone in the middle of a plain grey picture, uint8 `[S, S, 3]`."""
  height, width = _scaled(cutout.pixels.shape, ALONE * size)
  middle = Place((size - height) // 2, (size - width) // 2, height, width, False)
  return _over(layer(cutout, middle, size), np.full((size, size, 3), GREY, np.uint8))


def layer(cutout: Cutout, place: Place, size: int) -> np.ndarray:
  """An object at its place in an empty picture, uint8 `[S, S, 4]`: RGB and alpha.

  Resizing (bicubic, antialiased) weighs colours by alpha: what is clear has no part in the edges.
  """
  pixels = cutout.pixels[:, ::-1] if place.mirrored else cutout.pixels
  image = Image.fromarray(np.ascontiguousarray(pixels))
  image = image.resize((place.width, place.height), Image.Resampling.BICUBIC)
  whole = np.zeros((size, size, 4), np.uint8)
  whole[place.top :, place.left :][: place.height, : place.width] = np.asarray(image)
  return whole


def _choose(random: np.random.Generator, objects: Sequence[Cutout], count: int) -> tuple[int, ...]:
  """Objects of different classes: first the classes, then one of each."""
  labels = sorted({one.label for one in objects})
  if len(labels) < count:
    raise UserError(
      f'a picture of {count} objects of different classes is asked for, and the objects have '
      f'{len(labels)}; take fewer a picture, or more objects'
    )
  drawn = [labels[i] for i in random.permutation(len(labels))[:count]]
  of_class = [[i for i, one in enumerate(objects) if one.label == label] for label in drawn]
  return tuple(some[int(random.integers(len(some)))] for some in of_class)


def _background(
  random: np.random.Generator, backgrounds: Sequence[np.ndarray], size: int
) -> np.ndarray:
  pixels = backgrounds[int(random.integers(len(backgrounds)))]
  shorter = min(pixels.shape[:2])
  side = max(1, round(random.uniform(*CROPS) * shorter))
  top, left = (int(random.integers(whole - side + 1)) for whole in pixels.shape[:2])
  if random.integers(2):
    pixels = pixels[:, ::-1]
  part = Image.fromarray(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
  return np.asarray(part.resize((size, size), Image.Resampling.BICUBIC))


def _arrange(
  random: np.random.Generator, cutouts: Sequence[Cutout], size: int
) -> tuple[tuple[Place, ...], list[np.ndarray]]:
  """Places and layers of the objects, up to the first for which no place is found."""
  places: tuple[Place, ...] = ()
  layers: list[np.ndarray] = []
  for cutout in cutouts:
    for _ in range(TRIES):
      place = _place(random, cutout.pixels.shape, size)
      more = [*layers, layer(cutout, place, size)]
      seen, whole = (masks.sum((1, 2)) for masks in _seen(more))
      if np.all(seen > (1 - MOST_HIDDEN) * whole):
        break
    else:
      return places, layers
    places, layers = (*places, place), more
  return places, layers


def _place(random: np.random.Generator, shape: tuple[int, ...], size: int) -> Place:
  height, width = _scaled(shape, random.uniform(*SCALES) * size)
  top, left = (int(random.integers(size - side + 1)) for side in (height, width))
  return Place(top, left, height, width, bool(random.integers(2)))


def _scaled(shape: tuple[int, ...], longer: float) -> tuple[int, int]:
  """(height, width) with the longer side of so many pixels, or as `MOST_ENLARGED` allows."""
  scale = min(longer / max(shape[:2]), MOST_ENLARGED)
  return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _seen(layers: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """(the pixels of each object that are seen, all of its pixels), bool `[K, S, S]` both."""
  whole = np.stack([one[..., 3] >= OPAQUE for one in layers])
  above = np.logical_or.accumulate(whole[::-1])[::-1]  # By itself or by a later one.
  seen = whole.copy()
  seen[:-1] &= ~above[1:]
  return seen, whole


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
  """RGB and alpha `[S, S, 4]` laid over RGB `[S, S, 3]`; rounded to the nearest."""
  colour, alpha = above[..., :3].astype(np.int32), above[..., 3:].astype(np.int32)
  return ((alpha * colour + (255 - alpha) * below + 127) // 255).astype(np.uint8)
