"""Photographs from files: which ones there are, their sizes, and their pixels as 8-bit RGB."""

from collections.abc import Iterator
import contextlib
import dataclasses
import glob
import importlib.resources
import io
import os
import pathlib
from typing import IO, NamedTuple
import warnings

import numpy as np
from PIL import ExifTags, Image

from perturb.data.fitting import Fit, fit_picture
from perturb.data.names import unique_names
from perturb.data.pixels import Encoding, encoding_of, to_rgb
from perturb.errors import ImageError, did_you_mean, printable

File = str | IO[bytes]
MIN_SIDE = 16  # pixels; below that an enlarged picture shows nothing but the interpolation
MAX_PIXELS = 89_478_485  # Pillow's guard against decompression bombs

# What turns a picture upright, by its orientation in EXIF or XMP; any other value turns nothing.
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
_SWAPPING = (5, 6, 7, 8)
# Formats whose first bytes have the size and the orientation; others are decoded to learn them.
_SAID_FIRST = ('JPEG', 'MPO', 'TIFF', 'WEBP', 'GIF', 'BMP', 'PPM', 'JPEG2000', 'AVIF')

# What matters is an error here, and said so. Once for all threads: a filter is not a thread's own.
warnings.filterwarnings('ignore', module=r'PIL\.')

BUNDLED = ('astronaut', 'camera', 'chelsea', 'coffee', 'motorcycle_left', 'rocket')


@dataclasses.dataclass(frozen=True)
class Source:
  """A picture to explain.

  Attributes:
    name: in results, figures and names of files.
    path: of its file; or its record, in words.
  """

  name: str
  path: str

  @property
  def place(self) -> str:
    """The path as errors and tables show it."""
    return printable(self.path)


def bundled_folder() -> pathlib.Path:
  """The folder of the pictures that scikit-image carries."""
  return pathlib.Path(str(importlib.resources.files('skimage') / 'data'))


def _bundled() -> dict[str, str]:
  paths = sorted(bundled_folder().iterdir())
  return {path.stem: str(path) for path in paths if path.stem in BUNDLED}


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
      problems.append(
        f'images: the folder {item!r} holds no picture; with a subfolder for each class it is '
        f"'classes:{item}'"
      )
    elif not found:
      problems.append(f'images: {item!r} does not exist{did_you_mean(item, list(bundled))}')
    paths += found
  names = unique_names([pathlib.Path(path).stem for path in paths])
  return [Source(name, path) for name, path in zip(names, paths, strict=True)], problems


class Header(NamedTuple):
  """What is known of a picture before its pixels are used.

  Attributes:
    image: as it is stored.
    size: (width, height) once it is upright.
    stored: (width, height) as it is stored.
    turn: what makes the stored picture upright; None if it is.
    encoding: of its pixels.
  """

  image: Image.Image
  size: tuple[int, int]
  stored: tuple[int, int]
  turn: Image.Transpose | None
  encoding: Encoding


def _header_of(image: Image.Image) -> Header:
  encoding = encoding_of(image)
  if image.format not in _SAID_FIRST:
    image.load()
  stored = _stored_size(image)
  orientation = _orientation(image)
  size = stored[::-1] if orientation in _SWAPPING else stored
  return Header(image, size, stored, _TURNS.get(orientation), encoding)


def _orientation(image: Image.Image) -> int:
  """1 to 8; 1, upright, where a file says nothing that has a meaning."""
  try:
    found = image.getexif().get(ExifTags.Base.Orientation)
    return next((known for known in _TURNS if known == found), 1)
  except Exception:  # Damage there is none of the pixels'.
    return 1


def _stored_size(image: Image.Image) -> tuple[int, int]:
  """(width, height) as it is stored; for a TIFF, Pillow's own is that of some orientations."""
  if image.format != 'TIFF':
    return image.size
  tags = image.tag_v2  # type: ignore[attr-defined]
  return tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]


def _check_size(size: tuple[int, int], place: str) -> None:
  width, height = size
  if width * height > MAX_PIXELS:
    raise ImageError(
      f'{place}: {width} x {height} pixels is over the limit of '
      f'{MAX_PIXELS // 10**6} million; make a smaller copy'
    )
  if min(width, height) < MIN_SIDE:
    raise ImageError(
      f'{place}: {width} x {height} pixels is too small; both sides must be at least {MIN_SIDE}'
    )


@contextlib.contextmanager
def opened(file: File, place: str) -> Iterator[Header]:
  """A picture whose pixels may not be read yet; what is wrong with it, in a line."""
  try:
    if isinstance(file, str) and os.path.getsize(file) == 0:
      raise ImageError(f'{place}: the file is empty')
    with Image.open(file) as image:
      _check_size(image.size, place)
      yield _header_of(image)
  except Image.DecompressionBombError as error:
    raise ImageError(f'{place}: too many pixels ({error})') from error
  except Image.UnidentifiedImageError as error:
    raise ImageError(f'{place}: not an image in a format that is known here') from error
  except FileNotFoundError as error:
    raise ImageError(f'{place}: no such file') from error
  except MemoryError as error:
    raise ImageError(f'{place}: there is not enough memory to decode it') from error
  except ImageError:
    raise
  except Exception as error:  # Decoders raise whatever they stumble over in a damaged file.
    line = str(error) or type(error).__name__
    raise ImageError(f'{place}: cannot be read as an image ({line})') from error


def picture_size(file: File, place: str) -> tuple[int, int]:
  """(width, height) in pixels of the picture that `open_picture` gives.

  From its first bytes where these tell; a PNG, for one, is decoded: its orientation may come last.

  Raises:
    ImageError: as `open_picture`.
  """
  with opened(file, place) as header:
    return header.size


def open_picture(file: File, place: str) -> Image.Image:
  """Decodes a picture: any format that Pillow reads, turned upright, as 8-bit RGB.

  The orientation is that of EXIF, or else of XMP. Of several frames or pages it is the first. See
  `perturb.data.pixels` for which value is white; transparency is laid over white.

  Args:
    file: its path, or an open file.
    place: what an error calls it.

  Raises:
    ImageError: names the place and what is wrong there.
  """
  with opened(file, place) as header:
    return to_rgb(upright_image(header), header.encoding, place)


def upright_image(header: Header) -> Image.Image:
  """The picture, decoded, turned upright, with its values as they are stored."""
  header.image.load()
  # Pillow turns a TIFF while it decodes it.
  if header.turn is None or header.encoding.format == 'TIFF':
    return header.image
  return header.image.transpose(header.turn)


def open_cutout(file: File, place: str) -> Image.Image:
  """Decodes a picture with its transparency, turned upright, as 8-bit RGBA.

  Args:
    file: its path, or an open file.
    place: what an error calls it.

  Raises:
    ImageError: names the place and what is wrong there; it may be that nothing is transparent.
  """
  with opened(file, place) as header:
    upright = upright_image(header)
    if not upright.has_transparency_data:
      raise ImageError(f'{place}: has no alpha channel; save the object as a PNG with one')
    return upright.convert('RGBA')


def png_file(pixels: np.ndarray) -> IO[bytes]:
  """uint8 `[H, W]` or `[H, W, 3]` as a PNG file in memory."""
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'png')
  file.seek(0)
  return file


def load_image(path: str, *, size: int, fit: Fit = 'crop') -> np.ndarray:
  """A picture of a file at the size of a network, uint8 `[H, W, 3]`.

  See `open_picture` for what can be read, `fit_picture` for the arguments.

  Raises:
    ImageError: names the file and what is wrong with it.
  """
  return fit_picture(open_picture(path, path), size=size, fit=fit, place=path)
