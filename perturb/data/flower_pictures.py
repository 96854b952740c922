"""Pictures of a toy flower, with the part of each pixel: a frame a viewpoint, and views of frames.

After an8Flower (Oramas, Wang and Tuytelaars, ICLR 2019, sections 4.3 and 9), whose flower and files
are not these: the classes differ in one colour, or in one part, and in nothing else. Pictures
without a part, or with one of another colour, are the interventions of FunnyBirds (Hesse,
Schaub-Meyer and Roth, ICCV 2023).
"""

from collections.abc import Collection, Mapping
import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from perturb.data.flower_light import FRAME, LIGHT, MARGIN, SAMPLES, WHOLE, Lit, lit
from perturb.data.flower_parts import PARTS
from perturb.errors import UserError, check_choice

Background = Literal['plain', 'textured']

COLOURS = {
  'blue': (52, 88, 214),
  'cyan': (40, 190, 205),
  'orange': (246, 140, 28),
  'pink': (238, 96, 170),
  'red': (212, 34, 40),
  'yellow': (246, 214, 40),
  'white': (240, 238, 230),
}
HUES = ('blue', 'cyan', 'orange', 'pink', 'red', 'yellow')
USUAL = {
  'pot': (168, 112, 84),
  'soil': (82, 62, 50),
  'stem': (96, 142, 62),
  'leaves': (74, 132, 58),
  'petals': COLOURS['white'],
  'disc': (112, 74, 40),
  'balls': (128, 40, 150),
  'thorns': (128, 40, 150),
}
PLAIN = (196, 202, 208)  # The background.

# The classes of each set, in the order of their labels, which is that of the alphabet.
VARIANTS = {
  'single-6c': tuple(f'petals {hue}' for hue in HUES),
  'double-12c': tuple(f'{where} {hue}' for where in ('petals', 'stem') for hue in HUES),
  'part-2c': ('balls', 'thorns'),
}

CROP = 250
VIEWPOINTS = 40
CROPS, ROTATIONS = 5, 5
DEGREES = 5  # Of the first rotation, and from each to the next.


class Rendered(NamedTuple):
  """A picture and what is where.

  Attributes:
    picture: uint8 `[H, W, 3]`.
    parts: uint8 `[H, W]`: 0 where the background is seen, else 1 + the index in `PARTS`.
  """

  picture: np.ndarray
  parts: np.ndarray

  def mask(self, name: str) -> np.ndarray:
    """The pixels that show a part, bool `[H, W]`."""
    return self.parts == 1 + PARTS.index(name)


def discriminative_part(label: str) -> str:
  """The one of `PARTS` that makes a class what it is: of 'petals red', 'petals'."""
  return label.split(' ')[0]


class Scene(NamedTuple):
  """What all classes of a set share.

  Attributes:
    viewpoints: the steps of a whole turn.
    background: 'plain', or 'textured': random clouds, other ones at each viewpoint.
    jitter: 0 to 1: how much the light and all colours differ from viewpoint to viewpoint.
    seed: of the clouds and of what jitter does.
  """

  viewpoints: int = VIEWPOINTS
  background: Background = 'plain'
  jitter: float = 0.0
  seed: int = 0


USUAL_SCENE = Scene()


def render(
  variant: str,
  label: str,
  viewpoint: int,
  *,
  without: Collection[str] = (),
  recolour: Mapping[str, str] | None = None,
  scene: Scene = USUAL_SCENE,
) -> Rendered:
  """A frame, 300 x 300 pixels: the flower of a class from a viewpoint.

  At a viewpoint all classes of a set have the same shape, light and background, but for the part
  that makes the class.

  Args:
    variant: the set, one of `VARIANTS`.
    label: the name of a class of it.
    viewpoint: from 0: how many steps the flower is turned.
    without: names of `PARTS` that are left away; what is behind them is then seen.
    recolour: part -> a name of `COLOURS`, in place of its own.
    scene: what all classes share.

  Raises:
    UserError: for a name that is none of these, or a number outside its range.
  """
  whole = render_whole(variant, label, viewpoint, without=without, recolour=recolour, scene=scene)
  inside = slice(MARGIN, MARGIN + FRAME)
  return Rendered(whole.picture[inside, inside], whole.parts[inside, inside])


def render_whole(
  variant: str,
  label: str,
  viewpoint: int,
  *,
  without: Collection[str] = (),
  recolour: Mapping[str, str] | None = None,
  scene: Scene = USUAL_SCENE,
) -> Rendered:
  """As `render`, with `MARGIN` pixels of background around the frame, for `view`."""
  recolour = recolour or {}
  _check(variant, label, viewpoint, scene)
  for name in (*without, *recolour):
    check_choice('a part', name, PARTS)
  for name in recolour.values():
    check_choice('a colour', name, list(COLOURS))
  shown = tuple(name for name in _parts_of(label) if name not in without)
  colours = _colours(label, recolour) * _tints(scene, viewpoint)
  found = lit(shown, viewpoint / scene.viewpoints, _light(scene, viewpoint))
  return Rendered(_painted(found, colours, _background(scene, viewpoint)), _majority(found))


