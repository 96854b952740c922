"""Pictures of a probe dataset beside what is labelled in them."""

import colorsys

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from concepts.drawing.colours import COLOURS
from concepts.probe import Probe
from perturb.figures.style import PANEL, STYLE, bare, foot_title, title

_COLUMNS = 3  # Pictures side by side, each with its maps.
_SHOWN = ('object', 'part', 'texture', 'color')
_NAMED = 5  # Names in a panel: those of the largest areas.


def label_sheet(probe: Probe, count: int) -> Figure:
  """The first pictures, each with its maps of objects, parts, textures and colours.

  A concept has one colour on all maps. Of several maps of a category the later lie over the
  earlier. Below a map are the names of the largest areas in it, above a picture what the whole of
  it is.
  """
  categories = [name for name in _SHOWN if any(name in c.categories for c in probe.concepts)]
  width, lines = 1 + len(categories), -(-count // _COLUMNS)
  names, colours = {one.number: one.name for one in probe.concepts}, _colours(probe)
  nothing = np.zeros((1, *probe.size), np.int32)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * _COLUMNS * width, PANEL * 1.3 * lines))
    grid = figure.add_gridspec(lines, _COLUMNS * width, wspace=0.05, hspace=0.32)
    for i in range(count):
      line, left = i // _COLUMNS, width * (i % _COLUMNS)
      picture, labels = probe.pictures.picture(i)[0], probe.labels(i)
      whole = [names[number] for numbers in labels.whole.values() for number in numbers]
      _panel(figure.add_subplot(grid[line, left]), np.asarray(picture), ', '.join(whole))
      for place, category in enumerate(categories, start=left + 1):
        maps = labels.maps.get(category, nothing)
        axes = figure.add_subplot(grid[line, place])
        _panel(axes, colours[_top(maps)], category)
        foot_title(axes, ', '.join(names[number] for number in _largest(maps)), 4.5)
  return figure


def _panel(axes: Axes, pixels: np.ndarray, text: str) -> None:
  axes.imshow(pixels, interpolation='nearest')
  bare(axes)
  title(axes, text, 5)


def _top(maps: np.ndarray) -> np.ndarray:
  """Of each pixel the number in the last map that has one."""
  shown = maps[0]
  for one in maps[1:]:
    shown = np.where(one > 0, one, shown)
  return shown


def _largest(maps: np.ndarray) -> list[int]:
  numbers, counts = np.unique(maps[maps > 0], return_counts=True)
  return numbers[np.argsort(-counts, kind='stable')][:_NAMED].tolist()


def _colours(probe: Probe) -> np.ndarray:
  """A colour for each number; what is a colour itself has its own. Nothing is nearly white."""
  found = np.full((1 + max(one.number for one in probe.concepts), 3), 0.96)
  for i, one in enumerate(probe.concepts):
    hue = i * 0.618 % 1  # The golden ratio spreads neighbours.
    found[one.number] = colorsys.hls_to_rgb(hue, (0.42, 0.62)[i % 2], 0.6)
    if 'color' in one.categories and (own := one.name.removesuffix('-c')) in COLOURS:
      found[one.number] = np.array(COLOURS[own][0]) / 255
  return found
