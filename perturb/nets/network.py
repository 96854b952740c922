"""A network is an ordered list of named layers."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from perturb.errors import UserError, did_you_mean

Variables = dict[str, Any]  # A Flax tree: {'params': ..., 'batch_stats': ...}.


class Network(nn.Module):
  """Base class: a subclass lists its layers, this class runs any stretch of them.

  With `variables = net.init(key, x)`:
    `net.apply(variables, x)` is the whole network Phi(x);
    `net.apply(variables, x, stop='blocks.4')` is Phi_l(x), the output of the named layer;
    `net.apply(variables, h, start='blocks.4')` is Phi_l+(h), the part above that layer.
  """

  def layers(self) -> list[tuple[str, Callable[..., nn.Module]]]:
    """The layers in order: name, and constructor that takes `name=`."""
    raise NotImplementedError

  def layer_names(self) -> list[str]:
    """The names that `start` and `stop` accept, in order."""
    return [name for name, _ in self.layers()]

  def layer_index(self, layer: str) -> int:
    """The position of a layer.

    Raises:
      UserError: for a layer that the network does not have, with its near matches.
    """
    names = self.layer_names()
    if layer not in names:
      hint = did_you_mean(layer, names) or f'; the layers are {", ".join(names)}'
      raise UserError(f'{type(self).__name__} has no layer {layer!r}{hint}')
    return names.index(layer)

  @nn.compact
  def __call__(self, x: jax.Array, start: str | None = None, stop: str | None = None) -> jax.Array:
    """Runs the layers after `start` (default: from the input) up to `stop`, included.

    Args:
      x: images `[N, H, W, 3]`, or the output of the layer `start`.
      start: the layer whose output `x` is.
      stop: the layer whose output is returned; the last one by default.

    Returns:
      The activations of `stop`: `[N, h, w, c]`, or `[N, c]` after the pooling.

    Raises:
      UserError: for a layer that the network does not have, with its near matches.
    """
    first = 0 if start is None else self.layer_index(start) + 1
    last = len(self.layers()) if stop is None else self.layer_index(stop) + 1
    for name, build in self.layers()[first:last]:
      x = build(name=name)(x)
    return x
