"""Occlusions of training images: hide-and-seek, cutout and the most salient patch.

Source: Fong and Vedaldi, "Occlusions for Effective Data Augmentation in Image Classification",
ICCV Workshops 2019, section 3. Pure functions of N images, each of which gets an occlusion of its
own; they can be called in `jax.jit`, and give the same masks on any number of devices.

The images are a network's input `[N, H, W, C]`. What is hidden becomes 0: the mean colour of the
training pictures where the preprocessing subtracts it ('imagenet', 'caffe', 'matconvnet'), the
middle grey with 'symmetric', and black with 'unit' and 'gray'.
"""

from collections.abc import Sequence
import functools
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError
from perturb.ops.heatmaps import resize
from perturb.options import Bounds, Count, Natural, checked

Probability = Annotated[float, Bounds(0, 1)]


@functools.partial(checked, first=2)
def hide_and_seek(
  key: jax.Array,
  images: jax.Array,
  *,
  grid: Count = 4,
  keep: Probability = 0.5,
  keep_image: Probability = 0.0,
) -> jax.Array:
  """Hides each cell of a grid with probability 1 - p_keep,patch (fig. 1).

  Args:
    key: a PRNG key.
    images: `[N, H, W, C]`.
    grid: G, cells in a row and in a column; where G does not divide the side, their sides differ by
      a pixel.
    keep: p_keep,patch.
    keep_image: p_keep,image, the probability that the whole image is kept.

  Returns:
    The images with zeros where they are hidden.

  Raises:
    UserError: for more cells than pixels.
  """
  _check_images(images)
  mask = hide_and_seek_mask(
    key, len(images), images.shape[1:3], grid=grid, keep=keep, keep_image=keep_image
  )
  return _hidden(images, mask)


@functools.partial(checked, first=2)
def cutout(
  key: jax.Array,
  images: jax.Array,
  *,
  count: Count = 1,
  side: Count = 56,
  keep_image: Probability = 0.0,
) -> jax.Array:
  """Hides squares whose centres are uniform over the image (fig. 2).

  Squares overlap, and reach beyond the image, where only the part inside counts.

  Args:
    key: a PRNG key.
    images: `[N, H, W, C]`.
    count: N of the paper, the number of squares.
    side: S of them, in pixels.
    keep_image: p_keep,image, the probability that the whole image is kept.

  Returns:
    The images with zeros where they are hidden.

  Raises:
    UserError: for a square larger than the image.
  """
  _check_images(images)
  mask = cutout_mask(
    key, len(images), images.shape[1:3], count=count, side=side, keep_image=keep_image
  )
  return _hidden(images, mask)


@checked
def salient(
  key: jax.Array,
  images: jax.Array,
  saliency: jax.Array,
  *,
  side: Count = 56,
  jitter: Natural = 16,
  keep_image: Probability = 0.0,
) -> jax.Array:
  """Hides the most salient square, moved at random (fig. 3).

  Args:
    key: a PRNG key.
    images: `[N, H, W, C]`.
    saliency: `[N, h, w]`, not negative; bilinearly resampled to H x W.
    side: S of the square, in pixels.
    jitter: it is moved by up to so many pixels, either way in both directions, and stays inside the
      image.
    keep_image: p_keep,image, the probability that the whole image is kept.

  Returns:
    The images with exactly S^2 zeros each, where they are not kept whole.

  Raises:
    UserError: for a square larger than the image.
  """
  _check_images(images)
  maps = resize(saliency.astype(jnp.float32), images.shape[1:3])
  return _hidden(images, salient_mask(key, maps, side=side, jitter=jitter, keep_image=keep_image))