def view(whole: Rendered, crop: int, rotation: int) -> Rendered:
  """A picture of the set, 250 x 250 pixels: a crop of a frame, turned counterclockwise.

  What turns into the crop is what the frame's surroundings show; no corner is empty. The picture is
  interpolated (bilinear), and of the parts the nearest pixel is taken.

  Args:
    whole: of `render_whole`.
    crop: 1 to 5: top left, top right, bottom left, bottom right, middle.
    rotation: 1 to 5: by 5, 10, 15, 20, 25 degrees.
  """
  far, half = FRAME - CROP, (FRAME - CROP) / 2
  left, top = [(0, 0), (far, 0), (0, far), (far, far), (half, half)][crop - 1]
  x, y = MARGIN + left + CROP / 2, MARGIN + top + CROP / 2
  angle = math.radians(DEGREES * rotation)
  cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
  start = CROP / 2
  matrix = (cos, -sin, x - cos * start + sin * start, sin, cos, y - sin * start - cos * start)

  def turned(pixels: np.ndarray, resample: Image.Resampling) -> np.ndarray:
    image = Image.fromarray(pixels)
    return np.asarray(image.transform((CROP, CROP), Image.Transform.AFFINE, matrix, resample))

  return Rendered(
    turned(whole.picture, Image.Resampling.BILINEAR),
    turned(whole.parts, Image.Resampling.NEAREST),
  )


def _check(variant: str, label: str, viewpoint: int, scene: Scene) -> None:
  check_choice('variant', variant, list(VARIANTS))
  check_choice(f'a class of {variant}', label, VARIANTS[variant])
  check_choice('background', scene.background, get_args(Background))
  if not 0 <= viewpoint < scene.viewpoints:
    raise UserError(f'viewpoint must be from 0 to {scene.viewpoints - 1}, not {viewpoint}')
  if not 0 <= scene.jitter <= 1:
    raise UserError(f'jitter must be from 0 to 1, not {scene.jitter}')


def _parts_of(label: str) -> tuple[str, ...]:
  own = discriminative_part(label)
  return tuple(name for name in PARTS if name == own or name not in VARIANTS['part-2c'])


def _colours(label: str, recolour: Mapping[str, str]) -> np.ndarray:
  """`[1 + parts, 3]`; the first is nobody's."""
  own, _, hue = label.partition(' ')
  named = {**({own: hue} if hue else {}), **recolour}
  return np.array(
    [(0, 0, 0), *(COLOURS[named[name]] if name in named else USUAL[name] for name in PARTS)], float
  )


def _random(scene: Scene, viewpoint: int, use: int) -> np.random.Generator:
  return np.random.Generator(np.random.PCG64(np.random.SeedSequence([scene.seed, viewpoint, use])))


def _tints(scene: Scene, viewpoint: int) -> np.ndarray:
  """What the colours of parts are multiplied by, `[1 + parts, 3]`: up to 12 % more or less."""
  return 1 + 0.12 * scene.jitter * _random(scene, viewpoint, 0).uniform(-1, 1, (1 + len(PARTS), 3))


def _light(scene: Scene, viewpoint: int) -> tuple[float, ...]:
  """(its direction x, y, z, its strength)."""
  moved = _random(scene, viewpoint, 1).uniform(-1, 1, 4) * scene.jitter
  return (*(np.array(LIGHT) + 0.5 * moved[:3]).tolist(), float(1 + 0.25 * moved[3]))


def _painted(found: Lit, colours: np.ndarray, behind: np.ndarray) -> np.ndarray:
  """The mean of a pixel's samples, uint8 `[WHOLE, WHOLE, 3]`."""
  samples = behind.repeat(SAMPLES, 0).repeat(SAMPLES, 1).reshape(-1, 3)
  shade = colours[found.part] * found.light[:, None] + found.shine[:, None]
  samples[found.place] = np.rint(shade.clip(0, 255))
  total = samples.reshape(WHOLE, SAMPLES, WHOLE, SAMPLES, 3).sum(axis=(1, 3), dtype=np.int32)
  return ((total + SAMPLES**2 // 2) // SAMPLES**2).astype(np.uint8)


def _majority(found: Lit) -> np.ndarray:
  """The part that most samples of a pixel see, uint8 `[WHOLE, WHOLE]`; of equals the last one."""
  samples = np.zeros((WHOLE * SAMPLES) ** 2, np.uint8)
  samples[found.place] = found.part
  blocks = samples.reshape(WHOLE, SAMPLES, WHOLE, SAMPLES)
  most, owner = np.zeros((2, WHOLE, WHOLE), np.uint8)
  for index in range(len(PARTS) + 1):
    count = (blocks == index).sum(axis=(1, 3), dtype=np.uint8)
    owner = np.where(count >= np.maximum(most, 1), np.uint8(index), owner)
    most = np.maximum(most, count)
  return owner


def _background(scene: Scene, viewpoint: int) -> np.ndarray:
  """uint8 `[WHOLE, WHOLE, 3]`."""
  if scene.background == 'plain':
    return np.full((WHOLE, WHOLE, 3), PLAIN, np.uint8)
  random, clouds = _random(scene, viewpoint, 2), np.zeros((WHOLE, WHOLE, 3), np.int64)
  for cells, weight in ((3, 5), (8, 4), (24, 4), (64, 3)):  # Coarse and fine; of 16.
    noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
    clouds += weight * np.asarray(noise.resize((WHOLE, WHOLE), Image.Resampling.BICUBIC), np.int64)
  return (clouds // 16).astype(np.uint8)
