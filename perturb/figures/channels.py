"""The figure of channel attribution (ICCV 2019, fig. 8 and 9)."""

import matplotlib
from matplotlib.figure import Figure
import numpy as np

from perturb.figures.heatmaps import colour
from perturb.figures.style import BLANK, KEPT, PANEL, STYLE, WHOLE, bare, title
from perturb.methods.channels import ChannelResult


def channel_panels(
  picture: np.ndarray, class_name: str, result: ChannelResult, inversions: np.ndarray
) -> Figure:
  """The image with its channel saliency, and both inversions side by side.

  Args:
    picture: uint8 `[2H, 2W, 3]`.
    class_name: of the class that is explained.
    result: its attribution, B = 1.
    inversions: `[2, H, W, 3]` in [0, 1], of the activations, and of those kept.
  """
  best = int(result.best()[0])
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * 1.5 * 4.5, PANEL * 1.7))
    grid = figure.add_gridspec(1, 5, width_ratios=[1, 1, 1, 0.12, 1.25], wspace=0.06)
    panels = (
      (colour(np.asarray(result.heatmap)[0], picture), class_name),
      (inversions[0], 'inversion, all channels'),
      (inversions[1], f'inversion, {result.areas[best]:g} channels'),
    )
    for i, (panel, text) in enumerate(panels):
      axes = figure.add_subplot(grid[0, i])
      axes.imshow(panel)
      title(axes, text, 7)
      bare(axes)
    axes = figure.add_subplot(grid[0, 4])
    areas, scores = np.asarray(result.areas), np.asarray(result.scores)[0]
    axes.plot(areas, scores, '-o', color=KEPT, markersize=2.5, linewidth=1.1)
    axes.axhline(float(result.full_score[0]), color=WHOLE, linewidth=0.8, linestyle=(0, (5, 2)))
    axes.axvline(areas[best], color=BLANK, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_xlabel('channels kept (dots: a*)', fontsize=7, labelpad=1.5)
    axes.set_title('score (dashes: of the image)', fontsize=7, pad=3)
    axes.tick_params(length=2, pad=1.5, labelsize=6)
    axes.set_box_aspect(1)
  return figure
