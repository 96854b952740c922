"""Heatmaps `[B, h, w]`: resampling and scaling."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from perturb.ops.perturbations import blur


def resize(heatmaps: jax.Array, size: Sequence[int]) -> jax.Array:
  """Bilinear resampling of `[..., h, w]` to `[..., H, W]`; pixels are cells with a centre."""
  return jax.image.resize(heatmaps, (*heatmaps.shape[:-2], *size), 'linear', antialias=False)


def normalise(heatmaps: jax.Array) -> jax.Array:
  """Each map `[..., h, w]` from its least value, 0, to its largest, 1; a constant map to zeros."""
  low = heatmaps.min(axis=(-2, -1), keepdims=True)
  spread = heatmaps.max(axis=(-2, -1), keepdims=True) - low
  return (heatmaps - low) / jnp.where(spread == 0, 1, spread)


def smooth(heatmaps: jax.Array, share: float) -> jax.Array:
  """Gaussian blur of `[..., H, W]` whose sigma is a share of the shorter side."""
  sigma = share * min(heatmaps.shape[-2:])
  return blur(heatmaps[..., None], sigma)[..., 0]


def spearman(a: jax.Array, b: jax.Array) -> jax.Array:
  """Spearman's rank correlation of heatmaps `[B, H, W]`, with mean ranks for ties: `[B]`.

  NaN for a constant map, or one with NaN. For a compiled program; of maps of several sizes in
  memory see `perturb.evaluate.agreement.rank_correlation`.
  """

  def centred_ranks(values: jax.Array) -> jax.Array:
    ordered = jnp.sort(values)
    first, after = (jnp.searchsorted(ordered, values, side=side) for side in ('left', 'right'))
    return (first + after).astype(jnp.float32) / 2 - values.size / 2

  def one(a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = centred_ranks(a.ravel()), centred_ranks(b.ravel())
    return (a * b).sum() / jnp.sqrt((a * a).sum() * (b * b).sum())

  unknown = (jnp.isnan(a) | jnp.isnan(b)).any((1, 2))
  return jnp.where(unknown, jnp.nan, jax.vmap(one)(a, b))
