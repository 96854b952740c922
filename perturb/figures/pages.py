"""What the HTML pages share: each is one file that loads nothing from outside."""

import base64
import importlib.resources
import io
import json
from typing import Any

import numpy as np
from PIL import Image
from skimage import measure


def filled(package: str, template: str, data: Any) -> str:
  """A template with the data, JSON, in the place of `/*DATA*/`; no name in it can end the script.

  Args:
    package: whose file the template is.
    template: its name there.
    data: what `json` can write, without NaN.
  """
  return with_data(text_of(package, template), data)


def text_of(package: str, name: str) -> str:
  """A file that lies in a package."""
  return (importlib.resources.files(package) / name).read_text(encoding='utf-8')


def with_data(page: str, data: Any) -> str:
  """A page with the data, JSON, in the place of `/*DATA*/`; no name in it can end the script."""
  return page.replace('/*DATA*/', json.dumps(data, allow_nan=False).replace('<', '\\u003c'))


def data_url(image: Image.Image, kind: str, **options: Any) -> str:
  """A picture as the text that a page has in the place of its address."""
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return f'data:image/{kind};base64,' + base64.b64encode(buffer.getvalue()).decode()


def outline(mask: np.ndarray, tolerance: float = 0) -> str:
  """The SVG path of the level 1/2 of a mask `[H, W]`.

  Args:
    mask: in [0, 1].
    tolerance: how far the path may be from that level, in pixels of the mask.
  """
  paths = []
  for contour in measure.find_contours(np.pad(np.asarray(mask, np.float32), 1), 0.5):
    corners = measure.approximate_polygon(contour, tolerance)
    paths.append('M' + ' '.join(f'{x - 0.5:.1f},{y - 0.5:.1f}' for y, x in corners) + 'Z')
  return ''.join(paths)
