"""Figures of relevant features (Oramas et al., ICLR 2019, fig. 1, 4 to 6 and 13, table 1)."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
import numpy as np

from concepts.figures.views import ClassView, Curve, FeatureView, ImageView
from perturb.errors import UserError
from perturb.figures.heatmaps import tinted
from perturb.figures.studies import COLOURS, tidy
from perturb.figures.style import (
  BLANK,
  KEPT,
  PANEL,
  REMOVED,
  STYLE,
  WHOLE,
  bare,
  foot_title,
  title,
)

EXTENT, CONNECTED = '#1d7a46', '#b5297f'  # Of a layer's number: green and pink, as in the paper.
SOFT = '#5a636d'
_GAP = 0.12  # Between a feature's panels and those of the next, in panels.
_DASHES = ('-', (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


def explanations(images: Sequence[ImageView], features: Mapping[int, FeatureView]) -> Figure:
  """Why each image is called what it is called (fig. 1 and 6).

  A row an image: its picture under the predicted class; of each feature the heatmap under the
  number of its layer, and beside it the average image; last the combined heatmap.

  Args:
    images: at least one. A row with fewer features than others has gaps.
    features: by index.

  Raises:
    UserError: where there are no images.
  """
  if not images:
    raise UserError('explanations: there are no images; give at least one')
  count = max(len(image.features) for image in images)
  aspect = max(image.picture.shape[1] / image.picture.shape[0] for image in images)
  widths = [aspect, *(_GAP, aspect, 1) * count, _GAP, aspect]
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * sum(widths), PANEL * 1.27 * len(images)))
    grid = figure.add_gridspec(
      len(images), len(widths), width_ratios=widths, wspace=0.03, hspace=0.3
    )
    for row, image in enumerate(images):
      _explanation(figure, grid, row, image, features)
  return figure


def _explanation(
  figure: Figure,
  grid: GridSpec,
  row: int,
  image: ImageView,
  features: Mapping[int, FeatureView],
) -> None:
  axes = figure.add_subplot(grid[row, 0])
  axes.imshow(image.picture)
  bare(axes)
  _prediction(axes, image)
  for k, (index, _, _) in enumerate(image.features):
    axes = figure.add_subplot(grid[row, 3 * k + 2])
    axes.imshow(tinted(image.heatmaps[k], image.picture))
    bare(axes)
    text, colour = _layer(features[index])
    axes.set_title(text, fontsize=6.5, pad=2.5, color=colour, fontweight='bold')
    _average(figure.add_subplot(grid[row, 3 * k + 3]), features[index])
  axes = figure.add_subplot(grid[row, -1])
  axes.imshow(tinted(image.combined, image.picture))
  bare(axes)
  title(axes, 'combined', 6.5, pad=2.5)


def _prediction(axes: Axes, image: ImageView) -> None:
  """The class predicted, whether it is the label, and the label where it is not."""
  right = image.label == image.predicted
  mark = ('✓ ' if right else '✗ ') if image.label else ''
  title(axes, mark + image.predicted, 6.5, pad=2.5)
  if mark:
    axes.title.set_color(WHOLE if right else BLANK)
  if mark and not right:
    foot_title(axes, f'is {image.label}', 6.5, pad=1.5)


def _layer(feature: FeatureView) -> tuple[str, str]:
  """The number of its layer among all, and the colour of the layer's kind."""
  return f'{feature.depth}/{feature.layers}', CONNECTED if feature.connected else EXTENT


def _average(axes: Axes, feature: FeatureView) -> None:
  """The average image; a grey panel that says so where nothing makes the feature respond."""
  bare(axes)
  if feature.average is not None:
    axes.imshow(feature.average)
    return
  axes.imshow(np.full((2, 2, 3), 238, np.uint8))
  axes.text(0.5, 0.5, 'no\nresponse', fontsize=5.5, color=SOFT, ha='center', va='center')


def average_images(
  classes: Sequence[ClassView], features: Mapping[int, FeatureView], rows: int = 5
) -> Figure:
  """The average images of each class, largest absolute weight first (fig. 5 and 13).

  The number of the layer is in the corner of each, its weight below.

  Args:
    classes: across, at least one.
    features: by index.
    rows: features of a class at most.

  Raises:
    UserError: where there are no classes, or no rows.
  """
  if not classes or rows < 1:
    raise UserError('average_images: give at least one class, and at least one row')
  deepest = max(1, min(rows, max(len(one.features) for one in classes)))
  side = 0.75 * PANEL
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(side * len(classes), side * 1.17 * deepest))
    grid = figure.add_gridspec(deepest, len(classes), wspace=0.06, hspace=0.17)
    for c, one in enumerate(classes):
      for r in range(deepest):
        axes = figure.add_subplot(grid[r, c])
        bare(axes)
        if r == 0:
          title(axes, one.name, 6.5, pad=2.5)
        if c == 0:
          axes.set_ylabel(str(r + 1), fontsize=6.5, rotation=0, ha='right', va='center')
        if r < len(one.features):
          _weighted(axes, features[one.features[r][0]], one.features[r][1])
  return figure


