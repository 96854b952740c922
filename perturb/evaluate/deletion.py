"""Deletion and insertion: the score as a heatmap's pixels are taken away, and as they come back.

Source: Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
Models", BMVC 2018, section 4.3; and Rong, Leemann, Borisov, Kasneci and Kasneci, "A Consistent and
Efficient Evaluation Strategy for Attribution Methods", ICML 2022, for the fill 'road'. Shapes: B
images, T points of a curve.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import (
  SCORES,
  Function,
  Images,
  Score,
  Target,
  check_arguments,
  key_or_default,
  like_images,
)
from perturb.chunks import default_forward_chunk, mapped
from perturb.compiled import compiled
from perturb.errors import check_choice
from perturb.evaluate.pixel_order import Ties, fitted, pixel_ranks
from perturb.evaluate.substrates import substrate
from perturb.ops.imputation import noisy_imputation
from perturb.options import Count, NotNegative, checked

Fill = Literal['constant', 'blur', 'road']


class DeletionInsertion(NamedTuple):
  """The curves of both games.

  Attributes:
    shares: `[T]`, the share of the pixels that are deleted, or inserted, from 0 to 1.
    deletion: `[B, T]`, the score of the image without its strongest pixels: low if these matter.
    insertion: `[B, T]`, the score of these pixels alone: high if they suffice.
    deletion_auc: `[B]`, area under the curve by RISE's rule, see `area_under`.
    insertion_auc: `[B]`.
  """

  shares: jax.Array
  deletion: jax.Array
  insertion: jax.Array
  deletion_auc: jax.Array
  insertion_auc: jax.Array


def area_under(curves: jax.Array) -> jax.Array:
  """(sum - half the ends) / (T - 1) of curves `[..., T]`: `[...]`, each step as wide as the others.

  A last step of fewer pixels counts as a whole one, as in the authors' code.
  """
  ends = (curves[..., 0] + curves[..., -1]) / 2
  return (curves.sum(-1) - ends) / (curves.shape[-1] - 1)


@compiled
def _curves(f, x, targets, heatmaps, substrates, key, *, pixels, ties, road, noise, value, chunk):
  tie_key, noise_key = jax.random.split(key)
  places = pixel_ranks(heatmaps, ties, tie_key)
  points = 1 - (-places[0].size // pixels)

  def some(index):
    image, game, point = index // (2 * points), index // points % 2, index % points
    evidence = places[image] < (point * pixels)[:, None, None]
    kept = evidence ^ (game == 0)[:, None, None]
    shown = jnp.where(kept[..., None], x[image], substrates[game, image])
    if any(road):
      keys = jax.vmap(lambda p: jax.random.fold_in(noise_key, p))(point)
      imputed = jnp.asarray(road)[game]
      # Where another fill is asked for, all is kept, and nothing is solved.
      known = kept | ~imputed[:, None, None]
      filled = noisy_imputation(x[image], known, keys, noise=noise)
      shown = jnp.where(imputed[:, None, None, None], filled, shown)
    return SCORES[value](f(shown), targets[image])

  scores = mapped(some, x.shape[0] * 2 * points, chunk).reshape(-1, 2, points)
  scores = jnp.where(jnp.isnan(heatmaps).any((1, 2))[:, None, None], jnp.nan, scores)
  shares = jnp.minimum(jnp.arange(points) * pixels, places[0].size) / places[0].size
  areas = area_under(scores)
  return DeletionInsertion(
    shares.astype(jnp.float32), scores[:, 0], scores[:, 1], areas[:, 0], areas[:, 1]
  )


@checked
def deletion_insertion(
  f: Function,
  x: Images,
  target: Target,
  heatmaps: jax.Array | np.ndarray,
  *,
  pixels: Count | None = None,
  deletion_fill: Fill | jax.Array | np.ndarray = 'constant',
  insertion_fill: Fill | jax.Array | np.ndarray = 'blur',
  fade_to: Sequence[float] = (0.0,),
  noise: NotNegative = 0.01,
  value: Score = 'probability',
  ties: Ties = 'reading',
  key: jax.Array | int | None = None,
  chunk: Count | None = None,
) -> DeletionInsertion:
  """The scores as the pixels of a heatmap are deleted and inserted, the largest values first.

  Both games of all images are one compiled program. The pixels are ranked once.

  Args:
    f, x, target: see `perturb.base`; f is any function, of which no gradient is taken.
    heatmaps: `[B, h, w]` of any method, large where the evidence is; those of another size are
      resampled bilinearly to that of x. An image whose heatmap has NaN gets NaN.
    pixels: changed from a point to the next; a row of them by default, which is RISE's 224 at
      224 x 224. The last step has what is left.
    deletion_fill: what replaces a deleted pixel: 'constant', `fade_to`; 'blur', RISE's, see
      `perturb.evaluate.substrates`; 'road', the noisy mean of its neighbours, see
      `perturb.ops.imputation`; or images, anything that broadcasts to x.
    insertion_fill: what stands where nothing is inserted yet.
    fade_to: the constant, in the units of x, one value or one a channel; 0 is the training mean of
      a normalised input.
    noise: standard deviation of the noise of 'road', in the units of x.
    value: the softmax 'probability' of the target, or the 'score' f gives.
    ties: which of equal pixels is changed first: the first in 'reading' order, or a 'random' one.
    key: of the random ties and of the noise, which are the same for every image.
    chunk: how many images go through f at once; by default as many as suit the machine.

  Returns:
    A `DeletionInsertion`; the first point of a curve has no pixel changed, the last one all.

  Raises:
    UserError: for heatmaps of another number, or an option that does not fit.
  """
  check_choice('value', value, list(SCORES))
  check_choice('ties', ties, get_args(Ties))
  x, targets = check_arguments(f, x, target)
  heat = fitted(heatmaps, x)
  fills = {'deletion_fill': deletion_fill, 'insertion_fill': insertion_fill}
  substrates = []
  for name, fill in fills.items():
    if isinstance(fill, str):
      check_choice(name, fill, get_args(Fill))
      substrates.append(substrate(x, fill, fade_to))
    else:
      substrates.append(like_images(name, fill, x))
  return _curves(
    f,
    x,
    targets,
    heat,
    jnp.stack(substrates),
    key_or_default(key),
    pixels=pixels or x.shape[2],
    ties=ties,
    road=tuple(isinstance(fill, str) and fill == 'road' for fill in fills.values()),
    noise=noise,
    value=value,
    chunk=chunk or default_forward_chunk(x.shape[1:3]),
  )
