"""The paper's figures: area growth (fig. 5), the extremal mask, scores over area (fig. 3)."""

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from perturb.console import percent, percentage
from perturb.figures.style import (
  BLANK,
  KEPT,
  PANEL,
  REMOVED,
  STYLE,
  WHOLE,
  bare,
  enlarge,
  side_title,
  title,
)
from perturb.methods.area_growth import SATURATION, trusted_fraction
from perturb.store.doubts import in_words, star_of
from perturb.store.explanations import Explanation


def kept(explanation: Explanation, index: int) -> np.ndarray:
  """The picture with all but the region of one area black: uint8 `[H, W, 3]`."""
  picture = explanation.picture
  mask = enlarge(explanation.result.masks[0, index], picture.shape)
  return (picture * mask[..., None] + 0.5).astype(np.uint8)


def shown_area(explanation: Explanation) -> tuple[int, bool]:
  """(index of a*, whether any area reaches Phi_0); the largest area where none does."""
  areas = np.asarray(explanation.result.areas)
  smallest = star_of(explanation.result, explanation.threshold, explanation.game)[0]
  if np.isnan(smallest):
    return int(areas.argmax()), False
  return int(np.flatnonzero(areas == smallest)[0]), True


def _label(axes: Axes, text: str, *, best: bool = False) -> None:
  axes.text(
    0.035,
    0.965,
    text,
    transform=axes.transAxes,
    va='top',
    ha='left',
    fontsize=7,
    color='white' if best else 'black',
    bbox={'boxstyle': 'square,pad=0.25', 'fc': WHOLE if best else 'white', 'ec': 'none'},
  )


def _note(figure: Figure, explanation: Explanation, top: float = 0.08) -> None:
  """Below the panels, why the explanation should not be trusted."""
  lines = in_words(explanation.doubts, explanation.result.areas)
  if lines:
    text = 'Do not trust this: ' + ';\n'.join(lines)
    figure.text(0.5, top, text, ha='center', va='top', fontsize=6.5, color=BLANK)


def _bars(axes: Axes, explanation: Explanation) -> None:
  heights = np.nan_to_num(trusted_fraction(explanation.result)[0])
  best, reached = shown_area(explanation)
  colours = [WHOLE if reached and i == best else KEPT for i in range(len(heights))]
  axes.bar(np.arange(len(heights)), heights, color=colours, width=0.72)
  axes.axhline(1, color='black', linewidth=0.6, linestyle=(0, (4, 3)))
  axes.axhline(0, color='black', linewidth=0.6)
  axes.set_ylim(min(0.0, float(heights.min()) * 1.1), SATURATION + 0.01)
  for i in np.flatnonzero(heights >= SATURATION):  # The bar ends here, what it shows does not.
    axes.text(float(i), SATURATION, '▲', ha='center', va='top', fontsize=4.5, color='white')
  if np.isnan(trusted_fraction(explanation.result)).all():
    axes.text(0.5, 0.5, 'no\nevidence', transform=axes.transAxes, ha='center', fontsize=6)
  axes.set_yticks([0, 0.5, 1])
  axes.set_yticklabels(['0', '½', '1'])
  axes.set_xticks(np.arange(len(heights)))
  axes.set_xticklabels([percentage(float(a)) for a in explanation.result.areas])
  axes.tick_params(length=2, pad=1.5, labelsize=6)
  axes.spines['bottom'].set_visible(False)


def area_growth(explanations: Sequence[Explanation]) -> Figure:
  """A row an image: the image, a panel for each area, and the bars of supplement eq. 1 (fig. 5)."""
  rows, n_areas = len(explanations), len(explanations[0].result.areas)
  aspects = [e.picture.shape[1] / e.picture.shape[0] for e in explanations]
  widths = [max(aspects)] * (n_areas + 1) + [0.12, 0.28 * n_areas + 0.3]
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * sum(widths), PANEL * rows * 1.14))
    grid = figure.add_gridspec(rows, n_areas + 3, width_ratios=widths, wspace=0.04, hspace=0.16)
    for row, explanation in enumerate(explanations):
      best, reached = shown_area(explanation)
      axes = figure.add_subplot(grid[row, 0])
      axes.imshow(explanation.picture)
      title(axes, explanation.class_name, 7)
      bare(axes)
      for i, area in enumerate(explanation.result.areas):
        axes = figure.add_subplot(grid[row, i + 1])
        axes.imshow(kept(explanation, i))
        bare(axes)
        _label(axes, percent(float(area)), best=reached and i == best)
      bars = figure.add_subplot(grid[row, n_areas + 2])
      _bars(bars, explanation)
      if row == 0:
        bars.set_title('score kept', fontsize=7, pad=3)
      if row == rows - 1:
        bars.set_xlabel('area (%)', fontsize=7, labelpad=1.5)
  return figure


