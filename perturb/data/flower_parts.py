"""The shape of a toy flower in a pot: what its parts are, as triangles.

One unit is the flower's height; z goes up, and the pot stands around the origin. Every part is
swept: elliptical sections along a path.
"""

from collections.abc import Sequence
import functools
import math
from typing import NamedTuple

import numpy as np

# In the order of the indices of a picture of parts, from 1; 0 is the background.
PARTS = ('pot', 'soil', 'stem', 'leaves', 'petals', 'disc', 'balls', 'thorns')
DIGITS = 9  # Of coordinates: the last bits of a sine differ from one machine to another.

PETALS = 7
UPRIGHT = np.array([0.0, 0.0, 1.0])


class Mesh(NamedTuple):
  """Triangles, clockwise as they are seen from outside.

  Attributes:
    corners: float64 `[T, 3, 3]`: of each corner x, y, z.
    normals: float64 `[T, 3, 3]`: of each corner, of length 1, outwards.
  """

  corners: np.ndarray
  normals: np.ndarray


class Curve(NamedTuple):
  """A path and the ellipses across it.

  Attributes:
    path: `[n, 3]`, their middles.
    side: `[3]` or `[n, 3]`, of length 1: the direction of the first half axis.
    up: as `side`, of the second, which is across the first.
    width: `[n]`, the first half axis.
    thick: `[n]`, the second.
  """

  path: np.ndarray
  side: np.ndarray
  up: np.ndarray
  width: np.ndarray
  thick: np.ndarray


@functools.cache
def part(name: str) -> Mesh:
  """A part of the flower by its name, one of `PARTS`."""
  return joined([swept(curve, around) for curve, around in _CURVES[name]()])


def joined(meshes: Sequence[Mesh]) -> Mesh:
  """Several meshes as one."""
  return Mesh(*(np.concatenate(arrays) for arrays in zip(*meshes, strict=True)))


def swept(curve: Curve, around: int) -> Mesh:
  """The surface through the ellipses of a curve; `around` corners stand for each ellipse."""
  angles = 2 * np.pi * np.arange(around) / around
  side, up = np.atleast_2d(curve.side), np.atleast_2d(curve.up)
  points = (
    curve.path[:, None]
    + (side * curve.width[:, None])[:, None] * np.cos(angles)[:, None]
    + (up * curve.thick[:, None])[:, None] * np.sin(angles)[:, None]
  )
  points = np.round(np.concatenate([points, points[:, :1]], axis=1), DIGITS) + 0.0  # No -0.
  a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
  corners = np.concatenate([np.stack(x, axis=2).reshape(-1, 3, 3) for x in ((a, c, b), (a, d, c))])
  across = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
  corners, across = corners[across.any(axis=1)], across[across.any(axis=1)]
  return Mesh(corners, _smooth(corners, -across))


def _smooth(corners: np.ndarray, across: np.ndarray) -> np.ndarray:
  """A normal for each corner: of all triangles that meet there, by their areas."""
  _, place = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
  sums = np.zeros((place.max() + 1, 3))
  np.add.at(sums, place.reshape(-1), np.repeat(across, 3, axis=0))
  return unit(sums)[place.reshape(-1)].reshape(corners.shape)


def cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """The vector product of vectors `[..., 3]`."""
  (a, b, c), (x, y, z) = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
  return np.stack([b * z - c * y, c * x - a * z, a * y - b * x], axis=-1)


def dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """The inner product of vectors `[..., 3]`, added up in one order on every machine."""
  product = first * second
  return product[..., 0] + product[..., 1] + product[..., 2]


def unit(vectors: np.ndarray) -> np.ndarray:
  """Vectors `[..., 3]` at the length 1."""
  return vectors / np.sqrt(dot(vectors, vectors))[..., None]


def _turned(heights: Sequence[float], radii: Sequence[float]) -> Curve:
  """What a potter's wheel makes: radii at heights; equal corners twice keep an edge sharp."""
  path = np.outer(heights, UPRIGHT)
  return Curve(path, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), *[np.array(radii, float)] * 2)


def _ball(middle: np.ndarray, axis: np.ndarray, radius: float, flat: float = 1.0) -> Curve:
  """A sphere, or one that is flat along its axis."""
  angles = np.linspace(0, np.pi, 13)
  side, up = _across(axis)
  path = middle - np.outer(np.cos(angles), axis) * radius * flat
  return Curve(path, side, up, *[radius * np.sin(angles)] * 2)


