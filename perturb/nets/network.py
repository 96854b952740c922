"""A network is an ordered list of named layers, of which any stretch can be run."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from perturb.errors import UserError, did_you_mean
from perturb.nets.layers import BatchNorm, Conv, Dense, Relu, Softmax, WindowDense

INPUT = 'input'  # The name of the images, where a layer's name is asked for.
PROBABILITIES = 'prob'
MAX_LAYERS = 5000  # A damaged description may ask for millions.

Variables = dict[str, Any]  # A Flax tree: {'params': {layer: ...}, 'batch_stats': {layer: ...}}.
Activations = dict[str, jax.Array]  # Layer -> its output.
Edit = Callable[[jax.Array], jax.Array]

# A backward rule: given a layer, its variables and its inputs, the layer's output with another
# backward pass; None for a layer that it leaves alone. See `perturb.nets.rules`.
Rule = Callable[[nn.Module, Variables, tuple[jax.Array, ...]], jax.Array | None]


class Layer(NamedTuple):
  """A layer of a network.

  Attributes:
    name: its name, and that of its output.
    build: makes the module; takes `name=`.
    inputs: names of the layers that it reads.
  """

  name: str
  build: Callable[..., nn.Module]
  inputs: tuple[str, ...]


class Layers(list[Layer]):
  """A list of layers under construction."""

  def add(self, name: str, build: Callable[..., nn.Module], *inputs: str) -> str:
    """Appends a layer that reads `inputs`: by default the layer before it. Returns its name."""
    if len(self) >= MAX_LAYERS:
      raise UserError(f'a network has at most {MAX_LAYERS} layers')
    below = self[-1].name if self else INPUT
    self.append(Layer(name, build, inputs or (below,)))
    return name


class Network(nn.Module):
  """Base class: a subclass lists its layers, this class runs any stretch of them.

  With `variables = net.init(key, x)`:
    `net.apply(variables, x)` is the whole network Phi(x): logits;
    `net.apply(variables, x, stop='conv4_3')` is Phi_l(x), the output of the named layer;
    `net.apply(variables, h, start='conv4_3')` is Phi_l+(h), the part above that layer;
    `net.apply(variables, x, stop=('conv4_3', 'fc8'))` is several layers, in one pass.

  A layer inside a residual block or an inception module is bypassed by other branches, so that its
  output alone does not decide what comes above. `net.cut(layer)` names the layers that together do:
  `net.apply(variables, net.apply(variables, x, stop=net.cut(layer)))` is Phi(x) for every layer.

  `variables['params'][layer]` are the parameters of a layer; see `parameter_layer` for the
  papers' names.

  Attributes:
    classes: number of logits.
  """

  classes: int = 1000

  def build_layers(self) -> Layers:
    """The layers in order, up to the logits."""
    raise NotImplementedError

  def aliases(self) -> dict[str, str]:
    """Other names of layers: the papers' where the layers have torchvision's."""
    return {}

  def torch_module(self, layer: str) -> str:
    """The name of a layer's parameters in a PyTorch checkpoint."""
    return layer

  def dropouts(self) -> dict[str, float]:
    """Layer -> the share of its output that is dropped in training; under study nothing is."""
    return {}

  def dropout_layers(self) -> tuple[str, ...]:
    """Where further dropout is put if no layers are named; a sum stands for its branches."""
    return ()

  def unused(self, tensor: str) -> bool:  # noqa: ARG002
    """Whether a tensor of a PyTorch checkpoint serves training alone."""
    return False

  def layers(self) -> Layers:
    """The layers in order, up to the probabilities."""
    layers = self.build_layers()
    layers.add(PROBABILITIES, Softmax)
    return layers

  @property
  def logits(self) -> str:
    """The name of the layer whose output is the logits."""
    return self.build_layers()[-1].name

  def layer_names(self) -> list[str]:
    """The layers' names, in order."""
    return [layer.name for layer in self.layers()]

  def resolve(self, layer: str) -> str:
    """The name in `layer_names` of a layer given by that name or by an alias.

    Raises:
      UserError: for a layer that the network does not have, with its near matches.
    """
    names, aliases = self.layer_names(), self.aliases()
    if layer == INPUT or layer in names:
      return layer
    if layer in aliases:
      return aliases[layer]
    hint = did_you_mean(layer, [*aliases, *names]) or f'; the layers are {", ".join(names)}'
    raise UserError(f'{type(self).__name__} has no layer {layer!r}{hint}')

  def parameter_layer(self, layer: str) -> str:
    """The layer that holds the parameters which `layer` is the output of.

    The papers' `conv5_3` is the output of a ReLU (Caffe's are in place); its parameters are those
    of the convolution below it: `variables['params'][net.parameter_layer('conv5_3')]`.

    Raises:
      UserError: for an unknown layer, or one that is the output of no single parametric layer.
    """
    by_name = {entry.name: entry for entry in self.layers()}
    name = self.resolve(layer)
    while name != INPUT:
      module = by_name[name].build(parent=None)
      if isinstance(module, Conv | Dense | WindowDense):
        return name
      if not isinstance(module, Relu | BatchNorm):
        break
      (name,) = by_name[name].inputs
    raise UserError(f'{layer} is not the output of one layer with parameters')

  def cut(self, layer: str) -> tuple[str, ...]:
    """The layers, up to `layer`, whose outputs are read above it; `layer` is among them.

    Raises:
      UserError: for a layer that the network does not have, with its near matches.
    """
    layers, name = self.layers(), self.resolve(layer)
    if name == INPUT:
      return (INPUT,)
    last = [entry.name for entry in layers].index(name)
    read = {source for entry in layers[last + 1 :] for source in entry.inputs} | {name}
    below = [INPUT, *(entry.name for entry in layers[: last + 1])]
    return tuple(entry for entry in below if entry in read)

  def check(self, start: str | None, stop: str | None) -> None:
    """Raises a `UserError` unless the layers from `start` to `stop` can be run by themselves."""
    self._path(
      [self.resolve(start) if start else INPUT], [self.resolve(stop) if stop else self.logits]
    )

  def _path(self, given: Iterable[str], wanted: Iterable[str]) -> list[Layer]:
    """The layers to run, in order, to have `wanted` from `given`."""
    layers = self.layers()
    by_name = {layer.name: layer for layer in layers}
    given, needed = set(given), set()
    stack = [name for name in wanted if name not in given]
    while stack:
      name = stack.pop()
      if name == INPUT:
        known, sought = ', '.join(given), ', '.join(wanted)
        last = max(given, key=[layer.name for layer in layers].index)
        cut = self.cut(last)
        hint = '' if len(cut) == 1 else f', since other branches bypass it; start from {cut}'
        raise UserError(f'{sought} cannot be computed from {known} alone{hint}')
      if name not in needed:
        needed.add(name)
        stack += [source for source in by_name[name].inputs if source not in given]
    return [layer for layer in layers if layer.name in needed]

  @nn.compact
  def __call__(
    self,
    x: jax.Array | Mapping[str, jax.Array],
    start: str | None = None,
    stop: str | tuple[str, ...] | None = None,
    *,
    edits: Mapping[str, Edit] | None = None,
    rules: tuple[Rule, ...] = (),
  ) -> Any:
    """Runs the layers above `start` (default: the images) up to `stop`, included.

    Args:
      x: images `[N, H, W, 3]`; or the output of the layer `start`; or the outputs of several
        layers, by name.
      start: the layer whose output `x` is.
      stop: the layer, or layers, whose output is returned; the logits by default.
      edits: layer -> function applied to its output before anything above reads it: ablates
        filters, adds, replaces.
      rules: backward rules; the first one that answers for a layer is used.

    Returns:
      The output of `stop`: `[N, h, w, c]`, or `[N, c]` above the pooling. For several layers, a
      dict by the names given.

    Raises:
      UserError: for a layer that the network does not have, with its near matches; for a `stop`
        that needs more than what is given.
    """
    edit = {self.resolve(name): function for name, function in (edits or {}).items()}

    def finish(name: str, value: jax.Array) -> jax.Array:
      return edit[name](value) if name in edit else value

    given = x if isinstance(x, Mapping) else {start or INPUT: x}
    values = {name: finish(name, h) for name, h in ((self.resolve(n), h) for n, h in given.items())}
    stops = {name: self.resolve(name) for name in ([stop] if isinstance(stop, str) else stop or [])}
    wanted = list(stops.values()) or [self.logits]
    for layer in self._path(values, wanted):
      module = layer.build(name=layer.name)
      inputs = tuple(values[name] for name in layer.inputs)
      values[layer.name] = finish(layer.name, _run(module, inputs, rules))
    if stop is None or isinstance(stop, str):
      return values[wanted[0]]
    return {name: values[layer] for name, layer in stops.items()}


def _run(module: nn.Module, inputs: tuple[jax.Array, ...], rules: tuple[Rule, ...]) -> jax.Array:
  if rules:
    plain, variables = module.unbind()
    for rule in rules:
      output = rule(plain, dict(variables), inputs)
      if output is not None:
        return output
  return module(*inputs)
