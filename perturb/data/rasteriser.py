"""Triangles to pixels: which of them each sample of a picture sees, by a depth buffer.

A flower of 8 000 triangles needs no more than this, and this needs only NumPy: pyrender, PyVista
and Mitsuba bring OpenGL, VTK (100 MB and more) or LLVM, and a driver decides on their pixels. Here
corners are rounded to a grid, as a GPU does, and what is covered is decided in integers: the same
everywhere.
"""

from typing import NamedTuple

import numpy as np

SUBPIXELS = 256  # Of a pixel's side: the grid that corners are rounded to.


class Samples(NamedTuple):
  """What is seen at the centre of each pixel.

  Attributes:
    face: int32 `[H, W]`, the index of the nearest triangle; -1 where there is none.
    weights: float64 `[H, W, 3]`, how much of each of its corners; they sum to 1, or are 0.
    depth: float64 `[H, W]`; infinite where there is none.
  """

  face: np.ndarray
  weights: np.ndarray
  depth: np.ndarray


def rasterise(corners: np.ndarray, height: int, width: int) -> Samples:
  """Draws triangles that a perspective camera has projected.

  The triangles whose corners go round clockwise, as they are seen, are drawn; the others show their
  backs and are not. A pixel whose centre is on an edge that two share belongs to one of them: that
  on the right, or below. Of equal depths the first triangle is seen.

  Args:
    corners: float64 `[T, 3, 3]`, of each triangle's corners: pixels to the right, pixels down (the
      first pixel's centre is at 0.5, 0.5), and the depth, which is more than 0.
    height: H, of the picture in pixels.
    width: W.
  """
  grid = np.rint(corners[..., :2] * SUBPIXELS).astype(np.int64)
  doubled = _edge(grid[:, 0], grid[:, 1], grid[:, 2])  # Areas.
  front = np.flatnonzero(doubled > 0)
  chosen, row, column = _boxed(grid[front], height, width)
  face = front[chosen]
  point = np.stack([column, row], axis=-1) * SUBPIXELS + SUBPIXELS // 2
  edges = np.stack([_edge(grid[face, k - 2], grid[face, k - 1], point) for k in range(3)], axis=-1)
  inside = np.flatnonzero((edges >= _least(grid)[face]).all(axis=-1))
  face, pixel = face[inside], (row * width + column)[inside]
  weights, depth = _in_perspective(edges[inside] / doubled[face, None], corners[face, :, 2])
  nearest = np.lexsort((face, depth))[::-1]  # Written last, the nearest stays.
  found = Samples(
    np.full(height * width, -1, np.int32),
    np.zeros((height * width, 3)),
    np.full(height * width, np.inf),
  )
  for buffer, values in zip(found, (face, weights, depth), strict=True):
    buffer[pixel[nearest]] = values[nearest]
  return Samples(
    found.face.reshape(height, width),
    found.weights.reshape(height, width, 3),
    found.depth.reshape(height, width),
  )


def _edge(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> np.ndarray:
  """More than 0 where a point is to the right of an edge, looking along it; y goes down."""
  (x, y), (dx, dy) = (point - start).T, (end - start).T
  return dx * y - dy * x


def _least(grid: np.ndarray) -> np.ndarray:
  """`[T, 3]`: the least `_edge` inside: 0 if the edge is too, as left and top edges are; else 1."""
  ahead = np.stack([grid[:, k - 1] - grid[:, k - 2] for k in range(3)], axis=1)
  dx, dy = ahead[..., 0], ahead[..., 1]
  return np.where((dy < 0) | ((dy == 0) & (dx > 0)), 0, 1)


def _boxed(grid: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(triangle, row, column) of every pixel whose centre is in the box around a triangle."""
  half = SUBPIXELS // 2
  first = -((half - grid.min(axis=1)) // SUBPIXELS)  # Rounded up.
  last = (grid.max(axis=1) - half) // SUBPIXELS
  left, top = first.clip(0).T
  right, bottom = np.minimum(last, [width - 1, height - 1]).T
  columns, rows = (right - left + 1).clip(0), (bottom - top + 1).clip(0)
  counts = columns * rows
  triangle = np.repeat(np.arange(len(grid)), counts)
  place = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
  row, column = np.divmod(place, columns[triangle])
  return triangle, top[triangle] + row, left[triangle] + column


def _in_perspective(shares: np.ndarray, depths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(weights, depth): on the screen it is weight / depth that changes evenly."""
  over = shares / depths
  depth = 1 / (over[:, 0] + over[:, 1] + over[:, 2])
  return over * depth[:, None], depth
