"""The figure of channel attribution (ICCV 2019, fig. 8 and 9)."""

import matplotlib
from matplotlib.figure import Figure
import numpy as np

from perturb.figures.heatmaps import colour
from perturb.figures.style import BLANK, KEPT, PANEL, REMOVED, STYLE, WHOLE, bare, foot_title, title
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
  best, found = int(result.best()[0]), bool(result.reaches()[0])
  saliency = np.asarray(result.heatmap)[0]
  signs = 'saliency: red > 0, blue < 0' if saliency.min() < 0 else 'saliency'
  deleting = result.game == 'delete'
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * 1.5 * 4.5, PANEL * 1.7))
    grid = figure.add_gridspec(1, 5, width_ratios=[1, 1, 1, 0.12, 1.25], wspace=0.06)
    panels = (
      (colour(saliency, picture), class_name, signs),
      (inversions[0], 'inversion, all channels', ''),
      (inversions[1], f'inversion, {result.areas[best]:g} channels', ''),
    )
    for i, (panel, text, below) in enumerate(panels):
      axes = figure.add_subplot(grid[0, i])
      axes.imshow(panel)
      title(axes, text, 7)
      foot_title(axes, below, 7)
      bare(axes)
    axes = figure.add_subplot(grid[0, 4])
    areas = np.asarray(result.areas)
    scores = np.asarray(result.deleted_scores if deleting else result.scores)[0]
    level = result.blank_score if deleting else result.full_score
    colours = (REMOVED, BLANK) if deleting else (KEPT, WHOLE)
    axes.plot(areas, scores, '-o', color=colours[0], markersize=2.5, linewidth=1.1)
    axes.axhline(float(level[0]), color=colours[1], linewidth=0.8, linestyle=(0, (5, 2)))
    if found:
      axes.axvline(areas[best], color='#888888', linewidth=0.8, linestyle=(0, (1, 2)))
    what = 'channels deleted' if deleting else 'channels kept'
    axes.set_xlabel(f'{what} ({"dots: a*" if found else "no a*"})', fontsize=7, labelpad=1.5)
    dashes = 'of no channel' if deleting else 'of the image'
    axes.set_title(f'score (dashes: {dashes})', fontsize=7, pad=3)
    axes.tick_params(length=2, pad=1.5, labelsize=6)
    axes.set_box_aspect(1)
  return figure
