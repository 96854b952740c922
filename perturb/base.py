"""The contract of a method of attribution, stated once; every method keeps it.

A method is called as `method(f, x, target, **options)`. B is the number of images, K that of the
outputs of f.

  f       The function that is explained: images `[N, H, W, C]` to scores `[N, K]`, or to a map
          `[N, h, w, K]` whose spatial mean is the score; before any softmax. It treats the images
          of a batch independently. A method says which functions it takes: *any function*, of which
          no gradient is taken; *any differentiable function*; or *a network of `perturb.nets`*,
          whose layers it reads. The arrays in a callable pytree, as in such a network or in
          `jax.tree_util.Partial(net.apply, variables)`, are arguments of the compiled method; a
          plain function is compiled in.
  x       Images `[B, H, W, C]` as f takes them, or one image `[H, W, C]`, which counts as B = 1.
          They are made float32.
  target  Index in [0, K) of the output that is explained: one for all images, or `[B]`.

It returns a heatmap, float32 `[B, H, W]`, large where the image matters to the target; or a result
with such a `heatmap` in it. An image's heatmap does not depend on the images that it is batched
with. What is random comes from `key`, which is `jax.random.key(0)` by default.

It raises a `UserError`, which says what would be right: for x or the output of f of another shape,
for a target that is not an output of f, and for each option that does not fit.

In the examples of the docstrings, `net` is a network of `perturb.nets` with the layers relu1, relu2
and relu3, `x` one image of 32 x 32 pixels, and `cat` the index of a class.

A method is compiled when it is called. It can be called in `jax.jit` and `jax.vmap`, with any of
f's arrays, x and target traced; a traced target is not checked, because its value is not known.
`lime` and `minimal_image` must then be given their segments.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from perturb.compiled import shapes_of
from perturb.errors import UserError

Function = Callable[[jax.Array], jax.Array]  # [N, H, W, C] -> [N, K], or [N, h, w, K]
Images = jax.Array | np.ndarray  # [B, H, W, C], or one image [H, W, C]
Target = int | Sequence[int] | jax.Array | np.ndarray  # one index for all images, or [B]


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


def check_arguments(f: Function, x: Images, target: Target) -> tuple[jax.Array, jax.Array]:
  """(x, target) of a method as float32 `[B, H, W, C]` and int32 `[B]`.

  Raises:
    UserError: for an argument that breaks the contract of this module.
  """
  x = check_images(x)
  return x, check_targets(f, x, target)


def key_or_default(key: jax.Array | None) -> jax.Array:
  """The PRNG key that a method was given, or the default of every method."""
  return jax.random.key(0) if key is None else key
