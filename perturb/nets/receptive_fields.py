"""The pixels that a position of a layer depends on."""

import functools
from typing import NamedTuple

import flax.linen as nn
import numpy as np

from perturb.errors import UserError
from perturb.nets.kernels import padding as pad
from perturb.nets.layers import (
  AdaptiveMeanPool,
  Add,
  BatchNorm,
  Concatenate,
  Conv,
  Dense,
  GlobalMean,
  LocalResponseNorm,
  MaxPool,
  MeanPool,
  Relu,
  Softmax,
  WindowDense,
)
from perturb.nets.network import INPUT, Layer, Network
from perturb.nets.pretrained import Pretrained

_POINTWISE = (Add, BatchNorm, Concatenate, Dense, LocalResponseNorm, Relu, Softmax)


class Box(NamedTuple):
  """Rows top to bottom - 1 and columns left to right - 1 of an image.

  Attributes:
    top: first row.
    left: first column.
    bottom: the row after the last.
    right: the column after the last.
    beyond: pixels by which the window that the position would have in an image without borders
      goes beyond (top, left, bottom, right): most of it padding.
  """

  top: int
  left: int
  bottom: int
  right: int
  beyond: tuple[int, int, int, int] = (0, 0, 0, 0)

  @property
  def window(self) -> 'Box':
    """The box with what is beyond: it may leave the image, and is as large at each position."""
    top, left, bottom, right = self.beyond
    return Box(self.top - top, self.left - left, self.bottom + bottom, self.right + right)


class _Seen(NamedTuple):
  """What the positions of a layer depend on along one axis, `[positions]` each, last included.

  Attributes:
    first: first pixel of the image.
    last: last pixel.
    low: first pixel, if the image had no borders.
    high: last pixel, likewise.
    step: pixels from a position to the next one, if it had none.
  """

  first: np.ndarray
  last: np.ndarray
  low: np.ndarray
  high: np.ndarray
  step: int


class _Reads(NamedTuple):
  """The positions of the layer below that each position reads, first and last, `[positions]`.

  They may be outside. `stride` is how far apart two neighbours read.
  """

  first: np.ndarray
  last: np.ndarray
  stride: int


def receptive_field(
  net: Network | Pretrained, layer: str, position: tuple[int, int], size: tuple[int, int]
) -> Box:
  """The smallest box with all pixels that a position of a layer depends on.

  It is derived from the list of layers, along each axis, as the union over the branches; it is
  exact at the borders, where `Box.beyond` tells what is missing.

  Args:
    net: the network.
    layer: its name; `'input'` is the images.
    position: (row, column) in the output of the layer; (0, 0) if that has no extent.
    size: (H, W) of the image.

  Raises:
    UserError: for a layer that the network does not have, a position that the layer does not have,
      or an image that is too small.
  """
  network = net.network if isinstance(net, Pretrained) else net
  name = network.resolve(layer)
  ends = []
  for axis, (place, pixels) in enumerate(zip(position, size, strict=True)):
    seen = _seen_by_layer(network, pixels)[name]
    if isinstance(seen, str):
      raise UserError(seen)
    count = len(seen.first)
    if not 0 <= place < count:
      rows = ('rows', 'columns')[axis]
      raise UserError(
        f'{layer} has {rows} 0 to {count - 1} for an image of {pixels} pixels, not {place}'
      )
    ends.append(tuple(int(values[place]) for values in seen[:4]))
  (top, bottom, low_row, high_row), (left, right, low_column, high_column) = ends
  beyond = (top - low_row, left - low_column, high_row - bottom, high_column - right)
  return Box(top, left, bottom + 1, right + 1, beyond)


@functools.lru_cache(maxsize=32)
def _seen_by_layer(network: Network, pixels: int) -> dict[str, _Seen | str]:
  """By layer, along an axis of so many pixels; text that says what is wrong where it cannot run."""
  image = np.arange(pixels)
  found: dict[str, _Seen | str] = {INPUT: _Seen(image, image, image, image, 1)}
  for layer in network.layers():
    found[layer.name] = _seen_by(layer, [found[name] for name in layer.inputs])
  return found


def _seen_by(layer: Layer, inputs: list[_Seen | str]) -> _Seen | str:
  branches = []
  for below in inputs:
    if isinstance(below, str):
      return below
    reads = _reads(layer.name, layer.build(parent=None), len(below.first))
    if isinstance(reads, str):
      return reads
    branches.append(_through(below, reads))
  return functools.reduce(_union, branches)


def _through(below: _Seen, reads: _Reads) -> _Seen:
  last = len(below.first) - 1
  return _Seen(
    below.first[np.clip(reads.first, 0, last)],
    below.last[np.clip(reads.last, 0, last)],
    _beyond(below.low, reads.first, below.step),
    _beyond(below.high, reads.last, below.step),
    below.step * reads.stride,
  )


def _beyond(values: np.ndarray, places: np.ndarray, step: int) -> np.ndarray:
  """The values at places, which go on by steps outside."""
  inside = np.clip(places, 0, len(values) - 1)
  return values[inside] + step * (places - inside)


def _union(a: _Seen, b: _Seen) -> _Seen:
  return _Seen(
    np.minimum(a.first, b.first),
    np.maximum(a.last, b.last),
    np.minimum(a.low, b.low),
    np.maximum(a.high, b.high),
    a.step,
  )


def _reads(name: str, module: nn.Module, size: int) -> _Reads | str:
  """What a layer reads along an axis of `size` positions."""
  match module:
    case Conv():
      return _windows(name, size, module.kernel_size, module.stride, module.padding_of((size,) * 2))
    case MaxPool():
      padding = pad.symmetric(module.padding)
      if module.round_up:
        padding = pad.rounded_up((size,) * 2, module.window, module.stride, module.padding)
      return _windows(name, size, module.window, module.stride, padding)
    case MeanPool():
      return _windows(name, size, module.window, 1, pad.symmetric(0))
    case WindowDense():
      if not module.slide and size != module.window:
        return f'{name} reads {module.window} x {module.window} positions, and here has {size}'
      return _windows(name, size, module.window, 1, pad.symmetric(0))
    case AdaptiveMeanPool():
      bins = np.arange(module.bins)
      first, last = bins * size // module.bins, -(-(bins + 1) * size // module.bins) - 1
      return _Reads(first, last, size // module.bins)
    case GlobalMean():
      return _Reads(np.array([0]), np.array([size - 1]), 1)
    case _ if isinstance(module, _POINTWISE):
      return _Reads(np.arange(size), np.arange(size), 1)
  return f'{name}: what a {type(module).__name__} reads is not known'


def _windows(name: str, size: int, window: int, stride: int, padding: pad.Padding) -> _Reads | str:
  before, after = padding[0]
  count = (size + before + after - window) // stride + 1
  if count < 1:
    return f'{name}: the image is too small, its window of {window} is given {size} positions'
  first = np.arange(count) * stride - before
  return _Reads(first, first + window - 1, stride)
