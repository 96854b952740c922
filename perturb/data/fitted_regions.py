"""Boxes, masks and heatmaps of pictures that are fitted to the size of a network."""

import itertools

import numpy as np
from PIL import Image

from perturb.data.fitting import Fit, place_fitted

_ROUNDING = 1e-9  # Of a share that is a half.


def fitted_boxes(
  boxes: np.ndarray,
  width: int,
  height: int,
  *,
  size: int,
  fit: Fit = 'crop',
  multiple: int = 1,
  place: str = 'the picture',
) -> np.ndarray:
  """Where boxes of a picture are once it is fitted.

  Args:
    boxes: `[n, 4]`: left, top, right, bottom in pixels of the picture, the last two excluded.
    width: of the picture, in pixels.
    height: of the picture, in pixels.
    size: as for `fit_picture`, like the rest.
    fit: as there.
    multiple: as there.
    place: what an error calls the picture.

  Returns:
    float `[n, 4]`, in pixels of the fitted picture and inside it, not rounded. A box that is
    cropped away has no area.

  Raises:
    ImageError: as `perturb.data.fitting.fitted_shape`.
  """
  placed = place_fitted(width, height, size=size, fit=fit, multiple=multiple, place=place)
  left, top, right, bottom = placed.box
  scaled = boxes * np.tile(np.divide(placed.scaled, (width, height)), 2)
  return np.clip(scaled - [left, top, left, top], 0, np.tile([right - left, bottom - top], 2))


def fitted_mask(
  mask: np.ndarray,
  *,
  size: int,
  fit: Fit = 'crop',
  multiple: int = 1,
  place: str = 'the picture',
) -> np.ndarray:
  """A mask of a picture, bool `[h, w]`, once the picture is fitted; see `fitted_boxes`.

  Returns:
    bool `[H, W]`: the pixels whose area is in the mask by half or more.

  Raises:
    ImageError: as `fitted_boxes`.
  """
  height, width = mask.shape
  placed = place_fitted(width, height, size=size, fit=fit, multiple=multiple, place=place)
  left, top, right, bottom = placed.box
  rows = (np.arange(top, bottom + 1) * (height / placed.scaled[1])).clip(0, height)
  columns = (np.arange(left, right + 1) * (width / placed.scaled[0])).clip(0, width)
  if height > width:  # What is long first, or a strip would be enlarged in its whole length.
    shares = _averages(_averages(mask, rows).T, columns).T
  else:
    shares = _averages(_averages(mask.T, columns).T, rows)
  return shares >= 0.5 - _ROUNDING


def fitted_heatmap(
  heatmap: np.ndarray,
  *,
  size: int,
  fit: Fit = 'crop',
  multiple: int = 1,
  place: str = 'the picture',
) -> np.ndarray:
  """A heatmap of a picture, `[h, w]`, once the picture is fitted; see `fitted_boxes`.

  Returns:
    float32 `[H, W]`, bilinear and antialiased.

  Raises:
    ImageError: as `fitted_boxes`.
  """
  height, width = heatmap.shape
  placed = place_fitted(width, height, size=size, fit=fit, multiple=multiple, place=place)
  image = Image.fromarray(np.asarray(heatmap, np.float32))
  return np.asarray(image.resize(placed.scaled, Image.Resampling.BILINEAR).crop(placed.box))


def _averages(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
  """The means of rows `[n, m]` from each edge to the next, by share: `[len(edges) - 1, m]`."""
  means = np.empty((len(edges) - 1, values.shape[1]))
  for i, (start, stop) in enumerate(itertools.pairwise(edges)):
    first, last = int(start), int(np.ceil(stop))
    inside = np.diff(np.arange(first, last + 1).clip(start, stop))
    means[i] = inside @ values[first:last] / (stop - start)
  return means
