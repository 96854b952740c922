"""A network bound to its weights, its preprocessing and its class names."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
from typing import Any, NamedTuple

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import axes_hint, pick
from perturb.compiled import shapes_of
from perturb.errors import UserError, did_you_mean
from perturb.nets.network import Activations, Network, Rule, Variables
from perturb.nets.preprocessing import Preprocessing


class Gradients(NamedTuple):
  """What `Pretrained.gradients` returns.

  Attributes:
    score: `[N]`, what was differentiated.
    activations: layer -> its output, `[N, h, w, c]` or `[N, c]`.
    gradients: layer -> the gradient of the score with respect to it, of the same shape.
  """

  score: jax.Array
  activations: Activations
  gradients: Activations


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['variables', 'gains'],
  meta_fields=[
    'network',
    'size',
    'preprocessing',
    'class_names',
    'start',
    'stop',
    'rules',
  ],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
  """A network bound to its weights: a callable pytree, whose leaves are the weights.

  Attributes:
    network: the architecture, a list of named layers.
    variables: its weights; `variables['params'][layer]` are those of a layer.
    size: side of the square input it was trained at, in pixels.
    preprocessing: from pictures to its input.
    class_names: a line of synonyms for each logit, the first one the usual name.
    start: the layer above which it starts; None for the input.
    stop: the layer up to which it runs; None for the logits.
    rules: backward rules, instead of the gradient's (see `perturb.nets.rules`).
    gains: layer -> what each of its channels is multiplied by, `[c]` (see `ablate`).
  """

  network: Network
  variables: Variables
  size: int
  preprocessing: Preprocessing
  class_names: tuple[str, ...]
  start: str | None = None
  stop: str | None = None
  rules: tuple[Rule, ...] = ()
  gains: dict[str, jax.Array] = dataclasses.field(default_factory=dict)

  def __call__(self, x: jax.Array) -> jax.Array:
    """Logits `[N, classes]` of preprocessed images `[N, H, W, C]`; see `part` for the rest."""
    return _output(self, x)

  def _apply(self, x: Any, stop: Any, edits: dict[str, Callable] | None = None) -> Any:
    edits = self._edits() | (edits or {})
    images = self.start is None and not isinstance(x, Mapping)
    if images:
      self._check_input(x)
    try:
      return self.network.apply(self.variables, x, self.start, stop, edits=edits, rules=self.rules)
    # Of a layer that reads every position.
    except (TypeError, ValueError, flax.errors.FlaxError) as error:
      if isinstance(error, UserError) or not images or x.shape[1:3] == (self.size, self.size):
        raise
      raise UserError(
        f'{type(self.network).__name__} cannot take images of {x.shape[1]} x {x.shape[2]} pixels: '
        f'one of its layers fits {self.size} x {self.size} alone (config.fit: crop or squash)'
      ) from error

  def _check_input(self, x: Any) -> None:
    channels = len(self.preprocessing.mean)
    if x.ndim != 4 or x.shape[-1] != channels:
      raise UserError(
        f'{type(self.network).__name__} takes images [N, H, W, {channels}], not {x.shape}'
        + (axes_hint(x.shape) or '; net.preprocess(image) makes its input from RGB')
      )

  def _edits(self) -> dict[str, Callable]:
    return {layer: functools.partial(jnp.multiply, gain) for layer, gain in self.gains.items()}

  def part(self, *, start: str | None = None, stop: str | None = None) -> 'Pretrained':
    """The same network from above layer `start` up to layer `stop` (see `Network`).

    Raises:
      UserError: for a layer that the network does not have, with its near matches; for a `start`
        that other branches bypass (see `Network.cut`).
    """
    start, stop = (name and self.network.resolve(name) for name in (start, stop))
    self.network.check(start, stop)
    return dataclasses.replace(self, start=start, stop=stop)

  def with_rules(self, *rules: Rule) -> 'Pretrained':
    """The same network with other backward rules: `net.with_rules(rules.guided)`."""
    return dataclasses.replace(self, rules=rules)

  def ablate(self, layer: str, filters: Sequence[int]) -> 'Pretrained':
    """The same network with some filters of a layer silenced: their output is set to zero.

    Args:
      layer: its name. A Caffe name, such as `conv5_3`, silences them after the ReLU.
      filters: their indices, in `[0, c)`.

    Raises:
      UserError: for a layer or a filter that is not there.
    """
    name = self.network.resolve(layer)
    channels = self.shapes([name])[name].shape[-1]
    wrong = [index for index in filters if not 0 <= index < channels]
    if wrong:
      raise UserError(f'{layer} has filters 0 to {channels - 1}, not {wrong[0]}')
    gain = (
      self.gains.get(name, jnp.ones(channels, jnp.float32))
      .at[jnp.asarray(filters, jnp.int32)]
      .set(0)
    )
    return dataclasses.replace(self, gains=self.gains | {name: gain})

  def shapes(self, layers: Sequence[str], x: Any = None) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of the outputs of several layers, for images x or for one of the usual size."""
    if x is None:
      channels = len(self.preprocessing.mean)
      x = np.broadcast_to(np.float32(0), (1, self.size, self.size, channels))
    return shapes_of(_activations, self, x, tuple(layers))

  def activations(self, x: jax.Array, layers: Sequence[str]) -> Activations:
    """The outputs of several layers, in one pass.

    Args:
      x: preprocessed images `[N, H, W, C]`.
      layers: their names; `'input'` is the images.

    Returns:
      By the names given, `[N, h, w, c]` or `[N, c]`.

    Raises:
      UserError: for a layer that the network does not have, with its near matches.
    """
    return _activations(self, x, tuple(layers))

  def gradients(
    self,
    x: jax.Array,
    layers: Sequence[str],
    objective: int | jax.Array | Callable[[jax.Array], jax.Array],
  ) -> Gradients:
    """The gradients of a score with respect to the outputs of several layers, in one pass.

    With `rules`, their signals in place of gradients.

    Args:
      x: preprocessed images `[N, H, W, C]`.
      layers: their names, inside residual blocks too; `'input'` is the images.
      objective: a class, or `[N]` classes, for their logits (the mean over the positions of a map
        of logits); or a function from the network's output to `[N]` scores, which is compiled in:
        give the same function again to use the compiled program again.

    Raises:
      UserError: for a layer that the network does not have, with its near matches.
    """
    names = {layer: self.network.resolve(layer) for layer in layers}
    each = tuple(dict.fromkeys(names.values()))  # Two names of one layer are one layer.
    if callable(objective):
      found = _gradients(self, x, each, objective, None)
    else:
      classes = jnp.broadcast_to(jnp.asarray(objective), x.shape[:1])
      found = _gradients(self, x, each, None, classes)
    return Gradients(
      found.score,
      {layer: found.activations[name] for layer, name in names.items()},
      {layer: found.gradients[name] for layer, name in names.items()},
    )

  def preprocess(self, image: np.ndarray) -> np.ndarray:
    """uint8 RGB `[..., 3]` to the network's input, float32 `[..., C]`."""
    return self.preprocessing.apply(image)

  def to_image(self, x: np.ndarray) -> np.ndarray:
    """The inverse of `preprocess`: uint8 RGB `[..., 3]`, clipped."""
    return self.preprocessing.invert(x)

  def class_name(self, index: int) -> str:
    """The usual name of a class."""
    return self.class_names[index].split(',')[0]

  def class_index(self, target: str | int) -> int:
    """The index of a class given by index or by any of its names.

    Raises:
      UserError: for an unknown class, with its near matches.
    """
    classes = len(self.class_names)
    if isinstance(target, int) or target.strip().lstrip('-').isdigit():
      index = int(target)
      if not 0 <= index < classes:
        raise UserError(f'target {index}: the network has classes 0 to {classes - 1}')
      return index
    return self.class_named(target)

  def class_named(self, name: str) -> int:
    """The index of a class given by any of its names, in any case; a number is a name here too.

    Raises:
      UserError: for an unknown class, with its near matches; or a name that several classes have.
    """
    whole, synonyms = _indices_by_name(self.class_names)
    found = whole.get(_plain(name), []) or synonyms.get(_plain(name), [])
    if not found:
      known = [one.strip() for line in self.class_names for one in line.split(',')]
      hint = did_you_mean(name, known) or '; give a class name or its index'
      raise UserError(f'target {name!r} is not a class of this network{hint}')
    if len(found) > 1:
      which = ', '.join(map(str, found))
      raise UserError(f'target {name!r} is the name of several classes, {which}; give the index')
    return found[0]