def hide_and_seek_mask(
  key: jax.Array,
  number: int,
  size: Sequence[int],
  *,
  grid: Count = 4,
  keep: Probability = 0.5,
  keep_image: Probability = 0.0,
) -> jax.Array:
  """The masks of `hide_and_seek`: float32 `[number, H, W]`, 0 where hidden, for a size (H, W)."""
  if grid > min(size):
    raise UserError(f'grid: {grid} x {grid} cells for images of {size[0]} x {size[1]} pixels')
  cells = jax.random.bernoulli(key, keep, (number, grid, grid))
  rows, columns = (np.arange(extent) * grid // extent for extent in size)
  return _kept(key, cells[:, rows][:, :, columns], keep_image)


def cutout_mask(
  key: jax.Array,
  number: int,
  size: Sequence[int],
  *,
  count: Count = 1,
  side: Count = 56,
  keep_image: Probability = 0.0,
) -> jax.Array:
  """The masks of `cutout`: float32 `[number, H, W]`, 0 where hidden, for a size (H, W)."""
  _check_side(side, size)
  centres = jax.random.randint(key, (number, count, 2), 0, jnp.array(size))
  return _kept(key, ~squares(centres - side // 2, side, size), keep_image)


def salient_mask(
  key: jax.Array,
  saliency: jax.Array,
  *,
  side: Count = 56,
  jitter: Natural = 16,
  keep_image: Probability = 0.0,
) -> jax.Array:
  """The masks of `salient` for saliency `[N, H, W]`: float32 `[N, H, W]`, 0 where hidden."""
  size = saliency.shape[1:]
  _check_side(side, size)
  moved = jax.random.randint(key, (len(saliency), 2), -jitter, jitter + 1)
  corners = jnp.clip(most_salient(saliency, side) + moved, 0, jnp.array(size) - side)
  return _kept(key, ~squares(corners[:, None], side, size), keep_image)


def most_salient(saliency: jax.Array, side: int) -> jax.Array:
  """The first pixel (row, column) of the square with the largest sum.

  The square is tried at every pixel, which is stride T = 1 of the paper's footnote 2 (it does not
  say its T). Of equal sums the first counts.

  Args:
    saliency: `[N, H, W]`.
    side: of the square, in pixels.

  Returns:
    int `[N, 2]`.
  """
  sums = saliency
  for window in ((1, side, 1), (1, 1, side)):
    sums = jax.lax.reduce_window(sums, 0.0, jax.lax.add, window, (1, 1, 1), 'VALID')
  best = sums.reshape(len(sums), -1).argmax(-1)
  return jnp.stack(jnp.divmod(best, sums.shape[2]), axis=-1)


def squares(corners: jax.Array, side: int, size: Sequence[int]) -> jax.Array:
  """Whether each pixel of an image of a size (H, W) is in one of its squares.

  Args:
    corners: int `[N, count, 2]`, the first row and column of each square, outside the image too.
    side: of the squares, in pixels.
    size: (H, W).

  Returns:
    bool `[N, H, W]`.
  """
  rows, columns = (
    (np.arange(extent) >= first[..., None]) & (np.arange(extent) < first[..., None] + side)
    for extent, first in zip(size, jnp.moveaxis(corners, -1, 0), strict=True)
  )
  return (rows[..., None] & columns[..., None, :]).any(1)


def _check_images(images: jax.Array) -> None:
  if images.ndim != 4:
    raise UserError(f'images must be [N, H, W, C], not {list(images.shape)}')


def _check_side(side: int, size: Sequence[int]) -> None:
  if side > min(size):
    raise UserError(f'side: a square of {side} pixels in images of {size[0]} x {size[1]}')


def _kept(key: jax.Array, mask: jax.Array, keep_image: float) -> jax.Array:
  """The masks as numbers, all ones for the images that are kept whole."""
  whole = jax.random.bernoulli(jax.random.fold_in(key, 1), keep_image, (len(mask), 1, 1))
  return (mask | whole).astype(jnp.float32)


def _hidden(images: jax.Array, mask: jax.Array) -> jax.Array:
  """Zeros where the mask has them, also where an image is not finite."""
  images = jnp.asarray(images)
  return jnp.where(mask[..., None] > 0, images, jnp.zeros((), images.dtype))
