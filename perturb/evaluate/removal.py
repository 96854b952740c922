"""Pictures without the pixels that a heatmap ranks highest, for remove and retrain (ROAR).

Source: Hooker, Erhan, Kindermans and Kim, "A Benchmark for Interpretability Methods in Deep Neural
Networks", NeurIPS 2019, section 3, and the authors' code (google-research,
interpretability_benchmark/data_input.py). A network that has not seen such pictures may fail for
that reason alone; so it is trained anew on them, and tested on pictures that are changed alike.
Shapes: N pictures.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import key_or_default
from perturb.chunks import mapped
from perturb.errors import UserError
from perturb.evaluate.pixel_order import fitted, image_bits

_AT_ONCE = 2**22  # Pixels that are sorted at once.


def without_salient(
  images: np.ndarray,
  heatmaps: jax.Array | np.ndarray,
  share: float,
  colour: Sequence[float] | np.ndarray,
  *,
  key: jax.Array | int | None = None,
) -> np.ndarray:
  """Pictures whose pixels of the largest heatmap values have one colour.

  Args:
    images: uint8 `[N, H, W, 3]`.
    heatmaps: `[N, h, w]`, large where the evidence is; those of another size are resampled
      bilinearly. The authors rank the values of the three channels, where here a pixel has one.
    share: of the pixels, in [0, 1]; the whole number below, as the authors have it.
    colour: of what is removed, `[3]`, 0 to 255: the mean colour of the training pictures.
    key: of the order of equal values, which is random, and each picture's own. Integrated gradients
      are 0 wherever a picture is as its baseline, which is most of a digit: in reading order, as
      the authors' `top_k` takes them, what is removed would be the top of each picture, and a
      network would be asked what the bottom tells.

  Returns:
    uint8 `[N, H, W, 3]`.

  Raises:
    UserError: for another share, other shapes, and for heatmaps with NaN, which rank nothing.
  """
  if not 0 <= share <= 1:
    raise UserError(f'share must be between 0 and 1, not {share}')
  shown, key = jnp.asarray(images), key_or_default(key)
  heat = fitted(heatmaps, shown)
  wrong = np.flatnonzero(np.isnan(np.asarray(heat)).any((1, 2)))
  if len(wrong):
    raise UserError(f'heatmaps: {len(wrong)} have values that are not numbers, first {wrong[0]}')
  count = int(share * heat[0].size + 1e-6)  # 0.7 * 100 is 70, not 69.
  gone = _removed(heat, shown, count, key)
  filled = np.round(np.asarray(colour)).astype(np.uint8)
  return np.where(np.asarray(gone)[..., None], filled, images)


@jax.jit
def _removed(heat: jax.Array, shown: jax.Array, count: int, key: jax.Array) -> jax.Array:
  """Whether each pixel is one of the first `count` of its picture: bool `[N, H, W]`."""
  chunk = max(1, _AT_ONCE // heat[0].size)
  return mapped(lambda i: _places(heat[i], shown[i], key) < count, len(heat), chunk)


def _places(heat: jax.Array, shown: jax.Array, key: jax.Array) -> jax.Array:
  """The place of each pixel in its picture's order, 0 for the largest value: int `[N, H, W]`."""
  values = heat.reshape(len(heat), -1)

  def drawn(bits: jax.Array) -> jax.Array:
    return jax.random.uniform(jax.random.fold_in(key, bits), values.shape[1:])

  order = jnp.lexsort((jax.vmap(drawn)(image_bits(shown)), -values), axis=-1)
  return jnp.argsort(order, axis=-1).reshape(heat.shape)


def mean_colour(images: np.ndarray) -> np.ndarray:
  """The mean of each channel over uint8 pictures `[N, H, W, 3]`: `[3]`, 0 to 255."""
  return images.mean((0, 1, 2), dtype=np.float64)
