"""Pictures of a probe dataset beside what is labelled in them."""

import colorsys

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from concepts.drawing.colours import COLOURS
from concepts.probe import Probe
from perturb.figures.style import PANEL, STYLE, bare, fitted, title

_COLUMNS = 3  # Pictures side by side, each with its maps.
_SHOWN = ('object', 'part', 'texture', 'color')
_NAMED = 6  # Names in a panel: those of the largest areas.


def label_sheet(probe: Probe, count: int) -> Figure:
  """The first pictures, each with its maps of objects, parts, textures and colours.

  A concept has one colour on all maps. Of several maps of a category the later lie over the
  earlier. Below a map are the names of the largest areas in it.
  """
  categories = [name for name in _SHOWN if any(name in c.categories for c in probe.concepts)]
  width, lines = 1 + len(categories), -(-count // _COLUMNS)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * _COLUMNS * width, PANEL * 1.3 * lines))
    grid = figure.add_gridspec(lines, _COLUMNS * width, wspace=0.05, hspace=0.32)
    for i in range(count):
      picture, _ = probe.pictures.picture(i)
      labels = probe.labels(i)
      left = width * (i % _COLUMNS)
      axes = figure.add_subplot(grid[i // _COLUMNS, left])
      axes.imshow(picture)
      bare(axes)
      names = _names(probe)
      whole = [names[n] for numbers in labels.whole.values() for n in numbers]
      title(axes, ', '.join(whole) or probe.pictures.sources[i].name, 5)
      for place, category in enumerate(categories, start=left + 1):
        axes = figure.add_subplot(grid[i // _COLUMNS, place])
        _draw(axes, probe, labels.maps.get(category, np.zeros((1, *probe.size), int)))
        title(axes, category, 5)
  return figure


def _names(probe: Probe) -> dict[int, str]:
  return {one.number: one.name for one in probe.concepts}


def _draw(axes: Axes, probe: Probe, maps: np.ndarray) -> None:
  shown = maps[0]
  for one in maps[1:]:
    shown = np.where(one > 0, one, shown)
  numbers, counts = np.unique(maps[maps > 0], return_counts=True)
  axes.imshow(_colours(probe)[shown])
  bare(axes)
  largest = [_names(probe)[n] for n in numbers[np.argsort(-counts, kind='stable')][:_NAMED]]
  if largest:
    text, size = fitted(', '.join(largest), 4.5, PANEL)
    axes.set_xlabel(text, fontsize=size, labelpad=2, linespacing=1.0)


def _colours(probe: Probe) -> np.ndarray:
  """A colour for each number; what is a colour itself has its own. Nothing is nearly white."""
  largest = max(one.number for one in probe.concepts)
  found = np.full((largest + 1, 3), 0.96)
  for i, one in enumerate(probe.concepts):
    hue = i * 0.618 % 1  # The golden ratio spreads neighbours.
    found[one.number] = colorsys.hls_to_rgb(hue, (0.42, 0.62)[i % 2], 0.6)
    if 'color' in one.categories and (own := one.name.removesuffix('-c')) in COLOURS:
      found[one.number] = np.array(COLOURS[own]) / 255
  return found