def _across(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Two directions across an axis and each other, right-handed with it."""
  side = unit(cross(np.array([0.31, 0.92, 0.11]), axis))
  return side, cross(axis, side)


def _blade(
  start: np.ndarray,
  along: np.ndarray,
  up: np.ndarray,
  *,
  length: float,
  width: float,
  thick: float,
  bend: float,
) -> Curve:
  """A leaf or a petal: narrow, wide, round at its end; bent towards `up`, or away from it."""
  share = (1 - np.cos(np.linspace(0, np.pi, 15))) / 2
  path = start + np.outer(share * length, along) + np.outer(bend * length * share**2, up)
  outline = np.sqrt(share * (1 - share)) * (0.75 + 0.5 * share) * 2
  return Curve(path, cross(up, along), up, outline * width / 2, outline * thick / 2)


def _stem_at(share: np.ndarray | float) -> np.ndarray:
  """The middle of the stem, from the soil (0) to the flower (1): `[..., 3]`."""
  t = np.asarray(share)[..., None]
  points = np.array([[0, 0, 0.25], [-0.10, 0.02, 0.5], [0.08, -0.05, 0.62], [0.03, 0.06, 0.82]])
  a, b, c, d = points
  return a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3


FACE = unit(np.array([-0.2, -0.8, 0.56]))  # Where the flower looks: sideways and up.
HEAD = _stem_at(1.0) + 0.02 * FACE


def _spokes() -> list[np.ndarray]:
  """The directions of the petals from the flower's middle."""
  side, up = _across(FACE)
  angles = [2 * math.pi * k / PETALS for k in range(PETALS)]
  return [math.cos(angle) * side + math.sin(angle) * up for angle in angles]


def _pot() -> list[tuple[Curve, int]]:
  heights = [0, 0, 0, 0.22, 0.22, 0.22, 0.22, 0.29, 0.29, 0.29, 0.29, 0.25]
  radii = [0, 0.12, 0.12, 0.15, 0.15, 0.18, 0.18, 0.185, 0.185, 0.155, 0.155, 0.15]
  rings = [_turned(heights[k : k + 2], radii[k : k + 2]) for k in range(len(heights) - 1)]
  return [(ring, 48) for ring in rings if len({*zip(ring.path[:, 2], ring.width, strict=True)}) > 1]


def _soil() -> list[tuple[Curve, int]]:
  return [(_turned([0.25, 0.265, 0.27], [0.152, 0.1, 0]), 48)]


def _stem() -> list[tuple[Curve, int]]:
  share = np.linspace(0, 1, 25)
  path = _stem_at(share)
  along = unit(np.gradient(path, axis=0))
  side = unit(cross(np.array([0, 1.0, 0]), along))
  thick = 0.036 - 0.008 * share
  return [(Curve(path, side, cross(along, side), thick, thick), 14)]


def _leaves() -> list[tuple[Curve, int]]:
  found = []
  # Where on the stem, to what side, how steep, how long.
  for share, angle, rise, length in (
    (0.22, -20, 40, 0.32),
    (0.36, 150, 32, 0.28),
    (0.55, 50, 45, 0.17),
  ):
    turn, lift = math.radians(angle), math.radians(rise)
    out = np.array([math.cos(turn), math.sin(turn), 0])
    along = math.cos(lift) * out + math.sin(lift) * UPRIGHT
    up = math.cos(lift) * UPRIGHT - math.sin(lift) * out
    start = _stem_at(share)
    found.append(
      (_blade(start, along, up, length=length, width=0.46 * length, thick=0.022, bend=-0.35), 14)
    )
  return found


def _petals() -> list[tuple[Curve, int]]:
  found = []
  for k, spoke in enumerate(_spokes()):
    along = unit(spoke + 0.18 * FACE)
    up = unit(FACE - 0.18 * spoke)
    start = HEAD + 0.03 * spoke + 0.006 * (k % 2) * FACE
    found.append((_blade(start, along, up, length=0.25, width=0.195, thick=0.038, bend=0.12), 18))
  return found


def _disc() -> list[tuple[Curve, int]]:
  return [(_ball(HEAD + 0.02 * FACE, FACE, 0.09, flat=0.55), 28)]


def _balls() -> list[tuple[Curve, int]]:
  """One on each petal, seen from before and from behind."""
  return [(_ball(HEAD + 0.2 * spoke + 0.055 * FACE, FACE, 0.045), 18) for spoke in _spokes()]


def _thorns() -> list[tuple[Curve, int]]:
  found = []
  for k, share in enumerate(np.linspace(0.12, 0.9, 12)):
    angle = 2.4 * k  # The golden angle: as leaves stand around a stem.
    axis = unit(np.array([math.cos(angle), math.sin(angle), 0.25]))
    side, up = _across(axis)
    path = _stem_at(share) + np.outer([0.01, 0.1], axis)
    found.append((Curve(path, side, up, *[np.array([0.026, 0])] * 2), 12))
  return found


_CURVES = {
  'pot': _pot,
  'soil': _soil,
  'stem': _stem,
  'leaves': _leaves,
  'petals': _petals,
  'disc': _disc,
  'balls': _balls,
  'thorns': _thorns,
}
