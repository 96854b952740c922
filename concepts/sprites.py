"""Similarities in the files of the published article, for those who have its page.

Source: Fong, Mordvintsev, Vedaldi and Olah, "Interactive Similarity Overlays", VISxAI 2021: its
code and its published files.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from perturb.errors import UserError

YELLOW = (255, 255, 0)


def sprite(similarities: Any, *, own: bool = False) -> np.ndarray:
  """Similarity maps of all patches of a picture as one grey picture.

  The block of H2 x W2 pixels in row i and column j is the map of patch (i, j): its cosines times
  255, cut off at 0 and 255, and truncated. Negative ones are black.

  Args:
    similarities: `[H1, W1, H2, W2]`, as of `similarity`.
    own: whether both pictures are the same; a patch itself is then yellow in its own map.

  Returns:
    uint8 `[H1 * H2, W1 * W2, 3]`.

  Raises:
    UserError: for another number of axes, or for `own` and pictures of different shapes.
  """
  values = np.asarray(similarities, np.float32)
  if values.ndim != 4:
    raise UserError(f'similarities must be [H1, W1, H2, W2], not of shape {values.shape}')
  height, width, high, wide = values.shape
  if own and (height, width) != (high, wide):
    raise UserError(f'one picture has one shape, not {height} x {width} and {high} x {wide}')
  grey = (np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
  grid = grey.transpose(0, 2, 1, 3).reshape(height * high, width * wide)
  coloured = np.repeat(grid[..., None], 3, axis=2)
  if own:
    rows, columns = np.indices((height, width))
    coloured[rows * high + rows, columns * wide + columns] = YELLOW
  return coloured


def line_table(similarities: Sequence[Any], places: np.ndarray, source: int) -> str:
  """The lines of the chart of one transformed picture, as CSV without a header.

  Args:
    similarities: of the picture and each of the T transformed ones, `[H, W, H, W]` each.
    places: int `[T, H * W]`, where each cell of the picture is in each of the others; -1: nowhere.
    source: which of them the picture itself is; its column is 1.00.

  Returns:
    H * W rows, row * W + column, of T numbers with two decimals; 'nan' where a patch has left the
    picture.
  """
  columns = []
  for number, (values, at) in enumerate(zip(similarities, places, strict=True)):
    flat = np.asarray(values, np.float32).reshape(len(at), -1)
    found = np.where(at >= 0, flat[np.arange(len(at)), np.maximum(at, 0)], np.nan)
    columns.append(np.ones_like(found) if number == source else found)
  rows = np.stack(columns, 1)
  return ''.join(','.join(f'{value:.2f}' for value in row) + '\n' for row in rows)
