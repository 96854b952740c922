"""The contract of a method: any function of images to scores, images, and a class of each."""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from perturb.compiled import shapes_of
from perturb.errors import UserError

Function = Callable[[jax.Array], jax.Array]  # [N, H, W, C] -> [N, K], or [N, h, w, K]
Images = jax.Array | np.ndarray  # [B, H, W, C], or one image [H, W, C]
Target = int | Sequence[int] | jax.Array | np.ndarray  # one index for all images, or [B]


def class_scores(outputs: jax.Array) -> jax.Array:
  """`[N, K]` as it is, or a map `[N, h, w, K]` as its spatial mean `[N, K]`."""
  return outputs.reshape(outputs.shape[0], -1, outputs.shape[-1]).mean(axis=1)


def pick(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """The score of each image's target: `[N]`."""
  return jnp.take_along_axis(class_scores(outputs), targets[:, None], axis=1)[:, 0]


def probability(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """Softmax probability of each image's target: `[N]`."""
  return pick(jax.nn.softmax(class_scores(outputs)), targets)


Score = Literal['score', 'probability']  # What f gives, or its softmax.
SCORES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
  'score': pick,
  'probability': probability,
}


def _call(f: Function, x: jax.Array) -> jax.Array:
  return f(x)


def check_images(x: Images) -> jax.Array:
  """Images as float32 `[B, H, W, C]`.

  Raises:
    UserError: for another number of axes.
  """
  x = jnp.asarray(x, jnp.float32)
  if x.ndim == 3:
    x = x[None]
  if x.ndim != 4:
    raise UserError(f'x must be [B, H, W, C] or [H, W, C], not of shape {x.shape}')
  return x


def count_outputs(f: Function, x: jax.Array) -> int:
  """K, the number of scores that f gives an image.

  Raises:
    UserError: unless f returns `[N, K]` or `[N, h, w, K]`.
  """
  shape = shapes_of(_call, f, x).shape
  if len(shape) not in (2, 4):
    raise UserError(f'f must return [N, K] or [N, h, w, K], not {shape}')
  return shape[-1]


def check_targets(f: Function, x: jax.Array, target: Target) -> jax.Array:
  """Targets as int32 `[B]`.

  Raises:
    UserError: for a target that is not an output of f.
  """
  if isinstance(target, jax.core.Tracer):  # Inside another method, which has checked it.
    return jnp.broadcast_to(target, x.shape[:1])
  outputs, targets = count_outputs(f, x), np.asarray(target)
  if not np.issubdtype(targets.dtype, np.integer) or targets.shape not in ((), x.shape[:1]):
    raise UserError(f'target must be one integer or {x.shape[0]} of them, not {target!r}')
  if targets.min() < 0 or targets.max() >= outputs:
    raise UserError(f'target {target}: f has outputs 0 to {outputs - 1}')
  return jnp.broadcast_to(jnp.asarray(targets, jnp.int32), x.shape[:1])
