"""What a network was trained to see: from pictures to its input, and back."""

import dataclasses
from typing import Any

import numpy as np

from perturb.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """(values / 255 - mean) / std of each channel, red first, then the order that is asked.

  Attributes:
    mean: of the training images, per RGB channel, for values in [0, 1].
    std: what the difference is divided by.
    bgr: blue first, as Caffe's networks were trained.
    gray: one channel, the mean of the three; `mean` and `std` then have one value.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
  bgr: bool = False
  gray: bool = False

  def from_unit(self, values: Any) -> Any:
    """RGB values `[..., 3]` in [0, 1], of numpy or JAX, to the network's input `[..., C]`."""
    if self.gray:
      values = values.mean(axis=-1, keepdims=True)
    values = (values - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
    return values[..., ::-1] if self.bgr else values

  def apply(self, image: np.ndarray) -> np.ndarray:
    """uint8 RGB `[..., 3]` to the network's input, float32 `[..., C]`."""
    return np.ascontiguousarray(self.from_unit(image.astype(np.float32) / 255))

  def to_unit(self, x: Any) -> Any:
    """The network's input `[..., C]`, of numpy or JAX, to RGB values `[..., 3]` cut to [0, 1]."""
    values = x[..., ::-1] if self.bgr else x
    values = values * np.array(self.std, np.float32) + np.array(self.mean, np.float32)
    values = values.clip(0, 1)
    return values.repeat(3, axis=-1) if self.gray else values

  def invert(self, x: np.ndarray) -> np.ndarray:
    """The network's input `[..., C]` to uint8 RGB `[..., 3]`, clipped."""
    return (self.to_unit(x) * 255 + 0.5).astype(np.uint8)


_CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
_BYTE = 1 / 255  # Dividing by it brings [0, 1] back to 0-255.

PREPROCESSINGS = {
  # torchvision's networks.
  'imagenet': Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
  # Caffe's, and the first Keras': 0-255, the mean subtracted, blue first.
  'caffe': Preprocessing(_CAFFE_MEAN, (_BYTE,) * 3, bgr=True),
  # MatConvNet's: the same with red first.
  'matconvnet': Preprocessing(_CAFFE_MEAN, (_BYTE,) * 3),
  # -1 to 1: TensorFlow's networks, and torchvision's GoogLeNet.
  'symmetric': Preprocessing((0.5,) * 3, (0.5,) * 3),
  # 0 to 1.
  'unit': Preprocessing((0.0,) * 3, (1.0,) * 3),
  'gray': Preprocessing((0.0,), (1.0,), gray=True),
}


def preprocessing(name: str) -> Preprocessing:
  """A preprocessing by its name.

  Raises:
    UserError: for an unknown name, with its near matches.
  """
  if name not in PREPROCESSINGS:
    hint = did_you_mean(name, list(PREPROCESSINGS)) or f'; use {", ".join(PREPROCESSINGS)}'
    raise UserError(f'preprocessing {name!r} is not known{hint}')
  return PREPROCESSINGS[name]
