"""What all figures share: their style, colours and file format."""

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

KEPT, REMOVED, WHOLE, BLANK = '#1f5fa8', '#d9730d', '#2b8a3e', '#c92a2a'
STYLE: Any = {
  'font.family': 'DejaVu Sans',
  'font.size': 8,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.linewidth': 0.6,
  'xtick.major.width': 0.6,
  'ytick.major.width': 0.6,
}
PANEL = 1.15  # inches


def png(figure: Figure) -> bytes:
  """The figure as a PNG file; the same figure gives the same bytes."""
  buffer = io.BytesIO()
  figure.savefig(
    buffer,
    format='png',
    dpi=300,
    bbox_inches='tight',
    pad_inches=0.03,
    facecolor='white',
    metadata={'Software': None},
  )
  return buffer.getvalue()


def percent(area: float) -> str:
  """0.05 -> '5 %', 0.025 -> '2.5 %'."""
  return f'{100 * area:g} %'


def enlarge(mask: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
  """A mask `[H, W]` resized to a picture's height and width (bicubic), in [0, 1]."""
  image = Image.fromarray(np.asarray(mask, np.float32)).resize(
    (shape[1], shape[0]), Image.Resampling.BICUBIC
  )
  return np.clip(np.asarray(image), 0, 1)


def bare(axes: Axes) -> None:
  axes.set_xticks([])
  axes.set_yticks([])
  for spine in axes.spines.values():
    spine.set_visible(False)
