"""Photographs from files, as 8-bit RGB arrays of the size a network takes."""

from collections.abc import Iterator
import dataclasses
import glob
import importlib.resources
import os
import pathlib
from typing import Literal
import warnings

import numpy as np
from PIL import Image, ImageOps

from perturb.errors import UserError, did_you_mean

Fit = Literal['crop', 'aspect', 'squash']
MIN_SIDE = 16  # pixels; below that an enlarged picture shows nothing but the interpolation
MAX_PIXELS = 89_478_485  # Pillow's guard against decompression bombs

BUNDLED = ('astronaut', 'camera', 'chelsea', 'coffee', 'motorcycle_left', 'rocket')


class ImageError(UserError):
  """An image that cannot be used; the message names the file and says why."""


@dataclasses.dataclass(frozen=True)
class Source:
  """A picture to explain: its name in results and figures, and its file."""

  name: str
  path: str


def _bundled() -> dict[str, str]:
  folder = pathlib.Path(str(importlib.resources.files('skimage') / 'data'))
  return {path.stem: str(path) for path in sorted(folder.iterdir()) if path.stem in BUNDLED}


def _matches(pattern: str) -> list[str]:
  if os.path.isfile(pattern):
    return [pattern]
  if os.path.isdir(pattern):
    pattern = os.path.join(glob.escape(pattern), '*')
  return sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))


def _unique(names: list[str]) -> Iterator[str]:
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
      problems.append(f'images: the folder {item!r} holds no file')
    elif not found:
      problems.append(f'images: {item!r} does not exist{did_you_mean(item, list(bundled))}')
    paths += found
  names = _unique([pathlib.Path(path).stem for path in paths])
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


def _fit(image: Image.Image, size: int, fit: Fit) -> Image.Image:
  if fit == 'squash':
    return image.resize((size, size), Image.Resampling.BICUBIC)
  scale = size / min(image.size)
  width, height = (max(round(side * scale), size) for side in image.size)
  image = image.resize((width, height), Image.Resampling.BICUBIC)
  if fit == 'aspect':
    return image
  left, top = (width - size) // 2, (height - size) // 2
  return image.crop((left, top, left + size, top + size))


def load_image(path: str, *, size: int, fit: Fit = 'crop') -> np.ndarray:
  """Reads a picture: any format and mode that Pillow reads, turned upright by its EXIF tag.

  Greyscale, 16-bit and palette images become 8-bit RGB; transparency is laid over white.

  Args:
    path: of the file.
    size: of the shorter side of the result, in pixels (bicubic, antialiased).
    fit: 'crop' to the centred square; 'aspect' keeps the whole picture; 'squash' to a square.

  Returns:
    uint8 `[H, W, 3]`.

  Raises:
    ImageError: names the file and what is wrong with it.
  """
  try:
    if os.path.getsize(path) == 0:
      raise ImageError(f'{path}: the file is empty')
    with warnings.catch_warnings():
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      with Image.open(path) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
          raise ImageError(
            f'{path}: {width} x {height} pixels is over the limit of '
            f'{MAX_PIXELS // 10**6} million; make a smaller copy'
          )
        if min(width, height) < MIN_SIDE:
          raise ImageError(
            f'{path}: {width} x {height} pixels is too small; '
            f'both sides must be at least {MIN_SIDE}'
          )
        upright = ImageOps.exif_transpose(image)
        return np.asarray(_fit(_to_rgb(upright), size, fit))
  except Image.DecompressionBombError as error:
    raise ImageError(f'{path}: too many pixels ({error})') from error
  except Image.UnidentifiedImageError as error:
    raise ImageError(f'{path}: not an image in a format that is known here') from error
  except FileNotFoundError as error:
    raise ImageError(f'{path}: no such file') from error
  except (OSError, SyntaxError, ValueError, EOFError) as error:
    if isinstance(error, ImageError):
      raise
    raise ImageError(f'{path}: cannot be read as an image ({error})') from error
