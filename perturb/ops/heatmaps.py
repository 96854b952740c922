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
