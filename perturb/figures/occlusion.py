"""Figures of occlusion: how accuracy falls, what augmentation does, remove and retrain."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from perturb.figures.studies import tidy
from perturb.figures.style import KEPT, REMOVED, STYLE, bare, title

GREY = '#868e96'
# Colour and name of each order of `perturb.evaluate.occlusion_robustness`.
_ORDERS = {
  'least_salient': (KEPT, 'least salient first'),
  'random': (GREY, 'random cells'),
  'salient': (REMOVED, 'most salient first'),
}
_SIDE = 0.52  # Inches of a picture of a strip.
_PANEL = 2.3  # Inches of a panel.


def _ordered(names: Mapping[str, object]) -> list[str]:
  return [order for order in _ORDERS if order in names]


def accuracy_curves(
  shares: np.ndarray,
  panels: Mapping[str, Mapping[str, np.ndarray]],
  strips: Mapping[str, Sequence[tuple[str, np.ndarray]]],
) -> Figure:
  """The accuracy over the share that is hidden, a panel a method; a picture that is hidden.

  Args:
    shares: `[T]`.
    panels: title of a method -> order -> `[T, 3]`: accuracy, and the ends of its interval.
    strips: order -> (share, picture `[H, W, 3]`), from the left.
  """
  count = len(panels)
  across = max((len(strip) for strip in strips.values()), default=0)
  wide = _SIDE * across
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(_PANEL * count + 0.6 * (count - 1) + wide + 0.5, 1.9))
    ratios = [_PANEL] * count + ([wide] if across else [])
    grid = figure.add_gridspec(1, len(ratios), width_ratios=ratios, wspace=0.22)
    for i, (name, curves) in enumerate(panels.items()):
      axes = figure.add_subplot(grid[0, i])
      _curves(axes, shares, curves)
      axes.set_title(name, fontsize=7.5)
      axes.set_ylabel('' if i else 'accuracy (%)', fontsize=7)
      if not across and not i:
        axes.legend(frameon=False, fontsize=6.5, loc='lower left', borderaxespad=0.2)
    if across:  # Their titles are the legend.
      _strips(figure, grid[0, count], strips, across)
  return figure


def _curves(axes: Axes, shares: np.ndarray, curves: Mapping[str, np.ndarray]) -> None:
  for order in _ordered(curves):
    colour, name = _ORDERS[order]
    mean, low, high = 100 * curves[order].T
    axes.plot(100 * shares, mean, '-o', color=colour, markersize=2, linewidth=1.1, label=name)
    axes.fill_between(100 * shares, low, high, color=colour, alpha=0.15, linewidth=0)
  axes.set_xlabel('hidden cells (%)', fontsize=7, labelpad=1.5)
  axes.set_ylim(0, 102)
  tidy(axes)


def _strips(
  figure: Figure, place: object, strips: Mapping[str, Sequence[tuple[str, np.ndarray]]], across: int
) -> None:
  grid = place.subgridspec(len(strips), across, wspace=0.06, hspace=0.06)  # type: ignore[attr-defined]
  for r, order in enumerate(_ordered(strips)):
    colour, name = _ORDERS[order]
    for c, (share, picture) in enumerate(strips[order]):
      axes = figure.add_subplot(grid[r, c])
      axes.imshow(picture, interpolation='nearest')
      bare(axes)
      for side in axes.spines.values():
        side.set(visible=True, color=colour, linewidth=0.9)
      if not r:
        title(axes, share, 6.5, pad=2.5)
    axes.text(
      *(1.12, 0.5), name.replace(' ', '\n'), fontsize=6.5, color=colour,
      va='center', transform=axes.transAxes,
    )  # fmt: skip


_COLOURS = matplotlib.colormaps['tab10'].colors  # type: ignore[attr-defined]


def retrained(
  shares: np.ndarray,
  curves: Mapping[str, np.ndarray],
  strips: Mapping[str, Sequence[np.ndarray]],
) -> Figure:
  """Remove and retrain: the accuracy of each method over the share removed; a picture so changed.

  Args:
    shares: `[T]`, from 0.
    curves: title of a method -> the accuracy of each network `[T, S]`; the first is the baseline.
    strips: title -> the picture at each share after the first, `[H, W, 3]`.
  """
  across = len(shares) - 1
  side = min(_SIDE, 2.2 / len(strips))
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(_PANEL + 1.5 + side * across, 2.2))
    grid = figure.add_gridspec(1, 2, width_ratios=[_PANEL, side * across], wspace=0.62)
    axes = figure.add_subplot(grid[0, 0])
    colours = dict(zip(curves, (GREY, *_COLOURS), strict=False))
    for name, values in curves.items():
      mean, error = 100 * values.mean(1), 100 * values.std(1, ddof=min(1, values.shape[1] - 1))
      dashes = '--' if colours[name] == GREY else '-'
      axes.plot(
        100 * shares, mean, dashes, color=colours[name], linewidth=1.1, marker='o', markersize=2
      )
      axes.fill_between(
        100 * shares, mean - error, mean + error, color=colours[name], alpha=0.15, linewidth=0
      )
    axes.set_xlabel('pixels removed (%)', fontsize=7, labelpad=1.5)
    axes.set_ylabel('accuracy, trained anew (%)', fontsize=7)
    tidy(axes)
    below = grid[0, 1].subgridspec(len(strips), across, wspace=0.06, hspace=0.06)
    for r, (name, pictures) in enumerate(strips.items()):
      for c, picture in enumerate(pictures):
        panel = figure.add_subplot(below[r, c])
        panel.imshow(picture, interpolation='nearest')
        bare(panel)
        if not r:
          title(panel, f'{100 * shares[c + 1]:.0f} %', 6.5, pad=2.5)
        if not c:
          panel.text(
            *(-0.1, 0.5), name, fontsize=6.5, color=colours[name], ha='right', va='center',
            transform=panel.transAxes,
          )  # fmt: skip
  return figure


class Compared(NamedTuple):
  """A test of several ways of training.

  Attributes:
    title: of the test.
    values: the accuracy of each network, [rows, seeds].
    signs: of each row 1 if it is surely better than what it is held against, -1 if worse, or 0.
  """

  title: str
  values: np.ndarray
  signs: np.ndarray


_SIGNS = {1: KEPT, 0: GREY, -1: REMOVED}
_NOTE = (
  'Dots: networks; bars: their means. Blue: better than the row in brackets, orange: worse '
  '(95 % interval of the paired differences). Dashes: the first row.'
)


def compared_rows(rows: Mapping[str, str], panels: Sequence[Compared]) -> Figure:
  """A panel for each test: the accuracy of every network of every row.

  Args:
    rows: name -> the row that it is held against, or ''; from the top.
    panels: the tests.
  """
  names = [_row_title(name, against) for name, against in rows.items()]
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(1.9 + 1.12 * len(panels), 0.75 + 0.17 * len(names)))
    grid = figure.add_gridspec(1, len(panels), wspace=0.14)
    for i, panel in enumerate(panels):
      axes = figure.add_subplot(grid[0, i])
      for r, (values, sign) in enumerate(zip(100 * panel.values, panel.signs, strict=True)):
        colour = _SIGNS[int(sign)]
        axes.plot(values, np.full(len(values), r), 'o', color=colour, ms=2, alpha=0.5, mew=0)
        axes.plot([values.mean()] * 2, [r - 0.33, r + 0.33], color=colour, linewidth=1.6)
      axes.axvline(100 * panel.values[0].mean(), color='black', lw=0.5, ls=(0, (4, 3)), zorder=0)
      axes.set_ylim(len(names) - 0.4, -0.6)
      axes.set_yticks(range(len(names)), [''] * len(names) if i else names)
      axes.grid(axis='y', linewidth=0.3, color='#dee2e6')
      axes.set_axisbelow(True)
      axes.locator_params(axis='x', nbins=3)
      axes.set_title(panel.title, fontsize=7, pad=4)
      tidy(axes)
    figure.text(0.5, 0.01, f'Accuracy (%). {_NOTE}', fontsize=6, color=GREY, ha='center', va='top')
  return figure


def _row_title(name: str, against: str) -> str:
  plain = name.replace('_', ' ')
  return f'{plain} ({against.replace("_", " ")})' if against else plain
