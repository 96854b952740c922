"""Superpixels: segments of an image that LIME and minimal images switch on and off."""

import jax
import numpy as np
from skimage.segmentation import slic

from perturb.errors import UserError

STEP = 32  # Programs are compiled for a multiple of so many segments.


def superpixels(x: jax.Array | np.ndarray, count: int = 50) -> np.ndarray:
  """SLIC superpixels of images (Achanta et al., PAMI 2012), by scikit-image.

  Args:
    x: images `[B, H, W, C]` in any units: each channel is scaled to [0, 1].
    count: about how many segments an image.

  Returns:
    int32 `[B, H, W]`: the segments of each image, numbered from 0.
  """
  images = np.asarray(x, np.float32)
  low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
  scaled = (images - low) / np.where(high == low, 1, high - low)
  colour = images.shape[-1] == 3
  segments = [
    slic(
      image if colour else image.mean(-1),
      n_segments=count,
      compactness=10 if colour else 0.1,
      start_label=0,
      channel_axis=-1 if colour else None,
    )
    for image in scaled
  ]
  return np.stack(segments).astype(np.int32)


def round_up(count: int) -> int:
  """So many segments or some more: programs for a few numbers serve pictures of any."""
  return -(-count // STEP) * STEP


def check_segments(
  segments: np.ndarray | jax.Array | None, x: jax.Array
) -> tuple[np.ndarray, np.ndarray]:
  """Segments `[B, H, W]`, by default superpixels, and how many each image has, `[B]`.

  Raises:
    UserError: for segments of another shape, or that are not numbered from 0.
  """
  if segments is None:
    segments = superpixels(x)
  found = np.asarray(segments)
  if found.shape == x.shape[1:3]:
    found = np.broadcast_to(found, x.shape[:3])
  if found.shape != x.shape[:3] or not np.issubdtype(found.dtype, np.integer) or found.min() < 0:
    raise UserError(
      f'segments must be integers from 0 of shape {x.shape[:3]}, not {found.dtype} {found.shape}'
    )
  return found.astype(np.int32), found.max((1, 2)) + 1
