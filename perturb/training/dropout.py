"""Dropout of activations: of single values, of channels, of blocks.

Pure functions of `(key, activations, keep)`. What is kept is scaled up, so that the mean stays.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Drop = Callable[[jax.Array, jax.Array], jax.Array]  # (key, activations) -> activations.


def dropout(key: jax.Array, h: jax.Array, keep: float) -> jax.Array:
  """Each value of `[N, ...]` is kept with probability `keep` (Srivastava et al., JMLR 2014)."""
  return _scaled(h, jax.random.bernoulli(key, keep, h.shape), keep)


def spatial_dropout(key: jax.Array, h: jax.Array, keep: float) -> jax.Array:
  """Each channel of each image `[N, ..., C]` is kept whole or not (Tompson et al., CVPR 2015)."""
  shape = (h.shape[0], *(1,) * (h.ndim - 2), h.shape[-1])
  return _scaled(h, jax.random.bernoulli(key, keep, shape), keep)


def drop_block(key: jax.Array, h: jax.Array, keep: float, block: int) -> jax.Array:
  """DropBlock: blocks of each channel are dropped, the rest scaled by the share that is left.

  gamma = (1 - keep) / block^2 * H W / ((H - block + 1) (W - block + 1)) is the probability that a
  block begins at a pixel where it is wholly inside. Blocks overlap, so that a little less than
  1 - keep is dropped.

  Source: Ghiasi, Lin and Le, "DropBlock", NeurIPS 2018, eq. 1 and algorithm 1.

  Args:
    key: a PRNG key.
    h: `[N, H, W, C]`.
    keep: in (0, 1].
    block: side of a block; at most the shorter side of the map.
  """
  height, width = h.shape[1:3]
  block = min(block, height, width)
  rows, columns = height - block + 1, width - block + 1
  gamma = min(1.0, (1 - keep) / block**2 * height * width / (rows * columns))
  begins = jax.random.bernoulli(key, gamma, (h.shape[0], rows, columns, h.shape[3]))
  edge = (block - 1, block - 1)
  dropped = jax.lax.reduce_window(
    begins,
    False,
    jax.lax.bitwise_or,
    (1, block, block, 1),
    (1, 1, 1, 1),
    ((0, 0), edge, edge, (0, 0)),
  )
  left = jnp.maximum(1 - dropped.mean(dtype=jnp.float32), 1 / dropped.size)
  return _scaled(h, ~dropped, left)


def _scaled(h: jax.Array, kept: jax.Array, share: float | jax.Array) -> jax.Array:
  return jnp.where(kept, h / jnp.asarray(share, h.dtype), jnp.zeros((), h.dtype))
