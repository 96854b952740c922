"""How alike the patches of two pictures are to a network, and which of them belong together.

Source: Fong, Mordvintsev, Vedaldi and Olah, "Interactive Similarity Overlays", VISxAI 2021.
Letters: a picture's activations in a layer are `[H, W, C]`, a vector of C channels for each of
H x W patches.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError, check_choice

Measure = Literal['cosine', 'dot']
Activations = Any  # `[H, W, C]`: an array of JAX or NumPy, a tensor of PyTorch, or nested lists.


class Correspondence(NamedTuple):
  """Patches of two pictures that are each other's nearest: M pairs, the most alike first.

  Attributes:
    first: (row, column) in the first picture, int `[M, 2]`.
    second: (row, column) in the second, int `[M, 2]`.
    similarity: cosine of each pair, `[M]`.
  """

  first: np.ndarray
  second: np.ndarray
  similarity: np.ndarray


def as_array(value: Activations) -> np.ndarray | jax.Array:
  """Numbers as an array of float32, or float64 where they are; a tensor of PyTorch as well.

  Raises:
    UserError: for what is no array of real numbers.
  """
  if hasattr(value, 'detach'):  # Of PyTorch, on any device, with a gradient or not.
    value = value.detach().cpu()
    value = (value if value.element_size() > 2 else value.float()).numpy()  # NumPy has no bfloat16.
  if not isinstance(value, jax.Array):
    try:
      value = np.asarray(value)
    except ValueError as error:  # Of rows that are not of one length.
      raise UserError(f'activations must be an array ({error})') from error
  real = jnp.issubdtype(value.dtype, np.floating) or jnp.issubdtype(value.dtype, np.integer)
  if not real:
    raise UserError(f'activations must be real numbers, not {value.dtype}')
  return value if value.dtype == np.float64 else value.astype(np.float32)


def as_activations(value: Activations, name: str = 'activations') -> np.ndarray | jax.Array:
  """The activations of one picture in one layer, `[H, W, C]`, as an array.

  Raises:
    UserError: for another number of axes; `name` is what it calls them.
  """
  found = as_array(value)
  if found.ndim == 3 and 0 not in found.shape:
    return found
  hint = {
    2: '; a layer without extent has no patches',
    4: '; give one picture, without the batch axis',
  }.get(found.ndim, '')
  raise UserError(f'{name} must be [H, W, C], not of shape {tuple(found.shape)}{hint}')


def unit(vectors: Any) -> Any:
  """v / ||v|| along the last axis, of an array of JAX or NumPy; zeros stay zeros."""
  xp = jnp if isinstance(vectors, jax.Array) else np
  peak = xp.abs(vectors).max(-1, keepdims=True)  # A square may overflow, or vanish.
  scaled = vectors / xp.where(peak > 0, peak, 1)
  length = xp.sqrt((scaled * scaled).sum(-1, keepdims=True))
  return scaled / xp.where(length > 0, length, 1)


def weighted(activations: Any, weights: Activations | None, name: str = 'weights') -> Any:
  """Activations `[..., C]` times the square roots of the weights of their channels, `[C]`.

  Raises:
    UserError: for another number of weights, and one that is negative or no number.
  """
  if weights is None:
    return activations
  found = as_array(weights)
  if found.shape != activations.shape[-1:]:
    raise UserError(
      f'{name} must be one for each of {activations.shape[-1]} channels, not of shape {found.shape}'
    )
  if not isinstance(found, jax.core.Tracer) and not (np.asarray(found) >= 0).all():
    raise UserError(f'{name} must not be negative, nor NaN')
  return activations * found.astype(activations.dtype) ** 0.5


def similarity(
  a: Activations, b: Activations, *, measure: Measure = 'cosine', weights: Activations | None = None
) -> Any:
  """s(i, j, k, l) of patch (i, j) of one picture and patch (k, l) of another.

  The cosine u.v / (||u|| ||v||), 0 where a vector has no length, or the dot product u.v. With
  weights w of the channels u.v is sum_c w_c u_c v_c, and ||u|| is sqrt(sum_c w_c u_c^2). Those of
  `channel_weights` say what is alike for a class.

  Example:
    >>> x = np.eye(2).reshape(1, 2, 2)
    >>> concepts.similarity(x, 3 * x)[0, 0]
    array([[1., 0.]])

  Args:
    a: `[H1, W1, C]`, an array of JAX or NumPy, or a tensor of PyTorch. Of what is neither float32
      nor float64, float32 is made.
    b: `[H2, W2, C]`.
    measure: 'cosine' or 'dot'.
    weights: `[C]`, not negative.

  Returns:
    `[H1, W1, H2, W2]`, an array of JAX where one went in, otherwise of NumPy.

  Raises:
    UserError: for a batch axis, different numbers of channels, or weights that do not fit.
  """
  check_choice('measure', measure, get_args(Measure))
  first, second = as_activations(a, 'a'), as_activations(b, 'b')
  if first.shape[-1] != second.shape[-1]:
    raise UserError(
      f'a has {first.shape[-1]} channels and b {second.shape[-1]}; only activations of one layer '
      'can be compared'
    )
  first, second = weighted(first, weights), weighted(second, weights)
  if measure == 'cosine':
    first, second = unit(first), unit(second)
  xp = jnp if isinstance(first, jax.Array) or isinstance(second, jax.Array) else np
  return xp.tensordot(first, second, axes=(-1, -1))


def correspondence(
  a: Activations, b: Activations, *, weights: Activations | None = None
) -> Correspondence:
  """The patches of two pictures that are each other's nearest by the cosine.

  A patch whose activations are all zero has no direction, and belongs to none. Of equally near
  ones the first counts, in order of the rows.

  Args:
    a: `[H1, W1, C]`, as `similarity` takes them.
    b: `[H2, W2, C]`.
    weights: `[C]`, see `similarity`.

  Raises:
    UserError: as `similarity`.
  """
  cosines = np.asarray(similarity(a, b, weights=weights))
  (height, width), (high, wide) = cosines.shape[:2], cosines.shape[2:]
  flat = cosines.reshape(height * width, high * wide)
  first, second = (_directed(one, weights) for one in (a, b))
  able = np.where(first[:, None] & second, flat, -np.inf)  # 0 is more than a negative cosine.
  there = able.argmax(1)
  back = able.argmax(0)
  cells = np.arange(len(flat))
  mutual = cells[(back[there] == cells) & first & second[there]]
  order = mutual[np.argsort(-flat[mutual, there[mutual]], kind='stable')]
  return Correspondence(
    np.stack(np.divmod(order, width), 1),
    np.stack(np.divmod(there[order], wide), 1),
    flat[order, there[order]],
  )


def _directed(value: Activations, weights: Activations | None) -> np.ndarray:
  """Whether each patch has a direction, `[H * W]`: whether some (weighted) channel is not 0."""
  found = np.asarray(weighted(as_activations(value), weights))
  return (found != 0).any(-1).ravel()
