"""Pictures of heatmaps: over the image, and the comparison of methods (ICCV 2017, fig. 2)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
import numpy as np

from perturb.figures.style import PANEL, STYLE, bare, enlarge, side_title, title

COLUMNS = 8  # Panels in a row, the picture included.
CLIP = 99.5  # Percentile shown as the strongest value: single pixels do not decide.
INK = 0.72  # Weight of the colour over the picture.


class Panel(NamedTuple):
  """A heatmap in the comparison.

  Attributes:
    title: of the method.
    heatmap: `[H, W]`.
    seconds: how long it took, NaN if that is not known.
  """

  title: str
  heatmap: np.ndarray
  seconds: float


class Row(NamedTuple):
  """An image in the comparison.

  Attributes:
    name: of the class that is explained.
    picture: uint8 `[2H, 2W, 3]`.
    panels: method -> its panel.
  """

  name: str
  picture: np.ndarray
  panels: Mapping[str, Panel]


def scaled(heatmap: np.ndarray) -> tuple[np.ndarray, bool]:
  """A heatmap in [0, 1], and whether it is signed: then 1/2 is zero.

  The strongest half percent is cut off.
  """
  heat = np.nan_to_num(np.asarray(heatmap, np.float64))
  if heat.min() < 0:
    top = np.percentile(np.abs(heat), CLIP) or np.abs(heat).max() or 1.0
    return np.clip(heat / (2 * top) + 0.5, 0, 1), True
  low, high = heat.min(), np.percentile(heat, CLIP)
  high = high if high > low else heat.max()
  return np.clip((heat - low) / (high - low or 1.0), 0, 1), False


def colour(heatmap: np.ndarray, picture: np.ndarray) -> np.ndarray:
  """A heatmap over the picture in grey: uint8 `[2H, 2W, 3]`.

  From dark to bright without sign; with one, red speaks for the class and blue against it.
  """
  values, signed = scaled(heatmap)
  return tinted(enlarge(values, picture.shape), picture, 'RdBu_r' if signed else 'inferno')


def tinted(values: np.ndarray, picture: np.ndarray, colours: str = 'inferno') -> np.ndarray:
  """Values `[H, W]` in [0, 1] in the colours of a map, over the picture in grey: uint8."""
  tint = matplotlib.colormaps[colours](values)[..., :3]
  grey = (picture / 255).mean(-1, keepdims=True)
  return (255 * (INK * tint + (1 - INK) * grey) + 0.5).astype(np.uint8)


def duration(seconds: float) -> str:
  """0.0123 -> '12 ms', 3.21 -> '3.2 s'."""
  if np.isnan(seconds):
    return ''
  if seconds < 1:
    return f'{1000 * seconds:.0f} ms'
  return f'{seconds:.1f} s' if seconds < 10 else f'{seconds:.0f} s'


def comparison(rows: Sequence[Row], methods: Sequence[str]) -> Figure:
  """The picture, and a panel for each method with its time; wrapped where there are many."""
  per_line = min(COLUMNS - 1, len(methods))
  lines = -(-len(methods) // per_line)
  aspect = max(row.picture.shape[1] / row.picture.shape[0] for row in rows)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * aspect * (per_line + 1), PANEL * 1.17 * lines * len(rows)))
    grid = figure.add_gridspec(lines * len(rows), per_line + 1, wspace=0.04, hspace=0.2)
    for r, row in enumerate(rows):
      axes = figure.add_subplot(grid[r * lines, 0])
      axes.imshow(row.picture)
      title(axes, row.name, 6.5, pad=2.5)
      bare(axes)
      for m, method in enumerate(methods):
        if method not in row.panels:
          continue
        panel = row.panels[method]
        axes = figure.add_subplot(grid[r * lines + m // per_line, 1 + m % per_line])
        axes.imshow(colour(panel.heatmap, row.picture))
        title(axes, panel.title, 6.5, pad=2.5)
        if not np.isnan(panel.seconds):
          axes.text(
            0.97,
            0.03,
            duration(panel.seconds),
            transform=axes.transAxes,
            ha='right',
            va='bottom',
            fontsize=5.5,
            bbox={'boxstyle': 'square,pad=0.2', 'fc': 'white', 'ec': 'none', 'alpha': 0.85},
          )
        bare(axes)
  return figure


def sheet(pictures: Sequence[tuple[str, np.ndarray, np.ndarray]], method: str) -> Figure:
  """Pictures in a row, and under each its heatmap by one method.

  Args:
    pictures: (class name, picture uint8 `[2H, 2W, 3]`, heatmap `[H, W]`), of one shape.
    method: its title.
  """
  aspect = pictures[0][1].shape[1] / pictures[0][1].shape[0]
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * aspect * len(pictures), PANEL * 2.08))
    axes = figure.subplots(
      2, len(pictures), squeeze=False, gridspec_kw={'wspace': 0.04, 'hspace': 0.04}
    )
    for (name, picture, heatmap), (above, below) in zip(pictures, axes.T, strict=True):
      above.imshow(picture)
      title(above, name, 6.5, pad=2.5)
      below.imshow(colour(heatmap, picture))
      bare(above)
      bare(below)
    side_title(axes[1, 0], method, 6.5)
  return figure
