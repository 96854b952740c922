"""The contract of a method of attribution, stated once; every method keeps it.

A method is called as `method(f, x, target, **options)`. B is the number of images, K that of the
outputs of f.

  f       The function that is explained: images `[N, H, W, C]` to scores `[N, K]`, or to a map
          `[N, h, w, K]` whose spatial mean is the score; before any softmax. It treats the images
          of a batch independently. A method says which functions it takes: *any function*, of which
          no gradient is taken; *any differentiable function*; or *a network of `perturb.nets`*,
          whose layers it reads. The arrays in a callable pytree are arguments of the compiled
          method: in such a network, in a bound Flax module, in `jax.tree_util.Partial(net.apply,
          variables)`. A plain function is compiled in, and anew when what it reads has changed (see
          `perturb.closures`); so define it once, not at each call.
  x       Images `[B, H, W, C]` as f takes them, or one image `[H, W, C]`, which counts as B = 1.
          They are made float32. NaN, what seems to be raw pixels, and axes that seem to be swapped
          are warned of.
  target  Index in [0, K) of the output that is explained: one for all images, or `[B]`.

It returns a heatmap, float32 `[B, H, W]`, large where the image matters to the target; or a result
with such a `heatmap` in it. An image's heatmap does not depend on the images that it is batched
with. What is random comes from `key`, a PRNG key or its seed, which is `jax.random.key(0)` by
default.

It raises a `UserError`, which says what would be right: for x or the output of f of another shape,
for an f that cannot be applied to x, for a target that is not an output of f, and for each option
that does not fit.

In the examples of the docstrings, `net` is a network of `perturb.nets` with the layers relu1, relu2
and relu3, `x` one image of 32 x 32 pixels, and `cat` the index of a class.

A method is compiled when it is called. It can be called in `jax.jit` and `jax.vmap`, with any of
f's arrays, x and target traced; of a traced target only the shape and the type are checked.
`lime` and `minimal_image` must then be given their segments.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np

from perturb.compiled import shapes_of
from perturb.errors import UserError, warn

Function = Callable[[jax.Array], jax.Array]  # [N, H, W, C] -> [N, K], or [N, h, w, K]
Images = jax.Array | np.ndarray  # [B, H, W, C], or one image [H, W, C]
Target = int | Sequence[int] | jax.Array | np.ndarray  # one index for all images, or [B]

CHANNELS = (1, 3, 4)  # Of pictures.
RAW = 50  # No normalised image reaches so far while none of its values is negative.

_CHANGES_ITSELF = (
  flax.errors.ModifyScopeVariableError,
  flax.errors.TraceContextError,
  flax.errors.InvalidRngError,
)
_WITHOUT_WEIGHTS = (
  flax.errors.CallCompactUnboundModuleError,
  flax.errors.ScopeCollectionNotFound,
)


class Result(Protocol):
  """What a method returns that has more to tell than a heatmap."""

  @property
  def heatmap(self) -> jax.Array:
    """`[B, H, W]`, large where the image matters to the target."""


class Method(Protocol):
  """A method that returns the heatmap `[B, H, W]` itself."""

  def __call__(
    self, f: Any, x: Images, target: Target, /, *layer: Any, **options: Any
  ) -> jax.Array:
    """See this module; f is whatever the method takes: a `Function`, or a network."""


class ResultMethod(Protocol):
  """A method that returns a result with a heatmap in it."""

  def __call__(self, f: Any, x: Images, target: Target, /, *layer: Any, **options: Any) -> Result:
    """As `Method`."""


def class_scores(outputs: jax.Array) -> jax.Array:
  """`[N, K]` as it is, or a map `[N, h, w, K]` as its spatial mean `[N, K]`; float32."""
  outputs = outputs.astype(jnp.float32)
  return outputs.reshape(outputs.shape[0], -1, outputs.shape[-1]).mean(axis=1)


def pick(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """The score of each image's target: `[N]`."""
  return jnp.take_along_axis(class_scores(outputs), targets[:, None], axis=1)[:, 0]


def probability(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """Softmax probability of each image's target: `[N]`; NaN if a score is."""
  scores = class_scores(outputs)
  unknown = jnp.isnan(scores).any(axis=-1)  # XLA's softmax may make numbers of NaN on a CPU.
  return jnp.where(unknown, jnp.nan, pick(jax.nn.softmax(scores), targets))


Score = Literal['score', 'probability']  # What f gives, or its softmax.
SCORES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
  'score': pick,
  'probability': probability,
}


def _call(f: Function, x: jax.Array) -> jax.Array:
  return jax.jit(lambda images: f(images))(x)  # As in a method: a model must not change inside.


def check_images(x: Images) -> jax.Array:
  """Images as float32 `[B, H, W, C]`.

  Raises:
    UserError: for another number of axes, no image, or what is no array of real numbers.
  """
  if not isinstance(x, jax.Array):
    x = _array('x', x)
  if not (jnp.issubdtype(x.dtype, np.floating) or jnp.issubdtype(x.dtype, np.integer)):
    raise UserError(f'x must be of real numbers, not {x.dtype}')
  x = jnp.asarray(x, jnp.float32)
  if x.ndim == 3:
    x = x[None]
  if x.ndim != 4 or 0 in x.shape:
    raise UserError(f'x must be [B, H, W, C] or [H, W, C], not of shape {x.shape}')
  if x.shape[1] in CHANNELS and x.shape[3] > max(CHANNELS):
    warn(f'x of shape {x.shape} is taken as [N, H, W, C]' + axes_hint(x.shape))
  _warn_of_values(x)
  return x


def _array(name: str, value: Any) -> np.ndarray:
  try:
    return np.asarray(value)
  except ValueError as error:  # Of rows that are not of one length.
    raise UserError(f'{name} must be an array ({error})') from error


