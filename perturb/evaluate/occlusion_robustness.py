"""Robustness to occlusion: is a network still right as more and more of the image is hidden?

Source: Fong and Vedaldi, "Occlusions for Effective Data Augmentation in Image Classification", ICCV
Workshops 2019, hide cells of a grid, or the most salient patch, in training. Here the same is asked
of a test: the image is a grid of G x G cells, of which a share is hidden, in random order, or by a
heatmap, the cells of the highest or of the lowest mean first. Shapes: B images, T shares.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import (
  Function,
  Images,
  Target,
  check_arguments,
  class_scores,
  key_or_default,
)
from perturb.chunks import default_forward_chunk, mapped
from perturb.compiled import compiled
from perturb.errors import UserError, check_choice
from perturb.evaluate.deletion import Fill
from perturb.evaluate.pixel_order import fitted, image_bits
from perturb.evaluate.substrates import substrate
from perturb.ops.area import ranks
from perturb.ops.imputation import noisy_imputation
from perturb.options import Count, NotNegative, checked

Order = Literal['random', 'salient', 'least_salient']
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class AccuracyUnderOcclusion(NamedTuple):
  """What a network says of images that are hidden more and more.

  Attributes:
    shares: `[T]`, of the image that is hidden: whole cells, so nearly those asked for.
    right: `[B, T]`, 1 where the label has the highest score, 0 where it has not.
    probability: `[B, T]`, softmax, of the label.
    places: int32 `[B, G, G]`, the turn of each cell, 0 for the one that is hidden first.
  """

  shares: jax.Array
  right: jax.Array
  probability: jax.Array
  places: jax.Array


def _edges(side: int, grid: int) -> np.ndarray:
  """The cell of each pixel along a side, `[side]`; sizes differ by a pixel at most."""
  return np.arange(side) * grid // side


def cell_means(heatmaps: jax.Array, grid: int) -> jax.Array:
  """The mean of maps `[B, H, W]` over each cell, `[B, G, G]`."""
  down, across = (
    (of_pixel[:, None] == np.arange(grid)) / np.bincount(of_pixel)
    for of_pixel in (_edges(side, grid) for side in heatmaps.shape[1:])
  )
  return jnp.einsum(
    'bhw,hg,wk->bgk',
    heatmaps,
    down.astype(np.float32),
    across.astype(np.float32),
    precision=jax.lax.Precision.HIGHEST,
  )


def hidden_pixels(
  places: jax.Array | np.ndarray, cells: jax.Array | np.ndarray | int, size: tuple[int, int]
) -> jax.Array:
  """The pixels of the first cells of an order.

  Args:
    places: `[B, G, G]`, the turn of each cell.
    cells: how many are hidden: one number, or `[B]`.
    size: (H, W) of the images.

  Returns:
    bool `[B, H, W]`.
  """
  places = jnp.asarray(places)
  hidden = places < jnp.broadcast_to(jnp.asarray(cells), places.shape[:1])[:, None, None]
  down, across = (_edges(side, places.shape[1]) for side in size)
  return hidden[:, down][:, :, across]


def _places(x: jax.Array, heatmaps: jax.Array, order: Order, grid: int, key: jax.Array):
  """`[B, G, G]`; what is random is an image's own: it depends on the key and on its pixels.

  Cells of one mean go in random order, for a heatmap may be 0 in many of them.
  """

  def drawn(bits: jax.Array) -> jax.Array:
    return jax.random.uniform(jax.random.fold_in(key, bits), (grid, grid))

  random = jax.vmap(drawn)(image_bits(x))
  if order == 'random':
    return ranks(random)
  means = cell_means(heatmaps, grid)
  down = -means if order == 'salient' else means
  flat = [each.reshape(len(x), -1) for each in (random, down)]
  return jnp.argsort(jnp.lexsort(flat, axis=-1), axis=-1).astype(jnp.int32).reshape(means.shape)


@compiled
def _accuracy(f, x, labels, heatmaps, substrates, counts, key, *, order, grid, road, noise, chunk):
  order_key, noise_key = jax.random.split(key)
  places, points = _places(x, heatmaps, order, grid, order_key), len(counts)
  counts = jnp.asarray(counts, jnp.int32)

  def some(index):
    image, point = index // points, index % points
    hidden = hidden_pixels(places[image], counts[point], x.shape[1:3])
    if road:
      keys = jax.vmap(lambda p: jax.random.fold_in(noise_key, p))(point)
      shown = noisy_imputation(x[image], ~hidden, keys, noise=noise)
    else:
      shown = jnp.where(hidden[..., None], substrates[image], x[image])
    scores, label = class_scores(f(shown)), labels[image]
    right = (jnp.argmax(scores, axis=1) == label).astype(jnp.float32)
    known = jnp.isfinite(scores).all(1)
    chance = jax.nn.softmax(scores)[jnp.arange(len(label)), label]
    return jnp.where(known, right, jnp.nan), jnp.where(known, chance, jnp.nan)

  found = mapped(some, x.shape[0] * points, chunk)
  lost = jnp.isnan(heatmaps).any((1, 2))[:, None]
  right, probability = (jnp.where(lost, jnp.nan, each.reshape(-1, points)) for each in found)
  shares = (counts / grid**2).astype(jnp.float32)
  return AccuracyUnderOcclusion(shares, right, probability, places)


@checked
def accuracy_under_occlusion(
  f: Function,
  x: Images,
  labels: Target,
  heatmaps: jax.Array | np.ndarray | None = None,
  *,
  order: Order = 'random',
  shares: Sequence[float] = SHARES,
  grid: Count = 14,
  fill: Fill = 'constant',
  fade_to: Sequence[float] = (0.0,),
  noise: NotNegative = 0.01,
  key: jax.Array | int | None = None,
  chunk: Count | None = None,
) -> AccuracyUnderOcclusion:
  """Whether a network is right about images of which more and more cells are hidden.

  All three orders hide cells of one size, so that they differ in which cells these are alone: the
  random one is what the other two are measured by. A network that only needs what a heatmap marks
  falls first with 'salient' and last with 'least_salient'.

  Args:
    f, x: see `perturb.base`; f is any function, of which no gradient is taken.
    labels: the class that is right, as a target.
    heatmaps: `[B, h, w]` of any method, large where the evidence is; those of another size are
      resampled bilinearly to that of x. An image whose heatmap has NaN gets NaN. Not needed for the
      order 'random'.
    order: of the cells: 'random', of each image by its pixels and the key; 'salient', the largest
      mean of the heatmap first; 'least_salient', the smallest first; cells of one mean at random.
    shares: of the cells that are hidden, each in [0, 1]; rounded to whole cells.
    grid: cells along a side.
    fill: of hidden pixels: 'constant', `fade_to`; 'blur', RISE's, see
      `perturb.evaluate.substrates`; 'road', the noisy mean of the neighbours, see
      `perturb.ops.imputation`.
    fade_to: the constant, in the units of x, one value or one a channel; 0 is the training mean of
      a normalised input.
    noise: standard deviation of the noise of 'road', in the units of x.
    key: of what is random in the order, and of the noise.
    chunk: how many images go through f at once; by default as many as suit the machine.

  Returns:
    An `AccuracyUnderOcclusion`.

  Raises:
    UserError: for an order by a heatmap without one, for more cells than pixels, and for an option
      that does not fit.
  """
  check_choice('order', order, get_args(Order))
  check_choice('fill', fill, get_args(Fill))
  x, targets = check_arguments(f, x, labels)
  if order != 'random' and heatmaps is None:
    raise UserError(f"order {order!r} needs heatmaps; 'random' needs none")
  if grid > min(x.shape[1:3]):
    raise UserError(f'grid must be at most {min(x.shape[1:3])}, the shorter side, not {grid}')
  wrong = [share for share in shares if not 0 <= share <= 1]
  if wrong or not len(shares):
    raise UserError(f'shares must be between 0 and 1, at least one of them; not {tuple(shares)}')
  flat = jnp.zeros((x.shape[0], 1, 1), jnp.float32)
  return _accuracy(
    f,
    x,
    targets,
    flat if heatmaps is None else fitted(heatmaps, x),
    substrate(x, 'blur' if fill == 'blur' else 'constant', fade_to),
    tuple(round(share * grid**2) for share in shares),
    key_or_default(key),
    order=order,
    grid=grid,
    road=fill == 'road',
    noise=noise,
    chunk=chunk or default_forward_chunk(x.shape[1:3]),
  )