def _weighted(axes: Axes, feature: FeatureView, weight: float) -> None:
  """An average image with its layer and its weight."""
  _average(axes, feature)
  text, colour = _layer(feature)
  axes.text(
    *(0.035, 0.965), text, transform=axes.transAxes, fontsize=4.8, color=colour, va='top',
    fontweight='bold', bbox={'boxstyle': 'square,pad=0.18', 'fc': 'white', 'ec': 'none'},
  )  # fmt: skip
  foot_title(axes, f'{weight:+#.2g}'.replace('-', '−'), 5, pad=1)  # noqa: RUF001
  axes.xaxis.label.set_color(SOFT if weight >= 0 else REMOVED)


def ablation(curves: Sequence[Curve]) -> Figure:
  """Mean class accuracy over the number of features set to zero (fig. 4).

  Bands are standard deviations, of those curves that have repetitions.

  Raises:
    UserError: where there are no curves.
  """
  if not curves:
    raise UserError('ablation: there are no curves; give at least one')
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(3.2, 2.2))
    axes = figure.add_subplot()
    for i, curve in enumerate(curves):
      colour, dashes = COLOURS[i % len(COLOURS)], _DASHES[i % len(_DASHES)]
      mean = 100 * np.asarray(curve.accuracy)
      axes.plot(curve.counts, mean, color=colour, linestyle=dashes, linewidth=1.2, label=curve.name)
      if curve.deviation is not None:
        band = 100 * np.asarray(curve.deviation)
        axes.fill_between(
          curve.counts, mean - band, mean + band, color=colour, alpha=0.18, linewidth=0
        )
    axes.set_ylim(0, 102)
    axes.set_xlim(0, max(1, *(curve.counts[-1] for curve in curves)))
    axes.set_xlabel('features removed', fontsize=7, labelpad=1.5)
    axes.set_ylabel('mean class accuracy (%)', fontsize=7)
    axes.grid(axis='y', linewidth=0.3, color='#dee2e6')
    axes.legend(frameon=False, fontsize=6.5, loc='upper left', bbox_to_anchor=(1, 1.02))
    tidy(axes)
  return figure


def overlap(table: Sequence[tuple[str, float, float, tuple[float, float] | None]]) -> Figure:
  """Overlap of each method's heatmaps with the true regions, beside the paper's (table 1).

  Args:
    table: rows of `Study.table`, from above.

  Raises:
    UserError: where there are no rows.
  """
  if not table:
    raise UserError('overlap: the table has no rows; give at least one method')
  with matplotlib.rc_context(STYLE):
    figure = _methods(table, 'area under the IoU curve (%)')
    (axes,) = figure.axes
    axes.plot([], [], 'o', color=KEPT, markersize=3.4, label='here')
    if any(paper is not None for *_, paper in table):
      axes.plot([], [], 'D', color=REMOVED, mfc='white', markersize=3, label='paper')
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=6.5, loc='upper left', bbox_to_anchor=(1, 1.02))
  return figure


def parts(table: Sequence[tuple[str, float, float]]) -> Figure:
  """How far each method ranks the parts of an image as the network does.

  Args:
    table: rows of `Study.parts`, from above.

  Raises:
    UserError: where there are no rows.
  """
  if not table:
    raise UserError('parts: the table has no rows; give at least one method')
  with matplotlib.rc_context(STYLE):
    figure = _methods([(*row, None) for row in table], 'rank correlation of parts')
    (axes,) = figure.axes
    axes.axvline(0, color=SOFT, linewidth=0.6, zorder=1)
    axes.set_xlim(right=1)
  return figure


def _methods(
  table: Sequence[tuple[str, float, float, tuple[float, float] | None]], label: str
) -> Figure:
  """A row for each method: its mean with its deviation, and the paper's."""
  figure = Figure(figsize=(3.0, 0.5 + 0.27 * len(table)))
  axes = figure.add_subplot()
  for row, (_, mean, deviation, paper) in enumerate(table):
    _dot(axes, row - 0.14 * (paper is not None), mean, deviation, KEPT, 'o', KEPT)
    if paper is not None:
      _dot(axes, row + 0.2, *paper, REMOVED, 'D', 'white')
  axes.set_yticks(range(len(table)), [name for name, *_ in table])
  axes.set_ylim(len(table) - 0.4, -0.6)
  axes.grid(axis='x', linewidth=0.3, color='#dee2e6')
  axes.set_axisbelow(True)
  axes.set_xlabel(label, fontsize=7, labelpad=1.5)
  tidy(axes)
  return figure


def _dot(
  axes: Axes, row: float, mean: float, deviation: float, colour: str, marker: str, face: str
) -> None:
  axes.errorbar(
    mean, row, xerr=deviation, color=colour, marker=marker, markerfacecolor=face, markersize=3.4,
    markeredgewidth=0.9, elinewidth=1, capsize=0,
  )  # fmt: skip
