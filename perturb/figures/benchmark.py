"""Figures of the benchmarks: how methods rank, and the curves behind the numbers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
import numpy as np

from perturb.figures.studies import standard_error, tidy
from perturb.figures.style import KEPT, REMOVED, STYLE

GREY = '#868e96'
_CAPTION = 'Means with 95 % intervals. Orange: the best of a panel. Dashes: the mean of noise.'
_LINE = 0.17  # Inches a method.
_ACROSS = 6  # Panels side by side.
_SHOWN = 8  # Curves that a person tells apart.
_COLOURS = matplotlib.colormaps['tab10'].colors  # type: ignore[attr-defined]
_DASHES = ('-', (0, (4, 1.5)))


class Scores(NamedTuple):
  """A metric of several methods.

  Attributes:
    title: of the metric.
    hint: which way is better.
    means: of each method `[M]`; NaN where it has none.
    low, high: their intervals `[M]`.
    reference: of a method that looks at nothing, drawn as a line; NaN for none.
    best: 'more', 'less' or 'zero': which mean is the best one.
  """

  title: str
  hint: str
  means: np.ndarray
  low: np.ndarray
  high: np.ndarray
  reference: float
  best: str


def goodness(means: np.ndarray, best: str) -> np.ndarray:
  """`[M]`, larger for the better of some means; see `Scores.best`."""
  return {'more': means, 'less': -means, 'zero': -np.abs(means)}[best]


def ranking(methods: Sequence[str], scores: Sequence[Scores]) -> Figure:
  """A panel for each metric: the mean of each method with its interval; the best one stands out.

  Args:
    methods: their titles, from the top.
    scores: a panel each.
  """
  rows = np.arange(len(methods))
  across = min(_ACROSS, len(scores))
  down = -(-len(scores) // across)
  with matplotlib.rc_context(STYLE):
    height = 0.75 + _LINE * len(methods)
    figure = Figure(figsize=(1.3 + 1.25 * across, height * down))
    whole = height * down
    grid = figure.add_gridspec(
      down, across, wspace=0.12, hspace=0.75 / height, bottom=0.4 / whole, top=1 - 0.4 / whole
    )
    for i, score in enumerate(scores):
      axes = figure.add_subplot(grid[i // across, i % across])
      known = np.isfinite(score.means)
      best = np.nanargmax(goodness(score.means, score.best)) if known.any() else -1
      for r in rows[known]:
        colour = REMOVED if r == best else KEPT
        axes.plot([score.low[r], score.high[r]], [r, r], color=colour, linewidth=1, alpha=0.6)
        axes.plot(score.means[r], r, 'o', color=colour, markersize=3)
      if np.isfinite(score.reference):
        axes.axvline(score.reference, color='black', linewidth=0.6, linestyle=(0, (4, 3)))
      axes.set_ylim(len(methods) - 0.4, -0.6)
      axes.set_yticks(rows, [''] * len(methods) if i % across else methods)
      axes.grid(axis='y', linewidth=0.3, color='#dee2e6')
      axes.set_axisbelow(True)
      axes.locator_params(axis='x', nbins=3)
      axes.set_title(score.title, fontsize=7, pad=10.5)
      axes.text(
        *(0.5, 1.0), score.hint, fontsize=5.5, color=GREY, ha='center', va='bottom',
        transform=axes.transAxes,
      )  # fmt: skip
      tidy(axes)
    figure.text(
      *(0.5, 0), _CAPTION, fontsize=6, color=GREY, ha='center', va='top'
    )  # fmt: skip
  return figure


def curves(
  panels: Sequence[tuple[str, str, str, np.ndarray, Mapping[str, np.ndarray]]],
) -> Figure:
  """Mean curves of methods over something, with their standard errors; the first few of them.

  Args:
    panels: (title, label of the axis across, label of the axis up, where `[T]`, title of a method
      -> `[N, T]`).
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(0.9 + 2.4 * len(panels), 2.2))
    grid = figure.add_gridspec(1, len(panels), wspace=0.28)
    for i, (name, across, up, where, values) in enumerate(panels):
      axes = figure.add_subplot(grid[0, i])
      for m, (method, rows) in enumerate(list(values.items())[:_SHOWN]):
        mean, error = rows.mean(0), standard_error(rows)
        colour = _COLOURS[m % len(_COLOURS)]
        axes.plot(where, mean, color=colour, linewidth=1, linestyle=_DASHES[m % 2], label=method)
        axes.fill_between(where, mean - error, mean + error, color=colour, alpha=0.12, linewidth=0)
      axes.set_title(name, fontsize=7.5)
      axes.set_xlabel(across, fontsize=7, labelpad=1.5)
      axes.set_ylabel(up, fontsize=7)
      tidy(axes)
    axes.legend(frameon=False, fontsize=6, loc='upper left', bbox_to_anchor=(1, 1.02))
  return figure