def like_images(name: str, value: Images | float, x: jax.Array) -> jax.Array:
  """What stands beside images x, as float32 of their shape `[B, H, W, C]`.

  Args:
    name: what an error calls it.
    value: anything that broadcasts to x.
    x: `[B, H, W, C]`.

  Raises:
    UserError: for another shape.
  """
  try:
    return jnp.broadcast_to(jnp.asarray(value, jnp.float32), x.shape)
  except ValueError as error:
    raise UserError(
      f'{name} must broadcast to {x.shape}, not be of shape {np.shape(value)}'
    ) from error


def _warn_of_values(x: jax.Array) -> None:
  if isinstance(x, jax.core.Tracer) or not x.is_fully_addressable:
    return
  values = np.asarray(x)
  least, most = values.min(), values.max()
  if not (np.isfinite(least) and np.isfinite(most)):
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2, 3)))
    warn(f'x has values that are NaN or infinite, in {_some("image", wrong)}')
  elif least >= 0 and most > RAW:
    warn(
      f'x goes from {least:g} to {most:g}, as raw pixels do; most networks take normalised images '
      '(net.preprocess makes them)'
    )


def _some(noun: str, indices: np.ndarray) -> str:
  shown = ', '.join(map(str, indices[:3]))
  return f'{noun} {shown}' + (f' and {len(indices) - 3} more' if len(indices) > 3 else '')


def _applied(f: Function, x: jax.Array) -> tuple[Any, int]:
  """(the shapes of what f returns, of how many images).

  One image is asked about as two, so that an f that drops or adds up the batch is seen.
  """
  if x.shape[0] == 1:
    try:
      return shapes_of(_call, f, _several(x)), 2
    except Exception:  # An f that takes one image at a time alone, or none.
      return shapes_of(_call, f, x), 1
  return shapes_of(_call, f, x), x.shape[0]


def _several(x: jax.Array) -> Any:
  return np.broadcast_to(np.float32(0), (2, *x.shape[1:]))


def count_outputs(f: Function, x: jax.Array) -> int:
  """K, the number of scores that f gives an image.

  Raises:
    UserError: if f cannot be applied to x, or does not return `[N, K]` or `[N, h, w, K]`.
  """
  if not callable(f):
    raise UserError(f'f must be a function of images, not of type {type(f).__name__}')
  try:
    out, count = _applied(f, x)
  except UserError:
    raise
  except Exception as error:  # Whatever a function of a user's stumbles over.
    raise UserError(_why_not_applied(x, error)) from error
  if not isinstance(out, jax.ShapeDtypeStruct):
    raise UserError(
      f'f returns a {type(out).__name__}; it must return one array of scores, [N, K] or '
      '[N, h, w, K]: give a function that picks it out'
    )
  if len(out.shape) not in (2, 4) or out.shape[0] != count:
    raise UserError(
      f'f must return [N, K] or [N, h, w, K] for N images, not {out.shape} for {count}'
    )
  if not jnp.issubdtype(out.dtype, jnp.floating):
    raise UserError(f'f must return scores, before any argmax, not {out.dtype}')
  return out.shape[-1]


def _why_not_applied(x: jax.Array, error: Exception) -> str:
  line = str(error).strip().split('\n')[0].split(' (http')[0].rstrip('.')[:200]
  said = f'f cannot be applied to images of shape {x.shape}: {line or type(error).__name__}'
  if isinstance(error, _CHANGES_ITSELF):
    return f'{said}; is it in training mode? Call model.eval(), or apply it with train=False'
  if isinstance(error, _WITHOUT_WEIGHTS):
    return (
      f'{said}; a Flax module has no weights of its own: give model.bind(variables) or '
      'jax.tree_util.Partial(model.apply, variables)'
    )
  if isinstance(error, jax.errors.TracerArrayConversionError | jax.errors.ConcretizationTypeError):
    return f'{said}; it must compute with jax.numpy, to be compiled'
  return said + axes_hint(x.shape)


def axes_hint(shape: Sequence[int]) -> str:
  """The end of an error message about images whose channels seem to come first."""
  if len(shape) == 4 and shape[1] in CHANNELS and shape[3] not in CHANNELS:
    return '; the axes look swapped: give [N, H, W, C], x.transpose(0, 2, 3, 1)'
  return ''


def check_targets(f: Function, x: jax.Array, target: Target) -> jax.Array:
  """Targets as int32 `[B]`.

  Raises:
    UserError: for a target that is not an output of f.
  """
  outputs = count_outputs(f, x)
  targets = target if isinstance(target, jax.core.Tracer) else _array('target', target)
  if not jnp.issubdtype(targets.dtype, np.integer) or targets.shape not in ((), x.shape[:1]):
    raise UserError(f'target must be one integer or {x.shape[0]} of them, not {target!r}')
  known = not isinstance(targets, jax.core.Tracer)
  if known and (targets.min() < 0 or targets.max() >= outputs):
    raise UserError(f'target {target}: f has outputs 0 to {outputs - 1}')
  return jnp.broadcast_to(jnp.asarray(targets, jnp.int32), x.shape[:1])


def check_arguments(f: Function, x: Images, target: Target) -> tuple[jax.Array, jax.Array]:
  """(x, target) of a method as float32 `[B, H, W, C]` and int32 `[B]`.

  Raises:
    UserError: for an argument that breaks the contract of this module.
  """
  x = check_images(x)
  return x, check_targets(f, x, target)


def key_or_default(key: jax.Array | int | None) -> jax.Array:
  """The PRNG key that a method was given, itself or by its seed, or that of every method."""
  return jax.random.key(key or 0) if key is None or isinstance(key, int) else key
