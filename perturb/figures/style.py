"""What all figures share: their style, colours and file format."""

import bisect
from collections.abc import Iterator
import contextlib
import io
from typing import Any
import warnings

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import TextToPath
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from perturb.errors import printable

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
SMALLER = 0.85  # What a title is shrunk to before it is broken into lines.


def png(figure: Figure) -> bytes:
  """The figure as a PNG file; the same figure gives the same bytes.

  Its texts are shown as they are: a name may have any characters, and `$` begins no formula.
  """
  buffer = io.BytesIO()
  with matplotlib.rc_context({'text.parse_math': False}), any_letters():
    for text in figure.findobj(Text):
      text.set_parse_math(False)
      text.set_text('\n'.join(map(printable, text.get_text().split('\n'))))
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


@contextlib.contextmanager
def any_letters() -> Iterator[None]:
  """A box stands for a letter that the font does not have; no warning is needed."""
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', 'Glyph .* missing')
    yield


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


def title(axes: Axes, text: str, size: float, pad: float = 3) -> None:
  """A title as wide as its panel at most: smaller, in two lines, or cut where it is longer."""
  width = axes.get_window_extent().width / axes.figure.dpi
  lines, size = fitted(text, size, width)
  axes.set_title(lines, fontsize=size, pad=pad, linespacing=1.0, parse_math=False)


def foot_title(axes: Axes, text: str, size: float, pad: float = 2.5) -> None:
  """As `title`, below a panel."""
  width = axes.get_window_extent().width / axes.figure.dpi
  lines, size = fitted(text, size, width)
  axes.set_xlabel(lines, fontsize=size, labelpad=pad, linespacing=1.0, parse_math=False)


def side_title(axes: Axes, text: str, size: float, pad: float = 2.5) -> None:
  """As `title`, along the left side of a panel."""
  height = axes.get_window_extent().height / axes.figure.dpi
  lines, size = fitted(text, size, height)
  axes.set_ylabel(lines, fontsize=size, labelpad=pad, linespacing=1.0, parse_math=False)


def fitted(text: str, size: float, width: float, lines: int = 2) -> tuple[str, float]:
  """A text so that it fits, and its size.

  Args:
    text: of one line.
    size: of its letters, in points; they become smaller where that spares a line.
    width: of the place, in inches.
    lines: at most; what does not fit into them ends with an ellipsis.
  """
  text = printable(text)
  if _width(text, size) <= width:
    return text, size
  size *= SMALLER
  found = list(_broken(text, size, width))
  if len(found) > lines:
    found = [*found[: lines - 1], _cut(' '.join(found[lines - 1 :]), size, width)]
  return '\n'.join(found), size


def _broken(text: str, size: float, width: float) -> Iterator[str]:
  """The lines of a text that is broken between words."""
  line, *words = text.split(' ')
  for word in words:
    if _width(f'{line} {word}', size) > width:
      yield _cut(line, size, width)
      line = word
    else:
      line = f'{line} {word}'
  yield _cut(line, size, width)


def _cut(line: str, size: float, width: float) -> str:
  if _width(line, size) <= width:
    return line
  fits = bisect.bisect(range(1, len(line)), width, key=lambda n: _width(f'{line[:n]}…', size))
  return f'{line[:fits].rstrip()}…'


def _width(text: str, size: float) -> float:
  """Inches."""
  font = FontProperties(family=STYLE['font.family'], size=size)
  with any_letters():
    points, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
  return points / 72
