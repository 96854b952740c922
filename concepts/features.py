"""The features of a network, the filters of its layers, in one order."""

from collections.abc import Iterable, Sequence
import dataclasses
import functools

import jax
import numpy as np

from perturb.errors import UserError
from perturb.nets import Pretrained


@dataclasses.dataclass(frozen=True)
class Features:
  """Filters of several layers as the entries of one vector, m in all.

  Attributes:
    layers: the layers, in order.
    sizes: filters of each.
    spatial: of each layer, whether its output has an extent, `[N, h, w, c]` of several
      positions, or none, `[N, c]`.
  """

  layers: tuple[str, ...]
  sizes: tuple[int, ...]
  spatial: tuple[bool, ...]

  @functools.cached_property
  def starts(self) -> tuple[int, ...]:
    """The index of the first filter of each layer, and m."""
    return (0, *(int(end) for end in np.cumsum(self.sizes)))

  @property
  def count(self) -> int:
    """m."""
    return self.starts[-1]

  def place(self, index: int) -> tuple[str, int]:
    """(layer, filter) of a feature."""
    number = self.layer_of(index)
    return self.layers[number], int(index) - self.starts[number]

  def layer_of(self, index: int) -> int:
    """Which of `layers` a feature is in."""
    if not 0 <= index < self.count:
      raise UserError(f'feature {index}: there are 0 to {self.count - 1}')
    return int(np.searchsorted(self.starts, index, side='right')) - 1

  def name(self, index: int) -> str:
    """'conv2:17' for filter 17 of conv2."""
    layer, number = self.place(index)
    return f'{layer}:{number}'

  def index(self, layer: str, number: int) -> int:
    """The index of a filter of a layer."""
    if layer not in self.layers:
      raise UserError(f'layer {layer!r} is not among {", ".join(self.layers)}')
    place = self.layers.index(layer)
    if not 0 <= number < self.sizes[place]:
      raise UserError(f'{layer} has filters 0 to {self.sizes[place] - 1}, not {number}')
    return self.starts[place] + number

  def split(self, values: jax.Array) -> dict[str, jax.Array]:
    """Values of all features `[..., m]` by layer, `[..., c]` each."""
    return {
      layer: values[..., start : start + size]
      for layer, start, size in zip(self.layers, self.starts, self.sizes, strict=False)
    }

  @functools.cached_property
  def has_extent(self) -> np.ndarray:
    """Of each feature, whether its layer has an extent: bool `[m]`."""
    return np.repeat(np.array(self.spatial, bool), self.sizes)

  def of_layers(self) -> np.ndarray:
    """The number of the layer of each feature, `[m]`."""
    return np.repeat(np.arange(len(self.layers)), self.sizes)


def features_of(net: Pretrained, layers: Sequence[str] = ()) -> Features:
  """The features of some layers of a network.

  Source: Oramas et al., Visual explanation by interpretation (ICLR 2019), section 3.1: every layer,
  those without parameters too, up to the last ones, whose outputs are the classes themselves.

  Args:
    net: the network.
    layers: their names, in any order; by default all below the logits.

  Raises:
    UserError: for a layer that the network does not have, or one of the classes themselves.
  """
  names = net.network.layer_names()
  below = names[: names.index(net.network.logits)]
  chosen = [net.network.resolve(layer) for layer in layers] or below
  for layer, name in zip(layers, chosen, strict=False):
    if name not in below:
      raise UserError(f'layer {layer!r} is that of the classes, or the images; take one between')
  ordered = tuple(name for name in below if name in set(chosen))
  shapes = net.shapes(ordered)
  return Features(
    ordered,
    tuple(int(shapes[name].shape[-1]) for name in ordered),
    tuple(int(np.prod(shapes[name].shape[1:-1])) > 1 for name in ordered),
  )


def check_features(features: Features, indices: Iterable[int]) -> None:
  """Refuses an index that is no feature."""
  for index in indices:
    features.place(int(index))
