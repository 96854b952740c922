"""Photographs from files, as 8-bit RGB arrays of the size a network takes."""

from collections.abc import Iterator
import contextlib
import dataclasses
import glob
import importlib.resources
import os
import pathlib
from typing import IO, Literal
import warnings

import numpy as np
from PIL import Image, ImageOps

from perturb.errors import UserError, did_you_mean

File = str | IO[bytes]
Fit = Literal['crop', 'aspect', 'squash']
MIN_SIDE = 16  # pixels; below that an enlarged picture shows nothing but the interpolation
MAX_PIXELS = 89_478_485  # Pillow's guard against decompression bombs

_ORIENTATION = 0x0112  # EXIF's; from 5 on the sides are swapped.

# What matters is an error here, and said so. Once for all threads: a filter is not a thread's own.
warnings.filterwarnings('ignore', module=r'PIL\.')

BUNDLED = ('astronaut', 'camera', 'chelsea', 'coffee', 'motorcycle_left', 'rocket')


class ImageError(UserError):
  """An image that cannot be used; the message names the file and says why."""


@dataclasses.dataclass(frozen=True)
class Source:
  """A picture to explain: its name in results and figures, and its file, or record."""

  name: str
  path: str


def _bundled() -> dict[str, str]:
  folder = pathlib.Path(str(importlib.resources.files('skimage') / 'data'))
  return {path.stem: str(path) for path in sorted(folder.iterdir()) if path.stem in BUNDLED}


def is_hidden(path: pathlib.Path) -> bool:
  """Whether a file or folder is none of a person's, as `.git` or `__MACOSX`."""
  return path.name.startswith(('.', '__'))


def may_be_picture(path: pathlib.Path) -> bool:
  """Whether a path in a folder may be a picture, by its name: not hidden, no `notes.txt`."""
  known = not path.suffix or path.suffix.lower() in Image.registered_extensions()
  return known and not is_hidden(path) and path.is_file()


def _matches(pattern: str) -> list[str]:
  if os.path.isfile(pattern):
    return [pattern]
  if os.path.isdir(pattern):
    return sorted(str(path) for path in pathlib.Path(pattern).iterdir() if may_be_picture(path))
  return sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))


def unique_names(names: list[str]) -> Iterator[str]:
  """The names, with a number after those that came before in whatever case."""
  seen: set[str] = set()
  for name in names:
    candidate, count = name, 2
    while candidate.lower() in seen:
      candidate, count = f'{name}_{count}', count + 1
    seen.add(candidate.lower())
    yield candidate


def find_images(images: str) -> tuple[list[Source], list[str]]:
  """The pictures that a config names.

  Args:
    images: paths, folders, globs, and names of photographs that scikit-image carries
      (`BUNDLED`), separated by commas. A file of that very name is taken as it is.

  Returns:
    (the sources in order, with distinct names; a line for each item that matches nothing).
  """
  items = [images] if os.path.exists(images) else [i.strip() for i in images.split(',')]
  bundled = _bundled()
  paths: list[str] = []
  problems: list[str] = []
  for item in filter(None, items):
    found = _matches(item) or ([bundled[item]] if item in bundled else [])
    if not found and glob.has_magic(item):
      problems.append(f'images: {item!r} matches no file')
    elif not found and os.path.isdir(item):
      problems.append(f'images: the folder {item!r} holds no picture')
    elif not found:
      problems.append(f'images: {item!r} does not exist{did_you_mean(item, list(bundled))}')
    paths += found
  names = unique_names([pathlib.Path(path).stem for path in paths])
  return [Source(name, path) for name, path in zip(names, paths, strict=True)], problems


def _to_rgb(image: Image.Image) -> Image.Image:
  if image.mode.startswith('I') or image.mode == 'F':  # 16 or 32 bits a pixel, one channel
    values = np.asarray(image, np.float64)
    top = 65535 if values.max(initial=0) > 255 else 255
    image = Image.fromarray((np.clip(values / top, 0, 1) * 255 + 0.5).astype(np.uint8))
  if image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    return Image.alpha_composite(white, image).convert('RGB')
  return image.convert('RGB')


