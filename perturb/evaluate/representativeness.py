"""Deletion region representativeness: do simpler masks, and other perturbations, delete as well?

Source: Fong and Vedaldi, "Interpretable Explanations of Black Boxes by Meaningful Perturbation",
ICCV 2017, section 5.2 and fig. 7. Shapes: B images, T thresholds, P perturbations.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import Function, Images, Target, check_arguments
from perturb.errors import check_choice
from perturb.evaluate.masked_scores import masked_scores, normalised
from perturb.ops.heatmaps import normalise
from perturb.ops.perturbations import blur

Mode = Literal['paper', 'released']
Perturbation = Literal['blur', 'constant', 'noise']
THRESHOLDS = tuple(np.round(np.arange(0, 1, 0.05), 2).tolist())


class Representativeness(NamedTuple):
  """What simplified masks leave of the probability.

  Attributes:
    thresholds: alpha `[T]`.
    perturbations: names `[P]`.
    deleted: `[B, T]`, share of the image deleted.
    probabilities: `[P, B, T]`, softmax of the target.
    normalised: `[P, B, T]`, 1 for the image and 0 for the reference; NaN where the image is no more
      probable than the reference.
  """

  thresholds: np.ndarray
  perturbations: tuple[str, ...]
  deleted: jax.Array
  probabilities: jax.Array
  normalised: jax.Array


def simplify(masks: jax.Array, thresholds: Sequence[float], sigma: float = 10.0) -> jax.Array:
  """Binary masks `[B, T, H, W]` of masks `[B, H, W]`: blurred, scaled to [0, 1], at least alpha.

  A pixel is kept where its value reaches alpha, so that more is deleted as alpha grows.
  """
  scaled = normalise(blur(jnp.asarray(masks)[..., None], sigma)[..., 0])
  levels = jnp.asarray(thresholds)[:, None, None]
  return (scaled[:, None] >= levels).astype(jnp.float32)


def representativeness(
  f: Function,
  x: Images,
  target: Target,
  masks: jax.Array | np.ndarray,
  *,
  thresholds: Sequence[float] = THRESHOLDS,
  perturbations: Sequence[Perturbation] = ('blur', 'constant', 'noise'),
  mode: Mode = 'paper',
  key: jax.Array | None = None,
  sigma_max: float = 10.0,
  fade_to: Sequence[float] = (0.0,),
  noise: float = 1.0,
) -> Representativeness:
  """Probabilities of images edited by simplified masks, for each perturbation.

  Args:
    f: any function of images `[N, H, W, C]` to scores `[N, K]`, before the softmax.
    x: images `[B, H, W, C]`, or one image.
    target: index of the class, one for all images or `[B]`.
    masks: `[B, H, W]` in [0, 1], 1 where the image is kept, e.g. of `meaningful_perturbation`.
    thresholds: alpha.
    perturbations: 'blur', 'constant' or 'noise'.
    mode: what counts as 0: the fully perturbed image ('paper'), or the image under the mask as it
      is ('released').
    key: of the noise; `jax.random.key(0)` by default.
    sigma_max: of the blur, in pixels.
    fade_to: the constant, in the units of x.
    noise: standard deviation, in the units of x.

  Returns:
    A `Representativeness`.

  Raises:
    UserError: for a wrong target or perturbation.
  """
  check_choice('mode', mode, get_args(Mode))
  for perturbation in perturbations:
    check_choice('perturbation', perturbation, get_args(Perturbation))
  x, targets = check_arguments(f, x, target)
  masks = jnp.asarray(masks, jnp.float32)
  key = jax.random.key(0) if key is None else key
  simple = simplify(masks, thresholds)
  ends = jnp.stack([jnp.ones_like(masks), jnp.zeros_like(masks), masks], axis=1)
  fills = {
    'blur': lambda: blur(x, sigma_max),
    'constant': lambda: jnp.broadcast_to(jnp.asarray(fade_to, x.dtype), x.shape),
    'noise': lambda: jnp.broadcast_to(
      noise * jax.random.normal(key, x.shape[1:], jnp.float32), x.shape
    ),
  }
  probabilities, scaled = [], []
  for perturbation in perturbations:
    scores = masked_scores(
      f, x, targets, fills[perturbation](), jnp.concatenate([ends, simple], axis=1)
    )
    full, blank, soft, rest = scores[:, :1], scores[:, 1:2], scores[:, 2:3], scores[:, 3:]
    probabilities.append(rest)
    scaled.append(normalised(rest, full, blank if mode == 'paper' else soft))
  return Representativeness(
    np.asarray(thresholds),
    tuple(perturbations),
    1 - simple.mean((2, 3)),
    jnp.stack(probabilities),
    jnp.stack(scaled),
  )