def extremal_mask(explanation: Explanation) -> Figure:
  """The image, the region of area a* alone, and its outline on the image."""
  best, reached = shown_area(explanation)
  area = float(explanation.result.areas[best])
  picture = explanation.picture
  mask = enlarge(explanation.result.masks[0, best], picture.shape)
  found = f'a* = {percent(area)}' if reached else f'{percent(area)}, no a*'
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(3 * 2.0 * picture.shape[1] / picture.shape[0], 2.2))
    panels = figure.subplots(1, 3, gridspec_kw={'wspace': 0.04})
    panels[0].imshow(picture)
    title(panels[0], explanation.class_name, 9.6, pad=4)
    panels[1].imshow(kept(explanation, best))
    title(panels[1], found, 9.6, pad=4)
    dimmed = picture * (0.45 + 0.55 * mask[..., None])
    panels[2].imshow(dimmed.astype(np.uint8))
    panels[2].contour(mask, levels=[0.5], colors='white', linewidths=1.2)
    fraction = trusted_fraction(explanation.result, np.inf)[0, best]
    kept_share = '' if np.isnan(fraction) else f'{percent(float(fraction))} of the score kept'
    title(panels[2], kept_share, 9.6, pad=4)
    _note(figure, explanation)
    for axes in panels:
      bare(axes)
  return figure


def score_curves(explanation: Explanation) -> Figure:
  """Scores with the region kept and with it removed, over its area (fig. 3)."""
  result = explanation.result
  order = np.argsort(result.areas)
  areas = 100 * np.asarray(result.areas)[order]
  best, reached = shown_area(explanation)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(3.3, 2.3))
    axes = figure.subplots()
    full, blank = float(result.full_score[0]), float(result.blank_score[0])
    for level, colour, text in ((full, WHOLE, 'whole image'), (blank, BLANK, 'all perturbed')):
      axes.axhline(level, color=colour, linewidth=0.9, linestyle=(0, (5, 2)))
      axes.annotate(
        text,
        (1, level),
        xytext=(3, 0),
        xycoords=('axes fraction', 'data'),
        textcoords='offset points',
        va='center',
        color=colour,
        fontsize=7,
      )
    for scores, colour, label in (
      (result.scores, KEPT, 'region kept, Φ(mₐ ⊗ x)'),
      (result.deleted_scores, REMOVED, 'removed, Φ((1 - mₐ) ⊗ x)'),
    ):
      values = np.asarray(scores)[0, order]
      axes.plot(areas, values, '-o', color=colour, markersize=3.2, linewidth=1.3, label=label)
    if reached:
      axes.axvline(
        100 * float(result.areas[best]), color='#888888', linewidth=0.8, linestyle=(0, (1, 2))
      )
      axes.annotate(
        'a*',
        (100 * float(result.areas[best]), 0),
        xytext=(2, 3),
        xycoords=('data', 'axes fraction'),
        textcoords='offset points',
        color='#555555',
      )
    axes.set_xlim(0, 100)
    axes.margins(y=0.12)
    axes.set_xlabel('area of the region (%)')
    side_title(axes, f'score of “{explanation.class_name}”', 8, pad=4)
    axes.legend(
      loc='lower center',
      bbox_to_anchor=(0.46, 1.0),
      ncols=2,
      frameon=False,
      fontsize=7,
      columnspacing=1.2,
      handlelength=1.4,
    )
    _note(figure, explanation, 0.0)
  return figure
