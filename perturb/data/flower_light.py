"""The flower as a camera sees it: which part each sample of a picture shows, and how bright it is.

Numbers go through +, -, *, / and square roots alone, one operation at a time, so that every machine
has the same ones. Colours come later: all classes of a set share this.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from perturb.data.flower_parts import PARTS, Mesh, dot, joined, part, unit
from perturb.data.rasteriser import rasterise

FRAME = 300  # Of a rendered picture: its side, in pixels.
MARGIN = 42  # Around a frame: what a crop shows there when it is turned by 25 degrees.
WHOLE = FRAME + 2 * MARGIN
SAMPLES = 2  # Of a pixel's side.

PITCH = math.radians(16)  # How far the camera looks down.
DISTANCE, MIDDLE, ZOOM = 4.2, 0.55, 3.55  # From the flower; the height looked at; focal length.
LIGHT = (-0.45, 0.62, 0.65)  # Where it comes from: to the right, up, near.
AMBIENT, KEY, GLOSS = 0.7, 0.42, 0.2  # How bright the sky, the light and its highlights are.


class Lit(NamedTuple):
  """The samples of a viewpoint that see the flower, N of them.

  Attributes:
    place: int32 `[N]`, in a picture of `WHOLE * SAMPLES` pixels a side.
    part: uint8 `[N]`, 1 + the index in `PARTS`.
    light: float32 `[N]`: what its colour is multiplied by.
    shine: float32 `[N]`: what is added.
  """

  place: np.ndarray
  part: np.ndarray
  light: np.ndarray
  shine: np.ndarray


@functools.lru_cache(maxsize=80)  # 1 MB each: 40 viewpoints of two shapes.
def lit(shown: tuple[str, ...], turn: float, light: tuple[float, ...]) -> Lit:
  """The samples that see the flower.

  Args:
    shown: which of `PARTS`.
    turn: of the flower, as a share of a whole turn.
    light: where it comes from, as `LIGHT`, and its strength, 1 as a rule.
  """
  side = WHOLE * SAMPLES
  if not shown:
    return Lit(np.zeros(0, np.int32), np.zeros(0, np.uint8), *np.zeros((2, 0), np.float32))
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
  return Lit(
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
