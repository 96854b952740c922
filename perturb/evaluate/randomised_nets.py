"""Networks that lose what they learned, layer by layer: the test of parameter randomisation.

Source: Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim, "Sanity Checks for Saliency Maps",
NeurIPS 2018, section 4. A heatmap that explains the network changes as its layers are drawn anew;
one that stays is an edge detector. How alike two heatmaps are is measured elsewhere. All these
networks have the structure of the first, so that a method is compiled once for all of them.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from perturb.base import key_or_default
from perturb.errors import UserError, check_choice
from perturb.nets.layer_gradients import network_of
from perturb.nets.network import Network, Variables
from perturb.nets.pretrained import Pretrained

Mode = Literal['cascading', 'independent']
Statistics = Literal['kept', 'initial']


def parametrised_layers(net: Pretrained) -> tuple[str, ...]:
  """The names of the layers with parameters, from the top, beside the logits, down."""
  return tuple(name for name in reversed(net.network.layer_names()) if name in _params(net))


def _params(net: Pretrained) -> Variables:
  return net.variables['params']


@functools.partial(jax.jit, static_argnums=(0, 1))
def _drawn(network: Network, shape: tuple[int, ...], key: jax.Array) -> Variables:
  return dict(network.init(key, jnp.zeros(shape, jnp.float32)))


def _all_drawn(net: Pretrained, key: jax.Array | int | None) -> Variables:
  """The variables of a network that has learned nothing.

  Raises:
    UserError: for a network whose weights are of other shapes than its architecture's.
  """
  shape = (1, net.size, net.size, len(net.preprocessing.mean))
  drawn = _drawn(net.network, shape, key_or_default(key))
  if jax.tree.map(jnp.shape, drawn) != jax.tree.map(jnp.shape, net.variables):
    raise UserError(f'the weights of {type(net.network).__name__} are not those of its layers')
  return drawn


def _replaced(
  net: Pretrained, layers: Sequence[str], drawn: Variables, statistics: Statistics
) -> Pretrained:
  kinds = ('params', 'batch_stats') if statistics == 'initial' else ('params',)
  variables = {
    kind: dict(values) | {name: drawn[kind][name] for name in layers if name in values}
    if kind in kinds
    else values
    for kind, values in net.variables.items()
  }
  return dataclasses.replace(net, variables=variables)


def _names(net: Pretrained, layers: Sequence[str]) -> list[str]:
  known, found = parametrised_layers(net), []
  for layer in [layers] if isinstance(layers, str) else layers:
    name = net.network.resolve(layer)
    # A paper's name of a layer may be that of the output of its ReLU.
    found.append(name if name in known else net.network.parameter_layer(layer))
  return found


def randomised(
  net: Pretrained,
  layers: Sequence[str],
  key: jax.Array | int | None = None,
  *,
  statistics: Statistics = 'kept',
) -> Pretrained:
  """A network with some of its layers drawn anew from the distribution that they begin with.

  That is He's for weights, and zero for biases; a batch normalisation begins with a scale of one.
  What a layer is drawn as depends on the key and its name, not on which others are drawn.

  Args:
    net: a network of `perturb.nets`.
    layers: names of layers with parameters, see `parametrised_layers`.
    key: PRNG key; `jax.random.key(0)` by default.
    statistics: of those layers that normalise a batch: 'kept' as they were learned, as in the
      authors' code of NormGrad, or 'initial', a mean of zero and a variance of one.

  Returns:
    A network of the same structure, for the same compiled programs.

  Raises:
    UserError: for a layer that the network does not have, or that has no parameters.
  """
  check_choice('statistics', statistics, get_args(Statistics))
  net = network_of(net, 'randomisation')
  return _replaced(net, _names(net, layers), _all_drawn(net, key), statistics)


def layers_from(
  net: Pretrained, other: Pretrained, depth: jax.Array | int, *, mode: Mode = 'cascading'
) -> Pretrained:
  """A network with layers of another one, where `depth` may be traced: one program for all depths.

  With `other = randomised(net, parametrised_layers(net), key)` it is one of `randomisations`.

  Args:
    net: a network of `perturb.nets`.
    other: one of the same structure.
    depth: index of a layer in `parametrised_layers`.
    mode: 'cascading' takes that layer and all above it, 'independent' that layer alone.

  Raises:
    UserError: for another mode.
  """
  check_choice('mode', mode, get_args(Mode))
  net = network_of(net, 'randomisation')
  layers = parametrised_layers(net)
  place = {name: i for i, name in enumerate(layers)}

  def chosen(path: tuple[Any, ...], own: jax.Array, new: jax.Array) -> jax.Array:
    rank = place.get(path[1].key, len(layers))
    return jnp.where(rank <= depth if mode == 'cascading' else rank == depth, new, own)

  variables = jax.tree_util.tree_map_with_path(chosen, net.variables, other.variables)
  return dataclasses.replace(net, variables=variables)


def randomisations(
  net: Pretrained,
  key: jax.Array | int | None = None,
  *,
  mode: Mode = 'cascading',
  statistics: Statistics = 'kept',
) -> Iterator[tuple[str, Pretrained]]:
  """The networks of the test, from the top layer down: one for each layer with parameters.

  The class that a heatmap explains should stay that of the network that has learned.

  Example:
    >>> from perturb.evaluate.randomised_nets import randomisations
    >>> {layer: perturb.gradient(other, x, cat).shape for layer, other in randomisations(net)}
    {'fc': (1, 32, 32), 'conv3': (1, 32, 32), 'conv2': (1, 32, 32), 'conv1': (1, 32, 32)}

  Args:
    net: a network of `perturb.nets`.
    key: PRNG key; `jax.random.key(0)` by default.
    mode: 'cascading' draws a layer and all above it, 'independent' that layer alone.
    statistics: see `randomised`.

  Yields:
    (the layer, the network).

  Raises:
    UserError: for an option that does not fit.
  """
  check_choice('mode', mode, get_args(Mode))
  check_choice('statistics', statistics, get_args(Statistics))
  net = network_of(net, 'randomisation')
  layers, drawn = parametrised_layers(net), _all_drawn(net, key)

  def made() -> Iterator[tuple[str, Pretrained]]:
    for place, layer in enumerate(layers):
      some = layers[: place + 1] if mode == 'cascading' else (layer,)
      yield layer, _replaced(net, some, drawn, statistics)

  return made()
