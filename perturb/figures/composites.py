"""The contact sheet of a set of pictures with masks."""

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
import numpy as np

from perturb.figures.style import BLANK, PANEL, STYLE, bare, title


def contact_sheet(
  rows: Sequence[tuple[np.ndarray, np.ndarray, str]], columns: int = 6, outline: str = BLANK
) -> Figure:
  """Pictures with the outlines of their masks.

  Args:
    rows: (picture uint8 `[S, S, 3]`, masks bool `[K, S, S]`, title).
    columns: pictures side by side.
    outline: the colour of the outlines.
  """
  lines = -(-len(rows) // columns)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * columns, PANEL * 1.17 * lines))
    grid = figure.add_gridspec(lines, columns, wspace=0.04, hspace=0.2)
    for i, (picture, masks, text) in enumerate(rows):
      axes = figure.add_subplot(grid[i // columns, i % columns])
      axes.imshow(picture)
      for mask in masks:
        axes.contour(mask, levels=[0.5], colors=outline, linewidths=0.4)
      title(axes, text, 5)
      bare(axes)
  return figure
