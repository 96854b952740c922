"""One self-contained HTML page of relevant features: classes by them, and images explained."""

from collections.abc import Iterable
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from concepts.figures.views import ClassView, Curve, FeatureView, ImageView, Study
from perturb.errors import UserError, printable
from perturb.figures.pages import data_url, filled, outline

PICTURE_SIDE, HEATMAP_SIDE, AVERAGE_SIDE, PATCH_SIDE = 256, 128, 128, 64  # Pixels at most.
QUALITY = 70  # Of 100: a photograph with four heatmaps takes 32 kB, 500 of them 16 MB.
SMALL = 64  # Up to this side nothing is lost; a digit's edges would ring.
COLOURS = 17  # Between them the page interpolates.


def _embedded(pixels: np.ndarray, side: int) -> str:
  """A picture, or an 8-bit heatmap, at most `side` high and wide."""
  image = Image.fromarray(pixels)
  small = max(image.size) <= SMALL
  image.thumbnail((side, side), Image.Resampling.LANCZOS)
  return data_url(image, 'webp', lossless=small, quality=100 if small else QUALITY)


def _heatmap(values: np.ndarray) -> str:
  return _embedded((255 * np.clip(values, 0, 1) + 0.5).astype(np.uint8), HEATMAP_SIDE)


def _strip(patches: np.ndarray) -> str:
  """Patches beside each other as one picture; '' where there are none."""
  if not len(patches):
    return ''
  squares = [Image.fromarray(p).resize((PATCH_SIDE,) * 2, Image.Resampling.BOX) for p in patches]
  return data_url(
    Image.fromarray(np.hstack([np.asarray(s) for s in squares])), 'webp', quality=QUALITY
  )


def _number(value: float) -> float | None:
  return float(value) if np.isfinite(value) else None


def _feature(view: FeatureView) -> dict[str, Any]:
  return {
    'layer': printable(view.layer),
    'filter': int(view.filter),
    'depth': int(view.depth),
    'layers': int(view.layers),
    'connected': bool(view.connected),
    'average': None if view.average is None else _embedded(view.average, AVERAGE_SIDE),
    'patches': _strip(view.patches),
    'sources': [printable(name) for name in view.sources],
    'responses': [_number(response) for response in view.responses],
  }


def _class(view: ClassView) -> dict[str, Any]:
  return {
    'name': printable(view.name),
    'features': [[int(index), _number(weight)] for index, weight in view.features],
    'images': int(view.images),
    'accuracy': _number(view.accuracy),
  }


def _image(view: ImageView) -> dict[str, Any]:
  height, width = view.picture.shape[:2]
  return {
    'name': printable(view.name),
    'label': printable(view.label),
    'predicted': printable(view.predicted),
    'probability': _number(view.probability),
    'features': [[int(f), _number(part), _number(share)] for f, part, share in view.features],
    'width': width,
    'height': height,
    'picture': _embedded(view.picture, PICTURE_SIDE),
    'heatmaps': [_heatmap(values) for values in view.heatmaps],
    'combined': _heatmap(view.combined),
    'outline': '' if view.mask is None else outline(view.mask, tolerance=0.5),
  }


def _curve(curve: Curve) -> dict[str, Any]:
  deviation = [0.0] * len(curve.counts) if curve.deviation is None else curve.deviation
  return {
    'name': printable(curve.name),
    'counts': [int(count) for count in curve.counts],
    'accuracy': [_number(value) for value in curve.accuracy],
    'deviation': [_number(value) for value in deviation],
  }


def _method(name: str, mean: float, deviation: float, paper: tuple[float, float] | None) -> Any:
  return {
    'name': printable(name),
    'ours': [_number(mean), _number(deviation)],
    'paper': paper and [_number(value) for value in paper],
  }


def _check_known(study: Study, of: str, indices: Iterable[int]) -> None:
  for index in indices:
    if index not in study.features:
      raise UserError(f'{of} has feature {index}, which is not among the features of the study')


def _check(study: Study) -> None:
  for one in study.classes:
    _check_known(study, f'class {one.name!r}', (index for index, _ in one.features))
  for image in study.images:
    of = f'image {image.name!r}'
    _check_known(study, of, (index for index, _, _ in image.features))
    if len(image.heatmaps) != len(image.features):
      raise UserError(
        f'{of} has {len(image.heatmaps)} heatmaps for {len(image.features)} features; it needs '
        'one of each'
      )


def _colours() -> list[str]:
  """Of the values from 0 to 1; their lightness rises evenly, and every eye tells them apart."""
  colours = matplotlib.colormaps['inferno'](np.linspace(0, 1, COLOURS))
  return [matplotlib.colors.to_hex(colour) for colour in colours]


def relevant_page(study: Study) -> str:
  """The page, as text; it loads nothing from outside.

  It shows the classes by their features, why each image is called what it is called, and the
  measurements. `#image=NAME` and `#class=NAME` behind its address lead to one of them.

  Raises:
    UserError: for an image or a class with a feature that the study does not have, or an image
      without a heatmap for each of its features.
  """
  _check(study)
  data = {
    'title': printable(study.title),
    'made': study.made,
    'colours': _colours(),
    'features': {int(index): _feature(view) for index, view in study.features.items()},
    'classes': [_class(view) for view in study.classes],
    'images': [_image(view) for view in study.images],
    'curves': [_curve(curve) for curve in study.curves],
    'table': [_method(*row) for row in study.table],
    'parts': {
      printable(name): [_number(mean), _number(deviation)] for name, mean, deviation in study.parts
    },
  }
  return filled('concepts.figures', 'relevant.html', data)
