"""Small networks and images with fixed numbers, shared by the tests and by `tests/record.py`."""

import numpy as np

SMALL_AREAS = (0.1, 0.3)
SMALL_TARGET = 2


def small_weights() -> list[tuple[np.ndarray, np.ndarray, int]]:
  """Two convolutions (kernel `[3, 3, in, out]`, bias, stride), softplus after each, then a mean."""
  random = np.random.RandomState(0)
  return [
    (random.randn(3, 3, 3, 8).astype(np.float32), random.randn(8).astype(np.float32), 2),
    (random.randn(3, 3, 8, 5).astype(np.float32), random.randn(5).astype(np.float32), 1),
  ]


def small_image() -> np.ndarray:
  """float32 `[32, 32, 3]`."""
  return np.random.RandomState(1).randn(32, 32, 3).astype(np.float32)


def small_parameters() -> np.ndarray:
  """Mask parameters float32 `[2, 16, 16]` in [0, 1]."""
  return np.random.RandomState(2).rand(2, 16, 16).astype(np.float32)
