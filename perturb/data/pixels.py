"""Pixels of any format as 8-bit RGB. What is black and what is white is said by the format and the
type of the values, never by the values: pictures that are nearly the same stay so.

| values | black | white |
|---|---|---|
| 1 to 8 bits a channel; 16 bits a channel in colour | 0 | the largest of the type |
| 16 bits, grey: PNG, JPEG 2000, TIFF | 0 | 65535 |
| 12 bits, grey: TIFF | 0 | 4095 |
| PGM and PPM | 0 | the maximum that the file states |
| floats: TIFF, PFM | 0 | 1; a value outside is refused |
| integers that are signed or have 32 bits; 16 bits in other formats | | refused |

A TIFF that says that its zero is white is inverted. Transparency is laid over white.
"""

from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageCms

from perturb.errors import ImageError

WHITE_16 = 65535
ROUNDING = 0.5 / 255  # How far a float may be outside [0, 1]: it is rounded to black or white.

_SIXTEEN = ('I;16', 'I;16L', 'I;16B', 'I;16N')
_FULL_RANGE = ('PNG', 'JPEG2000')  # Formats whose 16-bit values go up to 65535.
_SAMPLE_FORMAT, _SIGNED = 339, 2  # Of TIFF.
_GREYS_OF_FEW_BITS = {'L;2': 85, 'L;4': 17}  # How far apart they are, of 255.


class Encoding(NamedTuple):
  """How the pixels of a file are stored; known before they are decoded.

  Attributes:
    format: Pillow's name of it.
    layout: Pillow's name of that of the values.
    bits: of a value of a TIFF; 0 for another format.
    signed: whether a TIFF says so of its values.
    inverted: whether a TIFF says that its zero is white.
  """

  format: str
  layout: str
  bits: int
  signed: bool
  inverted: bool


def encoding_of(image: Image.Image) -> Encoding:
  """The encoding of a picture that is open and not decoded yet."""
  tags: Any = image.tag_v2 if image.format == 'TIFF' else {}  # type: ignore[attr-defined]
  return Encoding(
    format=image.format or '',
    layout=_layout(image),
    bits=tags.get(ExifTags.Base.BitsPerSample, (0,))[0],
    signed=_SIGNED in tags.get(_SAMPLE_FORMAT, ()),
    inverted=tags.get(ExifTags.Base.PhotometricInterpretation) == 0,
  )


def _layout(image: Image.Image) -> str:
  tiles = getattr(image, 'tile', None)
  arguments = tiles[0].args if tiles else ''
  first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
  return first if isinstance(first, str) else ''


def to_rgb(image: Image.Image, encoding: Encoding, place: str) -> Image.Image:
  """A decoded picture as 8-bit RGB; itself if it is that.

  Args:
    image: of any mode.
    encoding: of its file.
    place: what an error calls it.

  Raises:
    ImageError: if it is not said which value is white, or floats are not in [0, 1].
  """
  if encoding.signed:
    raise ImageError(f'{place}: {_unclear("signed integers")}')
  if image.mode in _SIXTEEN or image.mode == 'I':
    image = _of_integers(image, encoding, place)
  elif image.mode == 'F':
    image = _of_floats(image, encoding, place)
  elif image.mode == 'LAB':
    return _of_lab(image)
  if image.has_transparency_data:
    return _over_white(image, encoding)
  return image if image.mode == 'RGB' else image.convert('RGB')  # Which would copy it.


def _unclear(values: str) -> str:
  return f'{values} do not say which value is white; save it with 8 or 16 bits, without a sign'


def _white(mode: str, encoding: Encoding) -> int | None:
  """The value of white of grey integers; None where it is not said."""
  if mode == 'I':  # Pillow scales those of PGM.
    return WHITE_16 if encoding.format == 'PPM' else None
  if encoding.format == 'TIFF':
    return 2**encoding.bits - 1
  return WHITE_16 if encoding.format in _FULL_RANGE else None


def _of_integers(image: Image.Image, encoding: Encoding, place: str) -> Image.Image:
  """8-bit grey, with its transparency if there is one."""
  white = _white(image.mode, encoding)
  if white is None:
    bits = '32-bit integers' if image.mode == 'I' else f'16-bit integers of {encoding.format}'
    raise ImageError(f'{place}: {_unclear(bits)}')
  levels = (np.arange(white + 1) / white * 255 + 0.5).astype(np.uint8)
  values = np.asarray(image)
  grey = (levels[::-1] if encoding.inverted else levels)[np.clip(values, 0, white)]
  clear = image.info.get('transparency')
  if clear is None:
    return Image.fromarray(grey)
  opaque = np.where(values == clear, 0, 255).astype(np.uint8)
  return Image.fromarray(np.stack([grey, opaque], axis=-1))


def _of_floats(image: Image.Image, encoding: Encoding, place: str) -> Image.Image:
  values = np.asarray(image)
  low, high = values.min(), values.max()
  if not (np.isfinite(low) and np.isfinite(high)):
    raise ImageError(f'{place}: has values that are not finite numbers')
  if low < -ROUNDING or high > 1 + ROUNDING:
    raise ImageError(
      f'{place}: its values are {low:g} to {high:g}, but of floats 0 is black and 1 is white; '
      'scale them, or save it with 8 or 16 bits'
    )
  if encoding.inverted:
    values = 1 - values
  return Image.fromarray((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8))


def _of_lab(image: Image.Image) -> Image.Image:
  lab, rgb = ImageCms.createProfile('LAB'), ImageCms.createProfile('sRGB')
  converted = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, rgb, 'LAB', 'RGB'))
  assert converted is not None  # As it would be if the picture itself were changed.
  return converted


def _over_white(image: Image.Image, encoding: Encoding) -> Image.Image:
  if encoding.format == 'PNG' and 'transparency' in image.info:
    image = _with_clear_colour_as_decoded(image, encoding.layout)
  if image.mode in ('La', 'RGBa'):  # Already multiplied with their opacity.
    image = image.convert(image.mode.upper())
  image = image.convert('RGBA')
  white = Image.new('RGBA', image.size, 'white')
  return Image.alpha_composite(white, image).convert('RGB')


def _with_clear_colour_as_decoded(image: Image.Image, layout: str) -> Image.Image:
  """A PNG states its transparent colour in its own bits; Pillow's pixels have eight."""
  clear = image.info['transparency']
  if layout in _GREYS_OF_FEW_BITS:
    clear *= _GREYS_OF_FEW_BITS[layout]
  elif layout.startswith('RGB;16'):
    clear = tuple(channel >> 8 for channel in clear)
  changed = image.copy()
  changed.info['transparency'] = clear
  return changed