@functools.lru_cache(maxsize=8)
def _indices_by_name(
  class_names: tuple[str, ...],
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
  """(line of a class -> indices, one of its synonyms -> indices)."""
  whole: dict[str, list[int]] = {}
  synonyms: dict[str, list[int]] = {}
  for index, line in enumerate(class_names):
    whole.setdefault(_plain(line), []).append(index)
    for name in dict.fromkeys(map(_plain, line.split(','))):
      synonyms.setdefault(name, []).append(index)
  return whole, synonyms


def _plain(name: str) -> str:
  """A name without case; folders write '_' for a space."""
  return name.strip().lower().replace('_', ' ')


@functools.partial(jax.jit, static_argnums=(2, 3))
def _gradients(
  net: Pretrained,
  x: jax.Array,
  layers: tuple[str, ...],
  objective: Callable[[jax.Array], jax.Array] | None,
  classes: jax.Array | None,
) -> Gradients:
  """Adds zeros to the outputs of the layers, and differentiates with respect to these."""
  shapes = net.shapes(layers, x)
  zeros = {name: jnp.zeros(shape.shape, shape.dtype) for name, shape in shapes.items()}
  top, gains = net.stop or net.network.logits, net._edits()

  def score_of(out: jax.Array) -> jax.Array:
    if classes is None:
      assert objective
      return objective(out)
    return pick(out, classes)

  def scores(deltas: Activations) -> tuple[jax.Array, Activations]:
    def edit(name: str) -> Callable[[jax.Array], jax.Array]:
      gain = gains.get(net.network.resolve(name), lambda h: h)
      return lambda h: gain(h) + deltas[name]

    out = net._apply(x, (*layers, top), {name: edit(name) for name in layers})
    return score_of(out[top]), {name: out[name] for name in layers}

  score, back, activations = jax.vjp(scores, zeros, has_aux=True)
  return Gradients(score, activations, back(jnp.ones_like(score))[0])


@jax.jit
def _output(net: Pretrained, x: jax.Array) -> jax.Array:
  return net._apply(x, net.stop)


@functools.partial(jax.jit, static_argnums=2)
def _activations(net: Pretrained, x: jax.Array, layers: tuple[str, ...]) -> Activations:
  return net._apply(x, layers)
