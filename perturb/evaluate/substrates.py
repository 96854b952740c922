"""What stands in the place of deleted pixels, where that does not depend on which are deleted."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from perturb.ops.perturbations import blank

WINDOW = 11  # klen of RISE's blur, in pixels.
SIGMA = 5.0  # Its ksig.


def window_taps() -> np.ndarray:
  """The weights of RISE's blur along one axis, `[11]`.

  A Gaussian of sigma 5, cut at 4 sigma, that is reflected at the ends of its own window of 11
  pixels: nearly a mean, 0.091 +- 0.003, and not the Gaussian that its name suggests.
  """
  offsets = np.arange(-int(4 * SIGMA), int(4 * SIGMA) + 1)
  weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
  taps = np.zeros(WINDOW)
  np.add.at(taps, (offsets + WINDOW // 2) % WINDOW, weights / weights.sum())
  return taps


def window_blur(x: jax.Array) -> jax.Array:
  """RISE's substrate of the insertion game: images `[..., H, W, C]`, zeros blurred in from outside.

  Source: the authors' code, `Evaluation.ipynb` (klen 11, ksig 5).
  """

  def matrix(size: int) -> np.ndarray:
    offsets = np.arange(size)[None] - np.arange(size)[:, None] + WINDOW // 2
    inside = (offsets >= 0) & (offsets < WINDOW)
    return np.where(inside, window_taps()[np.clip(offsets, 0, WINDOW - 1)], 0).astype(np.float32)

  rows, columns = matrix(x.shape[-3]), matrix(x.shape[-2])
  return jnp.einsum('hi,...ijc,wj->...hwc', rows, x, columns, precision=jax.lax.Precision.HIGHEST)


def substrate(x: jax.Array, fill: str, fade_to: Sequence[float]) -> jax.Array:
  """Images `[B, H, W, C]` without what x shows: 'blur' is `window_blur`, 'constant' one colour.

  Raises:
    UserError: for a colour of another number of channels.
  """
  return window_blur(x) if fill == 'blur' else blank(x, 'fade', fade_to=fade_to)
