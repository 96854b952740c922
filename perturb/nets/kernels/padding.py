"""How many zeros go around an image before a window slides over it."""

from collections.abc import Sequence

Padding = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right)), pixels.


def symmetric(pixels: int) -> Padding:
  """The same on the four sides."""
  return (pixels, pixels), (pixels, pixels)


def same(shape: Sequence[int], window: int, stride: int) -> Padding:
  """TensorFlow's SAME padding of a [H, W] image: the odd pixel goes to the bottom right."""

  def side(size: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2

  return side(shape[0]), side(shape[1])


def rounded_up(shape: Sequence[int], window: int, stride: int, pixels: int) -> Padding:
  """Symmetric padding, and what the last window lacks to cover the last pixels.

  This is Caffe's size of a pooled image, and PyTorch's `ceil_mode`: the last window is dropped
  where it would begin in the padding.
  """

  def side(size: int) -> tuple[int, int]:
    outputs = -(-(size + 2 * pixels - window) // stride) + 1
    if (outputs - 1) * stride >= size + pixels:
      outputs -= 1
    return pixels, max((outputs - 1) * stride + window - size - pixels, 0)

  return side(shape[0]), side(shape[1])
