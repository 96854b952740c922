"""Pictures whose pixels are numbers of labels."""

import numpy as np

from perturb.data.images import opened, upright_image
from perturb.errors import ImageError

# Pillow spreads grey levels of few bits over 0 to 255.
_SPREAD = {'L;2': 85, 'L;4': 17}


def read_two_bytes(path: str, size: tuple[int, int]) -> np.ndarray:
  """A map of BRODEN: the number of a pixel is its red + 256 times its green; blue is 0.

  Args:
    path: of the picture.
    size: (height, width) that it must have.

  Returns:
    int32 `[height, width]`.

  Raises:
    ImageError: names the file and what is wrong with it.
  """
  with opened(path, path) as header:
    image = upright_image(header)
    if image.mode != 'RGB':
      raise ImageError(f'{path}: a label is red + 256 green of RGB pixels, not of {image.mode}')
    red, green, blue = np.moveaxis(np.asarray(image, np.int32), -1, 0)
  if red.shape != size:
    raise ImageError(
      f'{path}: is {red.shape[1]} x {red.shape[0]} pixels, not {size[1]} x {size[0]} (sw x sh)'
    )
  if blue.any():
    raise ImageError(f'{path}: a label is red + 256 green; blue must be 0')
  return red + 256 * green


def read_indices(path: str) -> np.ndarray:
  """A map of one number a pixel: the index of a palette, or a grey of 1 to 16 bits.

  Returns:
    int32 `[H, W]`, of the upright picture.

  Raises:
    ImageError: names the file and what is wrong with it.
  """
  with opened(path, path) as header:
    image = upright_image(header)
    if image.mode not in ('1', 'P', 'L', 'I', 'I;16', 'I;16B', 'I;16L'):
      raise ImageError(
        f'{path}: a label is the index of a palette or a grey; its pixels are {image.mode}'
      )
    return np.asarray(image).astype(np.int32) // _SPREAD.get(header.encoding.layout, 1)


def nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """A map `[H, W]` at another size, each pixel with the label at its middle."""
  rows, columns = (
    (2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(labels.shape, size, strict=True)
  )
  return labels[rows[:, None], columns]
