"""Masks of COCO's annotations: polygons, and runs of pixels, plain or as a string.

Runs go down the columns, the first of zeros. A polygon's pixels are those of COCO's own tools, so
that masks are equal to theirs to the pixel: its outline is traced on a grid five times as fine,
and a column of pixels is inside between the places where the outline crosses its middle.
"""

from collections.abc import Sequence

import numpy as np

from perturb.data.stored import Size

_FINER = 5
_MIDDLE = 2  # Of the five fine columns of a pixel.


def polygon_mask(polygon: np.ndarray, size: Size) -> np.ndarray:
  """The pixels inside a polygon.

  Args:
    polygon: `[2 n]`: x and y of its corners in pixels, n >= 3.
    size: (width, height) of the picture.

  Returns:
    bool `[H, W]`.
  """
  width, height = size
  x, y = _outline(np.trunc(_FINER * polygon.reshape(-1, 2) + 0.5).astype(np.int64))
  steps = np.flatnonzero(x[1:] != x[:-1])
  column, middle = np.divmod(np.minimum(x[1:], x[:-1])[steps], _FINER)
  crosses = (middle == _MIDDLE) & (column >= 0) & (column < width)
  lower = np.minimum(y[1:], y[:-1])[steps[crosses]]
  rows = np.ceil((lower + 0.5) / _FINER - 0.5).clip(0, height).astype(np.int64)
  # A run begins at each crossing. A column has an even number, so the next starts outside.
  starts = np.sort(column[crosses] * height + rows)
  return runs_mask(np.diff(starts, prepend=0, append=width * height), size)


def _outline(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """x and y of the points of a closed line through corners `[n, 2]`, one a step of its longer axis.

  The shorter axis is rounded from the end where the longer one is smaller.
  """
  ends = np.roll(corners, -1, axis=0)
  length = np.abs(ends - corners).max(axis=1)
  corners, ends, length = (array[length > 0] for array in (corners, ends, length))
  spans = np.abs(ends - corners)
  along = np.where(spans[:, 0] >= spans[:, 1], 0, 1)
  edges = np.arange(len(corners))
  backwards = corners[edges, along] > ends[edges, along]
  starts = np.where(backwards[:, None], ends, corners)
  stops = np.where(backwards[:, None], corners, ends)
  slopes = (stops - starts)[edges, 1 - along] / length
  # All points of all edges: number of the edge, and how far along it.
  edge = np.repeat(edges, length + 1)
  step = np.arange(len(edge)) - np.repeat(np.cumsum(length + 1) - length - 1, length + 1)
  far = np.where(backwards[edge], length[edge] - step, step)
  across = starts[edge, 1 - along[edge]] + slopes[edge] * far + 0.5
  points = np.empty((len(edge), 2), np.int64)
  points[np.arange(len(edge)), along[edge]] = starts[edge, along[edge]] + far
  points[np.arange(len(edge)), 1 - along[edge]] = np.trunc(across)
  return points[:, 0], points[:, 1]


def runs_mask(runs: Sequence[int] | np.ndarray | str, size: Size) -> np.ndarray:
  """The pixels of runs: plain, or COCO's string of them.

  Args:
    runs: lengths, in turn outside and inside, down the columns.
    size: (width, height) of the picture.

  Returns:
    bool `[H, W]`.

  Raises:
    ValueError: if the runs are not those of a picture of that size.
  """
  lengths = np.asarray(_decoded(runs) if isinstance(runs, str) else runs, np.int64)
  width, height = size
  if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != width * height:
    raise ValueError(f'its runs do not fill a picture of {width} x {height} pixels')
  inside = np.arange(len(lengths)) % 2 == 1
  return np.repeat(inside, lengths).reshape(width, height).T


def _decoded(text: str) -> list[int]:
  """Lengths from COCO's string: 5 bits a character, the lowest first, and a bit for 'more follow'.

  From the fourth on, a number is the difference to the length before the last.
  """
  lengths: list[int] = []
  value = shift = 0
  for code in text.encode('latin-1', 'replace'):
    bits = code - 48
    if not 0 <= bits < 64 or shift > 30:
      raise ValueError('its string of runs has a character that does not belong there')
    value |= (bits & 31) << shift
    shift += 5
    if bits & 32:
      continue
    if bits & 16:
      value -= 1 << shift
    lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
    value = shift = 0
  if shift:
    raise ValueError('its string of runs ends within a number')
  return lengths
