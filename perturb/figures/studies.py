"""Figures of the studies (ICCV 2017, fig. 6 to 10)."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
import numpy as np

from perturb.console import percent
from perturb.evaluate.representativeness import Representativeness
from perturb.figures.heatmaps import colour
from perturb.figures.style import BLANK, KEPT, PANEL, REMOVED, STYLE, WHOLE, bare, title

COLOURS = (KEPT, REMOVED, WHOLE, BLANK, '#6741d9', '#0b7285', '#868e96', '#a61e4d')


def standard_error(values: np.ndarray) -> np.ndarray:
  """Of the mean over the first axis."""
  return values.std(axis=0) / np.sqrt(len(values))


def tidy(axes: Axes) -> None:
  """Small ticks and labels, as in all of them."""
  axes.tick_params(length=2, pad=1.5, labelsize=6.5)


def suppression_curves(
  results: Sequence[Representativeness], panels: Sequence[tuple[np.ndarray, str]]
) -> Figure:
  """A picture with its simplified masks above, the mean probability over alpha below (fig. 7)."""
  values = np.concatenate([np.asarray(r.normalised) for r in results], axis=1)
  thresholds = results[0].thresholds
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(max(PANEL * len(panels), 3), PANEL * 2.6))
    grid = figure.add_gridspec(2, len(panels), height_ratios=[1, 1.35], wspace=0.05, hspace=0.28)
    for i, (panel, name) in enumerate(panels):
      axes = figure.add_subplot(grid[0, i])
      axes.imshow(panel)
      title(axes, name, 6.5, pad=2.5)
      bare(axes)
    axes = figure.add_subplot(grid[1, :])
    for p, name in enumerate(results[0].perturbations):
      known = values[p][~np.isnan(values[p]).any(1)]
      if not len(known):
        continue
      mean, error = known.mean(0), standard_error(known)
      axes.plot(thresholds, mean, '-o', color=COLOURS[p], markersize=2.2, linewidth=1.1, label=name)
      axes.fill_between(thresholds, mean - error, mean + error, color=COLOURS[p], alpha=0.15)
    axes.axhline(0, color='black', linewidth=0.5)
    axes.set_xlabel('threshold α of the simplified mask', fontsize=7, labelpad=1.5)  # noqa: RUF001
    axes.set_ylabel('normalised probability', fontsize=7)
    axes.legend(frameon=False, fontsize=6.5, loc='upper left', bbox_to_anchor=(1, 1))
    tidy(axes)
  return figure


def box_sizes(areas: Mapping[str, np.ndarray], suppressions: Sequence[float]) -> Figure:
  """Mean size of the minimal boxes of each method, with standard errors (fig. 8).

  Args:
    areas: title of a method -> `[N, S]`, shares of the image.
    suppressions: `[S]`.
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(1.1 + 0.9 * len(suppressions), 2.1))
    axes = figure.add_subplot()
    width = 0.8 / len(areas)
    for m, (name, values) in enumerate(areas.items()):
      at = np.arange(len(suppressions)) + (m - (len(areas) - 1) / 2) * width
      axes.bar(
        at,
        100 * values.mean(axis=0),
        width=0.92 * width,
        yerr=100 * standard_error(values),
        error_kw={'linewidth': 0.7},
        color=COLOURS[m % len(COLOURS)],
        label=name,
      )
    axes.set_xticks(np.arange(len(suppressions)), [percent(s) for s in suppressions])
    axes.set_xlabel('suppression of the probability', fontsize=7, labelpad=1.5)
    axes.set_ylabel('minimal box (% of the image)', fontsize=7)
    axes.legend(frameon=False, fontsize=6, loc='upper left', bbox_to_anchor=(1, 1))
    tidy(axes)
  return figure


def interrogated(
  rows: Sequence[tuple[np.ndarray, np.ndarray, str, float, float]], box: Sequence[int]
) -> Figure:
  """Each picture, and the same with its box blurred, with the probabilities (fig. 6).

  Args:
    rows: (image, image with the box blurred, class, probability before, after).
    box: (top, left, bottom, right) in pixels of the image.
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * 3.2, PANEL * 1.75 * len(rows)))
    grid = figure.add_gridspec(len(rows), 2, wspace=0.04, hspace=0.16)
    for r, (before, after, name, full, rest) in enumerate(rows):
      for c, (panel, text) in enumerate(
        ((before, f'{full:.3f}: {name}'), (after, f'box blurred: {rest:.3f}'))
      ):
        axes = figure.add_subplot(grid[r, c])
        axes.imshow(panel)
        title(axes, text, 7)
        top, left, bottom, right = box
        axes.add_patch(
          Rectangle((left, top), right - left, bottom - top, fill=False, ec=BLANK, linewidth=0.8)
        )
        bare(axes)
  return figure


def marked_parts(
  rows: Sequence[tuple[np.ndarray, np.ndarray, Sequence[tuple[str, float, float]], str]],
) -> Figure:
  """Pictures under their heatmaps, with the keypoints (fig. 9).

  Args:
    rows: (heatmap `[H, W]`, picture `[2H, 2W, 3]`, (part, x, y) in pixels of the picture, title).
  """
  parts = sorted({part for _, _, points, _ in rows for part, _, _ in points})
  columns = min(4, len(rows))
  lines = -(-len(rows) // columns)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * 1.4 * columns, PANEL * 1.6 * lines))
    grid = figure.add_gridspec(lines, columns, wspace=0.04, hspace=0.18)
    for i, (heat, picture, points, text) in enumerate(rows):
      axes = figure.add_subplot(grid[i // columns, i % columns])
      axes.imshow(colour(heat, picture))
      for p, part in enumerate(parts):
        at = [(x, y) for name, x, y in points if name == part]
        if at:
          axes.plot(*zip(*at, strict=True), 'o', color=COLOURS[2 + p], ms=3, mec='white', mew=0.5)
      title(axes, text, 7)
      bare(axes)
  return figure


def detections(accuracies: Mapping[str, float]) -> Figure:
  """The accuracy with which each method's heatmaps tell adversarial examples (fig. 10, right)."""
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(3.2, 0.3 + 0.24 * len(accuracies)))
    axes = figure.add_subplot()
    names = list(accuracies)
    axes.barh(np.arange(len(names)), [100 * accuracies[n] for n in names], color=KEPT, height=0.7)
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.axvline(50, color='black', linewidth=0.6, linestyle=(0, (4, 3)))
    axes.set_xlim(0, 100)
    axes.set_xlabel('heatmaps told rightly (%); dashes: chance', fontsize=7, labelpad=1.5)
    tidy(axes)
  return figure


def adversarial_pairs(
  columns: Sequence[Sequence[tuple[np.ndarray, np.ndarray, str]]],
) -> Figure:
  """Clean images over their heatmaps, adversarial ones over theirs (fig. 10, left).

  Args:
    columns: of each image, (image, heatmap, class) clean and adversarial.
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * len(columns), PANEL * 4.6))
    grid = figure.add_gridspec(4, len(columns), wspace=0.04, hspace=0.2)
    for c, column in enumerate(columns):
      for r, (image, heat, name) in enumerate(column):
        for down, (panel, text) in enumerate(((image, name), (heat, ''))):
          axes = figure.add_subplot(grid[2 * r + down, c])
          axes.imshow(panel, cmap='inferno')
          title(axes, text, 6.5, pad=2.5)
          bare(axes)
  return figure
