"""The regions where filters are active, and how far the concepts of a picture overlap with them.

Source: Fong and Vedaldi, Net2Vec (CVPR 2018), section 3.1.1; Bau et al., Network Dissection (CVPR
2017).

Letters: n pictures, at most P concepts in each, K filters.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from concepts.bilinear import HIGHEST, PATTERNS, Cells, cells_of, upsampled
from perturb.chunks import default_chunk, mapped


class Overlaps(NamedTuple):
  """Pixels of some pictures.

  Attributes:
    intersections: of a filter's region and a concept's, int32 `[n, P, K]`.
    labels: of a concept, int32 `[n, P]`.
    areas: of a filter's region, int32 `[n, K]`.
  """

  intersections: jax.Array
  labels: jax.Array
  areas: jax.Array


def segmentation(active: jax.Array, size: tuple[int, int], align_corners: bool = True) -> jax.Array:
  """M_k = S(1[A_k > T_k]) > 1/2: thresholded, then upsampled.

  Args:
    active: 1[A > T] `[n, h, w, K]`.
    size: (sh, sw) of the label maps, in pixels.
    align_corners: see `concepts.bilinear.bilinear_weights`.

  Returns:
    bool `[n, sh, sw, K]`; a pixel of exactly 1/2 is not in it.
  """
  values, unit = upsampled(active, size, align_corners)
  return 2 * values > unit


def upsampled_first(
  activations: jax.Array, levels: jax.Array, size: tuple[int, int], align_corners: bool = False
) -> jax.Array:
  """S(A_k) > T_k: upsampled, then thresholded, as Network Dissection does.

  Args:
    activations: A `[n, h, w, K]`.
    levels: T `[K]`.
    size: (sh, sw) of the label maps, in pixels.
    align_corners: see `concepts.bilinear.bilinear_weights`.

  Returns:
    bool `[n, sh, sw, K]`.
  """
  values, unit = upsampled(activations, size, align_corners)
  return values / unit > levels


@functools.partial(jax.jit, static_argnums=(2, 3))
def overlaps(
  active: jax.Array, masks: jax.Array, align_corners: bool = True, chunk: int | None = None
) -> Overlaps:
  """Where all filters' regions and the concepts of some pictures overlap.

  Of a coarse layer no region is drawn: whether a pixel is in it depends on which of its four
  neighbours in the layer are active, so that pixels are counted by cell and pattern.

  Args:
    active: 1[A > T] `[n, h, w, K]`.
    masks: where each concept of a picture is, bool `[n, P, sh, sw]`; none of the pixels for an
      entry that is none.
    align_corners: see `segmentation`.
    chunk: pictures at a time, which bounds the memory; by default as
      `perturb.chunks.default_chunk`.
  """
  size = masks.shape[2], masks.shape[3]
  cells = cells_of((active.shape[1], active.shape[2]), size, align_corners)
  chunk = chunk or default_chunk(size)
  if 2 * cells.number * PATTERNS < size[0] * size[1]:
    return mapped(lambda i: _by_cells(active[i], masks[i], cells), len(masks), chunk)
  return mapped(
    lambda i: _by_pixels(segmentation(active[i], size, align_corners), masks[i]), len(masks), chunk
  )


@functools.partial(jax.jit, static_argnums=(3, 4))
def overlaps_upsampled_first(
  activations: jax.Array,
  levels: jax.Array,
  masks: jax.Array,
  align_corners: bool = False,
  chunk: int | None = None,
) -> Overlaps:
  """As `overlaps`, with the regions of `upsampled_first`."""
  size = masks.shape[2], masks.shape[3]

  def some(i: jax.Array) -> Overlaps:
    return _by_pixels(upsampled_first(activations[i], levels, size, align_corners), masks[i])

  return mapped(some, len(masks), chunk or default_chunk(size))


def _by_pixels(regions: jax.Array, masks: jax.Array) -> Overlaps:
  """Of regions `[n, sh, sw, K]` and masks `[n, P, sh, sw]`."""
  parts = _with_whole(masks).reshape(len(masks), masks.shape[1] + 1, -1)
  # Sums of zeros and ones below 2^24: exact in float32, whatever an accelerator multiplies in.
  inside = regions.reshape(len(masks), -1, regions.shape[-1]).astype(jnp.float32)
  return _split(jnp.einsum('npx,nxk->npk', parts, inside), masks)


def _by_cells(active: jax.Array, masks: jax.Array, cells: Cells) -> Overlaps:
  """Of `active` `[n, h, w, K]` and masks `[n, P, sh, sw]`."""
  # A pixel more on both axes, of nothing: it fills up the cells that have fewer.
  parts = jnp.pad(_with_whole(masks), ((0, 0), (0, 0), (0, 1), (0, 1)))
  inside = parts[:, :, cells.rows[:, :, None, None], cells.columns]
  pixels = jnp.einsum('npaibj,aibjq->npabq', inside, cells.covered.astype(jnp.float32))
  pixels = pixels.reshape(*pixels.shape[:2], -1)
  # A count of pixels in a cell may have more digits than an accelerator's shortest float.
  found = jnp.einsum('npx,nxk->npk', pixels, _patterns(active), precision=HIGHEST)
  return _split(found, masks)


def _patterns(active: jax.Array) -> jax.Array:
  """Which pattern each filter has in each cell: zeros and ones, float32 `[n, cells * 15, K]`."""
  n, h, w, filters = active.shape
  whole = jnp.pad(active.astype(jnp.int8), ((0, 0), (0, int(h == 1)), (0, int(w == 1)), (0, 0)))
  left, right = whole[:, :, :-1], whole[:, :, 1:]
  pairs = left + 2 * right
  number = pairs[:, :-1] + 4 * pairs[:, 1:]
  same = number[:, :, :, None] == jnp.arange(1, PATTERNS + 1, dtype=jnp.int8)[:, None]
  return same.astype(jnp.float32).reshape(n, -1, filters)


def _with_whole(masks: jax.Array) -> jax.Array:
  """Masks, and after them one of all pixels, as float32: what overlaps with it is the region."""
  return jnp.pad(masks.astype(jnp.float32), ((0, 0), (0, 1), (0, 0), (0, 0)), constant_values=1)


def _split(sums: jax.Array, masks: jax.Array) -> Overlaps:
  whole = sums.astype(jnp.int32)
  return Overlaps(whole[:, :-1], masks.sum((2, 3), dtype=jnp.int32), whole[:, -1])
