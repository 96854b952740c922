"""Figures of similarity: patches that belong together, and how alike they stay as pictures turn."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
import numpy as np

from concepts.figures.overlay_views import Picture
from concepts.patch_similarity import Correspondence
from concepts.transforms import Kind
from perturb.figures.style import STYLE, bare, title

# Of layers, shallow to deep: apart in lightness too, for every eye.
COLOURS = ('#e69f00', '#009e73', '#0072b2', '#cc79a7', '#56b4e9', '#d55e00', '#000000')
MARKS = ('o', 's', '^', 'D', 'v', 'P', 'X')
LINES = 25  # Of a pair of pictures: those of the most alike patches.
_GAP = 0.06  # Between two pictures, as a share of the height of the first.
_PAIR = 3.3  # inches


class Matches(NamedTuple):
  """The patches of two pictures that belong together in a layer.

  Attributes:
    layer: its name.
    grids: (h, w) of each picture.
    pairs: the patches.
  """

  layer: str
  grids: tuple[tuple[int, int], tuple[int, int]]
  pairs: Correspondence


class Line(NamedTuple):
  """A layer's line of the figure of sensitivity: T amounts.

  Attributes:
    moved: similarity of the patch that shows the same thing, mean over pictures `[T]`.
    low: lower ends of the intervals `[T]`.
    high: upper ends `[T]`.
    chance: similarity of any two patches `[T]`.
  """

  moved: np.ndarray
  low: np.ndarray
  high: np.ndarray
  chance: np.ndarray


def correspondence_figure(first: Picture, second: Picture, matches: Sequence[Matches]) -> Figure:
  """Two pictures beside each other, a row a layer; lines join patches that are mutually nearest.

  The `LINES` most alike are drawn, those last that are most alike; the number of all is said.
  """
  sides = [one.pixels.shape[:2] for one in (first, second)]
  wide = (sides[0][1] / sides[0][0]) + (sides[1][1] / sides[1][0]) + _GAP
  colours = matplotlib.colormaps['viridis']
  values = np.concatenate([one.pairs.similarity[:LINES] for one in matches])
  scale = Normalize(*_range(values))
  with matplotlib.rc_context(STYLE):
    height = _PAIR / wide
    figure = Figure(figsize=(_PAIR, (height + 0.22) * len(matches) + 0.45), layout='constrained')
    axes = figure.subplots(len(matches), squeeze=False)[:, 0]
    for place, one in zip(axes, matches, strict=True):
      _draw_pair(place, first, second, one, colours, scale)
    bar = figure.colorbar(
      ScalarMappable(scale, colours), ax=list(axes), location='bottom', fraction=0.05, pad=0.02,
      aspect=40,
    )  # fmt: skip
    bar.set_label('cosine of the two patches', fontsize=7)
    bar.ax.tick_params(labelsize=6.5)
    bar.outline.set_linewidth(0.4)
  return figure


def sensitivity_figure(
  lines: Mapping[str, Mapping[Kind, Line]], amounts: Mapping[Kind, Sequence[float]], images: int
) -> Figure:
  """Similarity of the patch that shows the same thing, against the angle and the scale.

  Args:
    lines: layer -> kind -> its line.
    amounts: kind -> T amounts.
    images: over so many pictures; the bands are the intervals of the means over these.
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(3.1 * len(amounts), 2.7), layout='constrained')
    row = figure.subplots(1, len(amounts), squeeze=False, sharey=True)[0]
    for axes, kind in zip(row, amounts, strict=True):
      _draw_lines(axes, kind, amounts[kind], {name: one[kind] for name, one in lines.items()})
    row[0].set_ylabel('cosine')
    row[0].set_ylim(_floor(lines), 1.02)
    handles, labels = row[0].get_legend_handles_labels()
    columns = min(3 * len(amounts), len(handles))
    figure.legend(
      handles, labels, loc='outside lower center', ncols=columns, frameon=False, fontsize=7,
      handlelength=2.4,
    )  # fmt: skip
    count = f'{images} picture' + 's' * (images > 1)
    figure.suptitle(f'Similarity of the corresponding patch, mean of {count}', fontsize=8)
  return figure


def _range(values: np.ndarray) -> tuple[float, float]:
  if not len(values):
    return 0, 1
  return np.floor(10 * values.min()) / 10, max(1.0, float(values.max()))


def _draw_pair(
  axes: Axes,
  first: Picture,
  second: Picture,
  matches: Matches,
  colours: matplotlib.colors.Colormap,
  scale: Normalize,
) -> None:
  """Both pictures have height 1."""
  widths = [one.pixels.shape[1] / one.pixels.shape[0] for one in (first, second)]
  starts = 0, widths[0] + _GAP
  for picture, start, width in zip((first, second), starts, widths, strict=True):
    axes.imshow(picture.pixels, extent=(start, start + width, 1, 0), interpolation='antialiased')
  ends = [
    np.stack([start + (cells[:, 1] + 0.5) / grid[1] * width, (cells[:, 0] + 0.5) / grid[0]], axis=1)
    for cells, grid, start, width in zip(
      matches.pairs[:2], matches.grids, starts, widths, strict=True
    )
  ]
  order = np.arange(min(LINES, len(matches.pairs.similarity)))[::-1]
  drawn = np.stack(ends, 1)[order]
  tints = colours(scale(matches.pairs.similarity[order]))
  axes.add_collection(LineCollection(list(drawn), colors='white', linewidths=1.5, alpha=0.55))
  axes.add_collection(LineCollection(list(drawn), colors=list(tints), linewidths=0.8))
  for end in (0, 1):
    axes.scatter(
      drawn[:, end, 0], drawn[:, end, 1], s=6, c=tints, edgecolors='white', linewidths=0.4, zorder=3
    )
  axes.set_xlim(0, starts[1] + widths[1])
  axes.set_ylim(1, 0)
  axes.set_aspect('equal')
  bare(axes)
  count = len(matches.pairs.similarity)
  said = f'{count} mutual pairs' + (f', the {LINES} most alike' if count > LINES else '')
  title(axes, f'{matches.layer}: {said}', 7)


def _draw_lines(axes: Axes, kind: str, amounts: Sequence[float], lines: Mapping[str, Line]) -> None:
  at = np.asarray(amounts, float)
  for i, (layer, line) in enumerate(lines.items()):
    colour, mark = COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]
    axes.fill_between(at, line.low, line.high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(at, line.moved, color=colour, marker=mark, markersize=3.5, linewidth=1.2, label=layer)
    axes.plot(at, line.chance, color=colour, linewidth=0.8, linestyle=(0, (2, 2)))
  axes.plot([], [], color='0.4', linewidth=0.8, linestyle=(0, (2, 2)), label='any two patches')
  axes.grid(axis='y', linewidth=0.3, color='0.85')
  axes.set_axisbelow(True)
  if kind == 'rotation':
    axes.set_xlabel('rotation')
    axes.set_xticks(at, [f'{one:g}°' for one in at])
  else:
    axes.set_xscale('log')
    axes.set_xlabel('scale, as a factor of the area')
    axes.set_xticks(at, [f'{one:g}x' for one in at])
    axes.minorticks_off()
  axes.tick_params(labelsize=6.5)


def _floor(lines: Mapping[str, Mapping[Kind, Line]]) -> float:
  values = [
    value for kinds in lines.values() for line in kinds.values()
    for value in (*line.low, *line.chance) if np.isfinite(value)
  ]  # fmt: skip
  least = min(values, default=0.0)
  return 0.0 if least >= 0 else float(np.floor(10 * least) / 10)