def fitted_shape(
  width: int, height: int, *, size: int, fit: Fit, multiple: int = 1
) -> tuple[int, int]:
  """(H, W) of a picture of so many pixels once it is fitted; see `fit_picture`."""
  if fit != 'aspect':
    return size, size
  sides = _scaled(width, height, size)
  width, height = (max(side // multiple * multiple, size) for side in sides)
  return height, width


def _scaled(width: int, height: int, size: int) -> tuple[int, int]:
  scale = size / min(width, height)
  return max(round(width * scale), size), max(round(height * scale), size)


def fit_picture(
  picture: Image.Image, *, size: int, fit: Fit = 'crop', multiple: int = 1, scale: int = 1
) -> np.ndarray:
  """A picture at the size of a network: bicubic, antialiased.

  Args:
    picture: RGB.
    size: of the shorter side of the result, in pixels.
    fit: 'crop' to the centred square; 'aspect' keeps the whole picture; 'squash' to a square.
    multiple: with 'aspect', the longer side is cropped, evenly at both ends, to a multiple of so
      many pixels: pictures of many shapes become pictures of a few.
    scale: the same part of the picture, with so many times as many pixels along each side.

  Returns:
    uint8 `[scale H, scale W, 3]`.
  """
  shape = fitted_shape(*picture.size, size=size, fit=fit, multiple=multiple)
  height, width = (scale * side for side in shape)
  if fit == 'squash':
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
  across, down = (scale * side for side in _scaled(*picture.size, size))
  scaled = picture.resize((across, down), Image.Resampling.BICUBIC)
  left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
  return np.asarray(scaled.crop((left, top, left + width, top + height)))


@contextlib.contextmanager
def _opened(file: File, place: str) -> Iterator[Image.Image]:
  """A picture whose pixels are not read yet; what is wrong with it, in a line."""
  try:
    if isinstance(file, str) and os.path.getsize(file) == 0:
      raise ImageError(f'{place}: the file is empty')
    with Image.open(file) as image:
      width, height = image.size
      if width * height > MAX_PIXELS:
        raise ImageError(
          f'{place}: {width} x {height} pixels is over the limit of '
          f'{MAX_PIXELS // 10**6} million; make a smaller copy'
        )
      if min(width, height) < MIN_SIDE:
        raise ImageError(
          f'{place}: {width} x {height} pixels is too small; both sides must be at least {MIN_SIDE}'
        )
      yield image
  except Image.DecompressionBombError as error:
    raise ImageError(f'{place}: too many pixels ({error})') from error
  except Image.UnidentifiedImageError as error:
    raise ImageError(f'{place}: not an image in a format that is known here') from error
  except FileNotFoundError as error:
    raise ImageError(f'{place}: no such file') from error
  except ImageError:
    raise
  except Exception as error:  # Decoders raise whatever they stumble over in a damaged file.
    raise ImageError(f'{place}: cannot be read as an image ({error})') from error


def picture_size(file: File, place: str) -> tuple[int, int]:
  """(width, height) in pixels of an upright picture, from its first bytes.

  Raises:
    ImageError: as `open_picture`.
  """
  with _opened(file, place) as image:
    turned = image.getexif().get(_ORIENTATION, 1) >= 5
    return (image.height, image.width) if turned else (image.width, image.height)


def open_picture(file: File, place: str) -> Image.Image:
  """Decodes a picture: any format and mode that Pillow reads, turned upright by its EXIF tag.

  Greyscale, 16-bit and palette images become 8-bit RGB; transparency is laid over white.

  Args:
    file: its path, or an open file.
    place: what an error calls it.

  Raises:
    ImageError: names the place and what is wrong there.
  """
  with _opened(file, place) as image:
    return _to_rgb(ImageOps.exif_transpose(image))


def load_image(path: str, *, size: int, fit: Fit = 'crop') -> np.ndarray:
  """A picture of a file at the size of a network, uint8 `[H, W, 3]`.

  See `open_picture` for what can be read, `fit_picture` for the arguments.

  Raises:
    ImageError: names the file and what is wrong with it.
  """
  return fit_picture(open_picture(path, path), size=size, fit=fit)
