"""Occlusion: how much the score drops when a patch of the image is hidden.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014; the
soft discs and those of several sizes are from Fong and Vedaldi, "Interpretable Explanations of
Black Boxes by Meaningful Perturbation", ICCV 2017, table 2. Shapes: B images, P places.
"""

from collections.abc import Callable, Sequence
import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import SCORES, Function, Images, Score, Target, check_arguments
from perturb.chunks import default_forward_chunk, mapped, summed
from perturb.compiled import compiled
from perturb.errors import UserError, check_choice
from perturb.ops.perturbations import Perturbation, blank, blur
from perturb.options import Count, NotNegative, Positive, Share, checked

Shape = Literal['square', 'disc']


def _corners(length: int, size: int, stride: int) -> np.ndarray:
  """First pixels of windows that cover an axis; the last one ends with it."""
  return np.minimum(np.arange(0, length - size + stride, stride), length - size).astype(np.int32)


def _squares(size: int, stride: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
  """The rows and columns that a square hides: `[P, H]` and `[P, W]`, of each place."""
  corners = [_corners(n, size, stride) for n in shape]
  places = np.stack(np.meshgrid(*corners, indexing='ij'), -1).reshape(-1, 2)
  rows, columns = (
    (np.arange(n) >= places[:, axis, None]) & (np.arange(n) < places[:, axis, None] + size)
    for axis, n in enumerate(shape)
  )
  return rows, columns


def _square_masks(rows: jax.Array, columns: jax.Array, index: jax.Array) -> jax.Array:
  """The masks of some places: `[N, H, W]`, 1 where the patch hides the image."""
  return (rows[index][:, :, None] & columns[index][:, None, :]).astype(jnp.float32)


def disc(radius: float, softness: float, shape: tuple[int, int]) -> np.ndarray:
  """A disc `[2H - 1, 2W - 1]` in the middle, blurred by a Gaussian of sigma `softness` pixels."""
  axes = [np.arange(2 * n - 1) - (n - 1) for n in shape]
  inside = np.hypot(axes[0][:, None], axes[1][None]) <= radius
  with jax.ensure_compile_time_eval():  # Also where the method itself is compiled.
    hard = jnp.asarray(inside, jnp.float32)[..., None]
    return np.asarray(blur(hard, softness)[..., 0] if softness else hard[..., 0])


def _centres(shape: tuple[int, int], stride: int) -> np.ndarray:
  """Places (row, column) `[P, 2]`, a stride apart and as far from both ends."""
  axes = [np.arange((n - 1) % stride // 2, n, stride) for n in shape]
  return np.stack(np.meshgrid(*axes, indexing='ij'), -1).reshape(-1, 2).astype(np.int32)


def _disc_at(template: jax.Array, place: jax.Array) -> jax.Array:
  """The template `[2H - 1, 2W - 1]` with its middle at a place (row, column): `[H, W]`."""
  height, width = ((n + 1) // 2 for n in template.shape)
  first = (height - 1 - place[0], width - 1 - place[1])
  return jax.lax.dynamic_slice(template, first, (height, width))


def _disc_masks(template: jax.Array, places: jax.Array, index: jax.Array) -> jax.Array:
  """As `_square_masks`, of discs."""
  return jax.vmap(lambda p: _disc_at(template, places[p]))(index)


@compiled
def _slide(f, x, targets, fill, masks_of, *, count, value, chunk):
  """Drops averaged over the masks that hide a pixel: `[B, H, W]`."""
  full = SCORES[value](f(x), targets)

  def add(index, inside, totals):
    image, place = index // count, index % count
    masks = masks_of(place)
    hidden = x[image] + masks[..., None] * (fill[image] - x[image])
    drop = full[image] - SCORES[value](f(hidden), targets[image])
    weighted = masks * inside[:, None, None]
    heat, mass = totals
    heat = heat.at[image].add(weighted * drop[:, None, None])
    return heat, mass.at[image].add(weighted)

  zeros = jnp.zeros(x.shape[:3], jnp.float32)
  heat, mass = summed(add, (zeros, zeros), x.shape[0] * count, chunk)
  return heat / jnp.maximum(mass, 1e-6)


def _sliding_patch(
  shape: Shape, size: int, stride: int, softness: float, lengths: tuple[int, int]
) -> tuple[int, Callable[[jax.Array], jax.Array]]:
  """How many places the patch has, and a function of places `[N]` to masks `[N, H, W]`."""
  if not 1 <= size <= min(lengths):
    side = min(lengths)
    raise UserError(
      f'occlusion: size must be 1 to {side} pixels, the shorter side of the image, not {size}; set '
      f'the option size, to {max(1, side // 4)} say'
    )
  if stride < 1:
    raise UserError(f'stride must be at least 1 pixel, not {stride}')
  if shape == 'square':
    rows, columns = _squares(size, stride, lengths)
    return len(rows), jax.tree_util.Partial(_square_masks, rows, columns)
  places = _centres(lengths, stride)
  template = disc(size / 2, softness, lengths)
  return len(places), jax.tree_util.Partial(_disc_masks, template, places)


@checked
def occlusion(
  f: Function,
  x: Images,
  target: Target,
  *,
  shape: Shape = 'square',
  size: Count = 35,
  stride: Count = 8,
  softness: NotNegative = 10.0,
  perturbation: Perturbation = 'fade',
  sigma_max: Positive = 10.0,
  fade_to: Sequence[float] = (0.0,),
  value: Score = 'score',
  chunk: Count | None = None,
) -> jax.Array:
  """The mean drop of the score over the places of a sliding patch that hide a pixel.

  Args:
    f, x, target: see `perturb.base`; f is any function, of which no gradient is taken.
    shape: 'square'; or 'disc', with a soft edge (Fong and Vedaldi).
    size: side or diameter of the patch, in pixels.
    stride: distance between neighbouring places, in pixels; the last place ends with the image.
    softness: sigma of the Gaussian that softens a disc, in pixels.
    perturbation: 'fade' the patch to `fade_to`, or 'blur' it.
    sigma_max: sigma of the blur, in pixels.
    fade_to: the constant of a fade, one value for each channel or one for all, in the units of x; 0
      is the training mean of a normalised input.
    value: what drops: the 'score' f gives, or its softmax 'probability'.
    chunk: how many places go through f at once; by default as many as suit the machine.

  Returns:
    `[B, H, W]`: positive where hiding a pixel costs score.

  Raises:
    UserError: for a patch that does not fit into the image.
  """
  check_choice('shape', shape, get_args(Shape))
  check_choice('perturbation', perturbation, get_args(Perturbation))
  check_choice('value', value, list(SCORES))
  x, targets = check_arguments(f, x, target)
  count, masks_of = _sliding_patch(shape, size, stride, softness, (x.shape[1], x.shape[2]))
  return _slide(
    f,
    x,
    targets,
    blank(x, perturbation, sigma_max=sigma_max, fade_to=fade_to),
    masks_of,
    count=count,
    value=value,
    chunk=chunk or default_forward_chunk(x.shape[1:3]),
  )


@compiled
def _variable(f, x, targets, fill, templates, places, *, share, value, chunk):
  sizes, count = templates.shape[0], places.shape[0]
  full = SCORES[value](f(x), targets)

  def mask_of(index):
    return _disc_at(templates[index // count], places[index % count])

  def drops(index):
    image, rest = index // (sizes * count), index % (sizes * count)
    masks = jax.vmap(mask_of)(rest)[..., None]
    hidden = x[image] + masks * (fill[image] - x[image])
    return full[image] - SCORES[value](f(hidden), targets[image])

  drop = mapped(drops, x.shape[0] * sizes * count, chunk).reshape(x.shape[0], sizes, count)
  kept = max(1, math.floor(share * sizes * count))
  level = jax.lax.top_k(drop.reshape(x.shape[0], -1), kept)[0][:, -1]
  strong = drop >= level[:, None, None]
  smallest = jnp.argmax(strong.any(-1), axis=-1)  # The sizes ascend.
  at_size = jnp.take_along_axis(drop, smallest[:, None, None], axis=1)[:, 0]
  return jax.vmap(mask_of)(smallest * count + jnp.argmax(at_size, axis=-1))


@checked
def variable_occlusion(
  f: Function,
  x: Images,
  target: Target,
  *,
  sizes: Sequence[Positive] = (20, 35, 50, 70, 90),
  stride: Count = 16,
  softness: NotNegative = 10.0,
  share: Share = 0.1,
  perturbation: Perturbation = 'blur',
  sigma_max: Positive = 10.0,
  fade_to: Sequence[float] = (0.0,),
  value: Score = 'score',
  chunk: Count | None = None,
) -> jax.Array:
  """The smallest disc among the most suppressive ones, at its most suppressive place.

  Source: Fong and Vedaldi, ICCV 2017, table 2: of the 10 % most suppressive occlusions the smallest
  one, whose centre is the point that the method gives.

  Args:
    f, x, target: see `perturb.base`; f is any function, of which no gradient is taken.
    sizes: diameters of the discs, in pixels.
    stride: distance between neighbouring centres, in pixels.
    softness: sigma of the Gaussian that softens the discs, in pixels.
    share: fraction of the occlusions that count as the most suppressive.
    perturbation: 'blur' the disc, or 'fade' it to `fade_to`.
    sigma_max: sigma of the blur, in pixels.
    fade_to: the constant of a fade, as in `occlusion`.
    value: what drops, as in `occlusion`.
    chunk: how many discs go through f at once, as in `occlusion`.

  Returns:
    `[B, H, W]`: the soft disc chosen, largest at its centre.

  Raises:
    UserError: for no sizes.
  """
  check_choice('perturbation', perturbation, get_args(Perturbation))
  check_choice('value', value, list(SCORES))
  if not len(sizes) or min(sizes) <= 0:
    raise UserError(f'sizes must be diameters in pixels, at least one, not {sizes}')
  x, targets = check_arguments(f, x, target)
  lengths = (x.shape[1], x.shape[2])
  return _variable(
    f,
    x,
    targets,
    blank(x, perturbation, sigma_max=sigma_max, fade_to=fade_to),
    np.stack([disc(size / 2, softness, lengths) for size in sorted(sizes)]),
    _centres(lengths, stride),
    share=share,
    value=value,
    chunk=chunk or default_forward_chunk(x.shape[1:3]),
  )
