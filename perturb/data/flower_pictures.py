"""Pictures of a toy flower, with the part of each pixel: a frame a viewpoint, and views of frames.

After an8Flower (Oramas, Wang and Tuytelaars, ICLR 2019, sections 4.3 and 9), whose flower and files
are not these: the classes differ in one colour, or in one part, and in nothing else. Pictures
without a part, or with one of another colour, are the interventions of FunnyBirds (Hesse,
Schaub-Meyer and Roth, ICCV 2023).
"""

from collections.abc import Collection, Mapping
import functools
import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from perturb.data.flower_parts import PARTS, Mesh, dot, joined, part, unit
from perturb.data.rasteriser import rasterise
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

FRAME = 300  # Of a rendered picture: its side, in pixels.
CROP = 250
VIEWPOINTS = 40
CROPS, ROTATIONS = 5, 5
DEGREES = 5  # Of the first rotation, and from each to the next.
MARGIN = 42  # Around a frame: what a crop shows there when it is turned by 25 degrees.
WHOLE = FRAME + 2 * MARGIN
SAMPLES = 2  # Of a pixel's side.

PITCH = math.radians(16)  # How far the camera looks down.
DISTANCE, MIDDLE, ZOOM = 4.2, 0.55, 3.55  # From the flower; the height looked at; focal length.
LIGHT, AMBIENT, KEY, GLOSS = (
  np.array([-0.45, 0.62, 0.65]),
  0.7,
  0.42,
  0.2,
)  # To the right, up, near.


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


class _Lit(NamedTuple):
  """The samples of a viewpoint that see the flower, N of them.

  Attributes:
    place: int32 `[N]`, in a picture of `WHOLE * SAMPLES` pixels a side.
    part: uint8 `[N]`, as of `Rendered`.
    light: float32 `[N]`: what its colour is multiplied by.
    shine: float32 `[N]`: what is added.
  """

  place: np.ndarray
  part: np.ndarray
  light: np.ndarray
  shine: np.ndarray


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
  lit = _lit(shown, viewpoint / scene.viewpoints, _light(scene, viewpoint))
  return Rendered(_painted(lit, colours, _background(scene, viewpoint)), _majority(lit))


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
  return (*(LIGHT + 0.5 * moved[:3]).tolist(), float(1 + 0.25 * moved[3]))


@functools.lru_cache(maxsize=2 * VIEWPOINTS)
def _lit(shown: tuple[str, ...], turn: float, light: tuple[float, ...]) -> _Lit:
  side = WHOLE * SAMPLES
  if not shown:
    return _Lit(np.zeros(0, np.int32), np.zeros(0, np.uint8), *np.zeros((2, 0), np.float32))
  meshes = [part(name) for name in shown]
  owner = np.repeat([1 + PARTS.index(name) for name in shown], [len(m.corners) for m in meshes])
  mesh = seen_from(joined(meshes), turn)
  found = rasterise(projected(mesh.corners), side, side)
  place = np.flatnonzero(found.face >= 0)
  face = found.face.reshape(-1)[place]
  weights = found.weights.reshape(-1, 3)[place]
  normals, points = (
    sum(weights[:, k, None] * each[face, k] for k in range(3))
    for each in (mesh.normals, mesh.corners)
  )
  diffuse, shine = _shaded(unit(normals), unit(np.array([0, 0, DISTANCE]) - points), light)
  return _Lit(
    place.astype(np.int32),
    owner[face].astype(np.uint8),
    diffuse.astype(np.float32),
    shine.astype(np.float32),
  )


def projected(corners: np.ndarray) -> np.ndarray:
  """Corners `[..., 3]` in the camera's axes -> samples to the right, samples down, depth."""
  depth = DISTANCE - corners[..., 2:]
  across = corners[..., :2] * [1, -1] / depth * (ZOOM * FRAME * SAMPLES) + WHOLE * SAMPLES / 2
  return np.concatenate([across, depth], axis=-1)


def seen_from(mesh: Mesh, turn: float) -> Mesh:
  """In the camera's axes: to the right, up, near; `turn` is a share of a whole turn."""
  cos, sin = _circle(2 * math.pi * turn)
  down, level = _circle(PITCH)[::-1]

  def moved(points: np.ndarray, height: float) -> np.ndarray:
    x, y, z = np.moveaxis(points, -1, 0)
    z = z - height
    right, far = cos * x - sin * y, sin * x + cos * y
    return np.stack([right, level * z + down * far, down * z - level * far], axis=-1)

  return Mesh(moved(mesh.corners, MIDDLE), moved(mesh.normals, 0))


def _circle(angle: float) -> tuple[float, float]:
  """(cosine, sine) without the last bits, in which machines differ."""
  return round(math.cos(angle), 12), round(math.sin(angle), 12)


def _shaded(
  normals: np.ndarray, to_eye: np.ndarray, light: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
  """(what a colour is multiplied by, what is added): Lambert, sky, and Blinn's highlight."""
  to_light, strength = unit(np.array(light[:3])), light[3]
  facing = dot(normals, to_light).clip(0)
  sky = AMBIENT * (0.85 + 0.15 * normals[:, 1])
  highlight = dot(normals, unit(to_light + to_eye)).clip(0)
  for _ in range(5):  # To the power of 32, by products, which are the same everywhere.
    highlight = highlight * highlight
  return sky + KEY * strength * facing, 255 * GLOSS * strength * highlight * (facing > 0)


def _painted(lit: _Lit, colours: np.ndarray, behind: np.ndarray) -> np.ndarray:
  """The mean of a pixel's samples, uint8 `[WHOLE, WHOLE, 3]`."""
  samples = behind.repeat(SAMPLES, 0).repeat(SAMPLES, 1).reshape(-1, 3)
  shade = colours[lit.part] * lit.light[:, None] + lit.shine[:, None]
  samples[lit.place] = np.rint(shade.clip(0, 255))
  total = samples.reshape(WHOLE, SAMPLES, WHOLE, SAMPLES, 3).sum(axis=(1, 3), dtype=np.int32)
  return ((total + SAMPLES**2 // 2) // SAMPLES**2).astype(np.uint8)


def _majority(lit: _Lit) -> np.ndarray:
  """The part that most samples of a pixel see, uint8 `[WHOLE, WHOLE]`; of equals the last one."""
  samples = np.zeros((WHOLE * SAMPLES) ** 2, np.uint8)
  samples[lit.place] = lit.part
  blocks = samples.reshape(WHOLE, SAMPLES, WHOLE, SAMPLES)
  most, found = np.zeros((2, WHOLE, WHOLE), np.uint8)
  for index in range(len(PARTS) + 1):
    count = (blocks == index).sum(axis=(1, 3), dtype=np.uint8)
    found = np.where(count >= np.maximum(most, 1), np.uint8(index), found)
    most = np.maximum(most, count)
  return found


def _background(scene: Scene, viewpoint: int) -> np.ndarray:
  """uint8 `[WHOLE, WHOLE, 3]`."""
  if scene.background == 'plain':
    return np.full((WHOLE, WHOLE, 3), PLAIN, np.uint8)
  random, clouds = _random(scene, viewpoint, 2), np.zeros((WHOLE, WHOLE, 3), np.int64)
  for cells, weight in ((3, 5), (8, 4), (24, 4), (64, 3)):  # Coarse and fine; of 16.
    noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
    clouds += weight * np.asarray(noise.resize((WHOLE, WHOLE), Image.Resampling.BICUBIC), np.int64)
  return (clouds // 16).astype(np.uint8)
