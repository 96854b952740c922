"""Pictures turned and enlarged, where their patches go, and how alike these stay to a network.

Source: Fong, Mordvintsev, Vedaldi and Olah, "Interactive Similarity Overlays", VISxAI 2021, and
its code. Letters: a picture is `[H, W]`, a layer's grid has h x w cells, T transforms.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from concepts.patch_similarity import unit
from perturb.errors import UserError

Shape = tuple[int, int]
Kind = Literal['rotation', 'scale']

ROTATIONS = (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0)  # Degrees, counterclockwise.
SCALES = (1.0, 1.8, 2.8, 4.0, 5.4, 7.1, 9.0, 11.1)  # Area factors of the article's dog.
_TINY = 1e-6  # Of a cell or a pixel: what lies on a border but for rounding lies on it.


def rotated(picture: Any, degrees: float, fill: Any = 0) -> Any:
  """A picture turned about its middle, counterclockwise, in its own frame; the nearest pixel.

  Args:
    picture: `[H, W, C]`, an array of JAX or NumPy.
    degrees: any angle.
    fill: what stands where no pixel comes from, a number or `[C]`; the article's is black.
  """
  xp = jnp if isinstance(picture, jax.Array) else np
  rows, columns, inside = _turned(picture.shape[:2], picture.shape[:2], -degrees)
  return xp.where(inside[..., None], picture[rows, columns], xp.asarray(fill, picture.dtype))


def enlarged(picture: Any, factor: float) -> Any:
  """The middle of a picture, a share 1 / factor of its area, at the size of the whole; bilinear.

  Args:
    picture: `[H, W, C]`, an array of JAX or NumPy; uint8 is rounded.
    factor: of the area, at least 1.

  Raises:
    UserError: for a factor below 1.
  """
  xp = jnp if isinstance(picture, jax.Array) else np
  down, across = (_interpolation(side, factor) for side in picture.shape[:2])
  found = across @ xp.tensordot(down, picture.astype(np.float32), 1)
  if picture.dtype == np.uint8:
    found = xp.clip(xp.rint(found), 0, 255)
  return found.astype(picture.dtype)


def transformed(picture: Any, kind: Kind, amount: float, fill: Any = 0) -> Any:
  """`rotated` by so many degrees, or `enlarged` by a factor."""
  return rotated(picture, amount, fill) if kind == 'rotation' else enlarged(picture, amount)


def rotation_places(
  grid: Shape, degrees: Sequence[float], picture: Shape | None = None
) -> np.ndarray:
  """Where each cell of a turned picture is in the same picture turned otherwise.

  With the middle c = (N - 1) / 2 and the angle between the two, a,
  x' = (y - c) sin a + (x - c) cos a and y' = (y - c) cos a - (x - c) sin a, from the middle.

  Args:
    grid: (h, w) of the layer.
    degrees: angles of the T pictures, as `rotated` takes them.
    picture: (H, W) in pixels, where the cells are not square; by default they are.

  Returns:
    int16 `[T, T, h * w]`: cell row * w + column of picture t -> its cell in picture u, the nearest;
    -1 where it has left the frame, or shows what no pixel came from. A cell is at its own place in
    its own picture.
  """
  side = picture or grid
  places = np.full((len(degrees), len(degrees), grid[0] * grid[1]), -1, np.int16)
  for i, before in enumerate(degrees):
    shown = _turned(grid, side, -before)[2].ravel()
    for j, after in enumerate(degrees):
      rows, columns, inside = _turned(grid, side, after - before)
      cells = np.where(inside, rows * grid[1] + columns, -1).ravel()
      places[i, j] = np.where(shown, cells, -1)
    places[i, i] = np.arange(grid[0] * grid[1])
  return places


def scale_places(grid: Shape, factors: Sequence[float]) -> np.ndarray:
  """Where each cell of an enlarged picture is in the same picture enlarged otherwise.

  The middle of a cell counts: the cell in which it lies.

  Args:
    grid: (h, w) of the layer.
    factors: of the area, of the T pictures, as `enlarged` takes them.

  Returns:
    int16 `[T, T, h * w]`, as `rotation_places`; -1 where it is outside of what is shown.
  """
  sides = np.sqrt([_checked(factor) for factor in factors])
  places = np.full((len(factors), len(factors), grid[0] * grid[1]), -1, np.int16)
  for i, before in enumerate(sides):
    for j, after in enumerate(sides):
      (rows, down), (columns, across) = (_along(side, after / before) for side in grid)
      inside = down[:, None] & across
      places[i, j] = np.where(inside, rows[:, None] * grid[1] + columns, -1).ravel()
  return places


def places_of(
  kind: Kind, grid: Shape, amounts: Sequence[float], picture: Shape | None = None
) -> np.ndarray:
  """`rotation_places` or `scale_places`."""
  if kind == 'rotation':
    return rotation_places(grid, amounts, picture)
  return scale_places(grid, amounts)


class Kept(NamedTuple):
  """How alike a picture's patches stay as it is transformed: means of cosines, of T transforms.

  Attributes:
    moved: of each patch and the one that shows the same thing, `[T]`.
    unmoved: of each such patch and the one at the same place in the frame.
    chance: of any such patch and any place where one of them has gone.
    border: as `moved`, where one of the two is at the border of the grid; NaN if there is none.
    middle: as `moved`, of the others.
  """

  moved: Any
  unmoved: Any
  chance: Any
  border: Any
  middle: Any


def kept_similarity(before: Any, after: Any, places: np.ndarray) -> Kept:
  """How alike the patches of a picture stay, by the cosine; `jax.numpy`, can be compiled.

  Args:
    before: activations of the picture `[h, w, C]`.
    after: those of the transformed ones `[T, h, w, C]`.
    places: int `[T, h * w]`, where each cell goes; -1: nowhere. `rotation_places(...)[0]`.
  """
  height, width, channels = before.shape
  old = unit(jnp.asarray(before)).reshape(-1, channels)
  new = unit(jnp.asarray(after)).reshape(len(places), -1, channels)
  inside, at = places >= 0, np.maximum(places, 0)
  there = jnp.take_along_axis(new, at[..., None], axis=1)
  moved = jnp.einsum('pc,tpc->tp', old, there)
  unmoved = jnp.einsum('pc,tpc->tp', old, new)
  share = inside / np.maximum(inside.sum(1, keepdims=True), 1)
  chance = jnp.einsum('tp,pc,tq,tqc->t', share, old, share, there, optimize='optimal')
  edge = _on_border(height, width)
  outer = inside & (edge | edge[at])
  return Kept(
    _mean(moved, inside),
    _mean(unmoved, inside),
    jnp.where(inside.any(1), chance, jnp.nan),
    _mean(moved, outer),
    _mean(moved, inside & ~outer),
  )


class Verdict(NamedTuple):
  """What a layer does as its pictures are transformed.

  Attributes:
    follows: (moved - chance) / (1 - chance): 1 where what shows the same thing is as alike as can
      be, 0 where it is no more alike than any two patches.
    stays: (unmoved - chance) / (1 - chance), for the same place in the frame.
    words: 'follows the picture', 'stays in place', 'follows in part', 'breaks', or 'not known'.
  """

  follows: float
  stays: float
  words: str


def turns_with(moved: float, unmoved: float, chance: float) -> Verdict:
  """Whether a layer turns, or grows, with its pictures: see `Verdict`.

  It does where half of what could be kept beyond chance is kept, breaks where less than a tenth is;
  it stays in place where a patch is more like the one at its old place. Of NaN, which the numbers
  are where no patch is left in the frame, nothing is known.
  """
  room = max(1 - chance, 1e-6)
  follows, stays = (moved - chance) / room, (unmoved - chance) / room
  if not (np.isfinite(follows) and np.isfinite(stays)):
    words = 'not known'
  elif max(follows, stays) < 0.1:
    words = 'breaks'
  elif stays >= follows:
    words = 'stays in place'
  else:
    words = 'follows the picture' if follows >= 0.5 else 'follows in part'
  return Verdict(follows, stays, words)


def _mean(values: jax.Array, some: np.ndarray) -> jax.Array:
  """Along the last axis of those that count; NaN where none does."""
  count = some.sum(1)
  return jnp.where(count > 0, (values * some).sum(1) / np.maximum(count, 1), jnp.nan)


def _on_border(height: int, width: int) -> np.ndarray:
  edge = np.ones((height, width), bool)
  edge[1:-1, 1:-1] = False
  return edge.ravel()


def _turned(grid: Shape, picture: Shape, degrees: float) -> tuple[np.ndarray, ...]:
  """(row, column, whether it is in the frame) of each cell after a turn: `[h, w]` each."""
  cell = picture[0] / grid[0], picture[1] / grid[1]
  y, x = ((np.arange(n) - (n - 1) / 2) * size for n, size in zip(grid, cell, strict=True))
  sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
  down = (y[:, None] * cosine - x * sine) / cell[0] + (grid[0] - 1) / 2
  across = (y[:, None] * sine + x * cosine) / cell[1] + (grid[1] - 1) / 2
  rows, columns = (np.floor(at + 0.5 + _TINY).astype(int) for at in (down, across))
  inside = (rows >= 0) & (rows < grid[0]) & (columns >= 0) & (columns < grid[1])
  return np.clip(rows, 0, grid[0] - 1), np.clip(columns, 0, grid[1] - 1), inside


def _along(cells: int, ratio: float) -> tuple[np.ndarray, np.ndarray]:
  """(the cell that each cell's middle is in, whether there is one) along one side."""
  at = ((np.arange(cells) + 0.5) - cells / 2) * ratio + cells / 2
  place = np.floor(at + _TINY).astype(int)
  inside = (place >= 0) & (place < cells)
  return np.clip(place, 0, cells - 1), inside


def _interpolation(side: int, factor: float) -> np.ndarray:
  """float32 `[side, side]`, its rows the weights of the pixels that each new pixel is made of."""
  at = ((np.arange(side) + 0.5) - side / 2) / np.sqrt(_checked(factor)) + side / 2 - 0.5
  at = np.clip(at, 0, side - 1)
  near = 1 - np.abs(at[:, None] - np.arange(side))
  return np.maximum(near, 0).astype(np.float32)


def _checked(factor: float) -> float:
  if not (np.isfinite(factor) and factor >= 1):
    raise UserError(f'a scale is a factor of the area and at least 1, not {factor}')
  return float(factor)
