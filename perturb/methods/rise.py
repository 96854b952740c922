"""RISE: the mean of random masks, weighted by the score of the image seen through them.

Source: Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
Models", BMVC 2018.
"""

import math
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import SCORES, Function, Images, Score, Target, check_arguments, key_or_default
from perturb.chunks import default_forward_chunk, summed
from perturb.compiled import compiled
from perturb.errors import check_choice
from perturb.options import Bounds, Count, Inside, checked


def upsampling(size: int, nodes: int) -> np.ndarray:
  """Bilinear interpolation of `nodes` cells, reflected at the ends: `[(nodes + 1) cell, nodes]`.

  A cell has ceil(size / nodes) pixels, so that a window of `size` fits at `cell` offsets.
  """
  length = (nodes + 1) * math.ceil(size / nodes)
  position = (np.arange(length) + 0.5) * nodes / length - 0.5
  low = np.floor(position).astype(int)
  matrix = np.zeros((length, nodes), np.float32)
  for index, weight in ((low, 1 - (position - low)), (low + 1, position - low)):
    reflected = np.abs(index)
    reflected = np.where(reflected >= nodes, 2 * (nodes - 1) - reflected, reflected)
    np.add.at(matrix, (np.arange(length), np.clip(reflected, 0, nodes - 1)), weight)
  return matrix


def random_mask(key: jax.Array, size: tuple[int, int], cells: int, keep: float) -> jax.Array:
  """A Bernoulli(keep) grid of cells x cells, upsampled and cropped at random: `[H, W]`."""
  grid_key, *offset_keys = jax.random.split(key, 3)
  grid = jax.random.bernoulli(grid_key, jnp.float32(keep), (cells, cells)).astype(jnp.float32)

  def rows(length: int, offset_key: jax.Array) -> jax.Array:
    matrix = jnp.asarray(upsampling(length, cells))
    first = jax.random.randint(offset_key, (), 0, math.ceil(length / cells), jnp.int32)
    return jax.lax.dynamic_slice_in_dim(matrix, first, length)

  up, across = (rows(n, k) for n, k in zip(size, offset_keys, strict=True))
  return up @ grid @ across.T


@compiled
def _rise(f, x, targets, key, *, masks, cells, keep, value, chunk):
  size = (x.shape[1], x.shape[2])

  def add(index, inside, heat):
    image, draw = index // masks, index % masks
    seen = jax.vmap(lambda i: random_mask(jax.random.fold_in(key, i), size, cells, keep))(draw)
    weight = SCORES[value](f(x[image] * seen[..., None]), targets[image]) * inside
    return heat.at[image].add(weight[:, None, None] * seen)

  heat = summed(add, jnp.zeros(x.shape[:3], jnp.float32), x.shape[0] * masks, chunk)
  return heat / (masks * keep)


@checked
def rise(
  f: Function,
  x: Images,
  target: Target,
  *,
  key: jax.Array | None = None,
  masks: Count = 4000,
  cells: Annotated[int, Bounds(2)] = 7,
  keep: Inside = 0.5,
  value: Score = 'probability',
  chunk: Count | None = None,
) -> jax.Array:
  """sum_n f(x * M_n) M_n / (N p), over N random masks (eq. 6).

  Masks fade to 0, the training mean of a normalised input.

  Args:
    f, x, target: see `perturb.base`; f is any function, of which no gradient is taken.
    key: PRNG key of the masks, which are the same for every image; `jax.random.key(0)` by default.
    masks: N, the number of masks; the paper has 4000 for VGG16 and 8000 for ResNet50.
    cells: side of a mask's grid before it is upsampled, in cells.
    keep: p, the probability that a cell is kept.
    value: the softmax 'probability' of the target, or the 'score' f gives.
    chunk: how many masks go through f at once; by default as many as suit the machine.

  Returns:
    `[B, H, W]`, not negative for probabilities.

  Raises:
    UserError: for an option that does not fit.
  """
  check_choice('value', value, list(SCORES))
  x, targets = check_arguments(f, x, target)
  key = key_or_default(key)
  return _rise(
    f,
    x,
    targets,
    key,
    masks=masks,
    cells=cells,
    keep=keep,
    value=value,
    chunk=chunk or default_forward_chunk(x.shape[1:3]),
  )
