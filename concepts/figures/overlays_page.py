"""One self-contained HTML page of similarity overlays (Fong et al., VISxAI 2021).

The page computes the similarities itself, from the packed activations.
"""

import base64
from collections.abc import Callable
import hashlib
from typing import Any
import zlib

import matplotlib
import numpy as np
from PIL import Image

from concepts.figures.overlay_views import Groups, LayerView, Overlay, Picture, TransformView
from concepts.packing import Packed
from perturb.errors import UserError, check_choice, printable
from perturb.figures.pages import data_url, text_of, with_data

PICTURE_SIDE = 448  # Pixels at most.
QUALITY = 75  # Of 100.
SMALL = 64  # Up to this side nothing is lost; a digit's edges would ring.
KINDS = ('rotation', 'scale')
STEPS = 255  # Colours on each side of zero.
_PACKAGE = 'concepts.figures'


def overlays_page(overlay: Overlay) -> str:
  """The page, which asks for nothing from outside and opens from disk.

  Names are shown as text. Bytes are deflated, which takes about a fifth off the codes.

  Args:
    overlay: what is shown.

  Returns:
    HTML.

  Raises:
    UserError: where parts do not belong together, with the layer or transform.
  """
  _check(overlay)
  style, script = (text_of(_PACKAGE, f'overlays.{kind}').strip() for kind in ('css', 'js'))
  page = text_of(_PACKAGE, 'overlays.html')
  for place, text in (
    ('/*STYLE*/', style),
    ('/*SCRIPT*/', script),
    ('STYLE_HASH', _hashed(style)),
    ('SCRIPT_HASH', _hashed(script)),
  ):
    page = page.replace(place, text)
  return with_data(page, _data(overlay))


def _hashed(text: str) -> str:
  """A source of the content security policy: nothing but this text runs."""
  return 'sha256-' + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(overlay: Overlay) -> dict[str, Any]:
  return {
    'title': printable(overlay.title),
    'about': printable(overlay.about),
    'shown': int(overlay.shown),
    'pictures': [_picture(picture) for picture in overlay.pictures],
    'layers': [_layer(layer) for layer in overlay.layers],
    'transforms': [_transform(one, overlay.layers) for one in overlay.transforms],
    'colours': {name: _deflated(table) for name, table in colour_tables().items()},
  }


def _picture(picture: Picture) -> dict[str, Any]:
  height, width = picture.pixels.shape[:2]
  image = Image.fromarray(picture.pixels)
  small = max(image.size) <= SMALL
  image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
  url = data_url(image, 'webp', lossless=small, quality=100 if small else QUALITY)
  return {'name': printable(picture.name), 'width': width, 'height': height, 'picture': url}


def _deflated(array: np.ndarray) -> str:
  """The bytes of an array, deflated."""
  return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode()


def _joined(arrays: list[np.ndarray], kind: Any) -> np.ndarray:
  return np.concatenate([np.asarray(array, kind).ravel() for array in arrays])


def _packed(packed: Packed) -> dict[str, Any]:
  """Without the inverse lengths, which the page finds from the codes."""
  return {
    'sizes': [list(codes.shape[:2]) for codes in packed.codes],
    'axes': int(packed.codes[0].shape[2]),
    'codes': _deflated(_joined(packed.codes, np.int8)),
    'lengths': _deflated(_joined(packed.lengths, '<f4')),
    'kept': float(packed.kept),
    'error': float(packed.error),
  }


def _layer(layer: LayerView) -> dict[str, Any]:
  return {
    'name': printable(layer.name),
    'packed': _packed(layer.packed),
    'classes': [[printable(name), _packed(packed)] for name, packed in layer.classes.items()],
    'groups': layer.groups and _groups(layer.groups),
  }


def _groups(groups: Groups) -> dict[str, Any]:
  codes = [255 * np.clip(one, 0, 1) + 0.5 for one in groups.maps]
  return {'count': int(groups.maps[0].shape[2]), 'maps': _deflated(_joined(codes, np.uint8))}


def _transform(one: TransformView, layers: list[LayerView]) -> dict[str, Any]:
  """Its places are in the order of the layers; None for a layer without."""
  places = [one.places.get(layer.name) for layer in layers]
  return {
    'kind': one.kind,
    'source': printable(one.source),
    'amounts': [float(amount) for amount in one.amounts],
    'pictures': [int(index) for index in one.pictures],
    'places': [None if place is None else _deflated(place.astype('<i2')) for place in places],
  }


def _check(overlay: Overlay) -> None:
  pictures, shown = len(overlay.pictures), overlay.shown
  if not overlay.layers:
    raise UserError('the overlays have no layer; give at least one')
  if not 1 <= shown <= pictures:
    raise UserError(f'shown is {shown}: it must be from 1 to the number of pictures, {pictures}')
  for layer in overlay.layers:
    _check_packed(f'layer {layer.name!r}', layer.packed, pictures)
    for name, packed in layer.classes.items():
      _check_packed(f'class {name!r} of layer {layer.name!r}', packed, shown)
      _check_sizes(f'class {name!r}', layer, packed.codes)
    if layer.groups:
      _check_count(f'the groups of layer {layer.name!r}', len(layer.groups.maps), shown)
      _check_sizes('groups', layer, layer.groups.maps)
  for one in overlay.transforms:
    _check_transform(one, overlay)


def _check_count(what: str, found: int, expected: int) -> None:
  if found != expected:
    raise UserError(f'{what}: {found} pictures, but the page has {expected}')


def _check_packed(what: str, packed: Packed, pictures: int) -> None:
  _check_count(what, len(packed.codes), pictures)
  for codes, lengths in zip(packed.codes, packed.lengths, strict=True):
    if codes.ndim != 3 or 0 in codes.shape or lengths.shape != codes.shape[:2]:
      raise UserError(
        f'{what}: codes {codes.shape} with lengths {lengths.shape}; give [H, W, k] and [H, W]'
      )


def _check_sizes(what: str, layer: LayerView, maps: list[np.ndarray]) -> None:
  for codes, one in zip(layer.packed.codes, maps, strict=False):
    if one.shape[:2] != codes.shape[:2]:
      raise UserError(
        f'layer {layer.name!r}: {what} has {one.shape[:2]} patches where the layer has '
        f'{codes.shape[:2]}'
      )


def _check_transform(one: TransformView, overlay: Overlay) -> None:
  what = f'{one.kind} of {one.source!r}'
  check_choice(what, one.kind, KINDS)
  steps = len(one.amounts)
  if not steps or len(one.pictures) != steps:
    raise UserError(f'{what}: {steps} amounts for {len(one.pictures)} pictures')
  if not all(0 <= index < len(overlay.pictures) for index in one.pictures):
    raise UserError(f'{what}: it has pictures {one.pictures} of {len(overlay.pictures)}')
  for layer in overlay.layers:
    if (places := one.places.get(layer.name)) is None:
      continue
    sizes = {layer.packed.codes[index].shape[:2] for index in one.pictures}
    expected = {(steps, steps, height * width) for height, width in sizes}
    if expected != {places.shape} or places.max() >= places.shape[2]:
      raise UserError(f'{what}: places {places.shape} do not fit layer {layer.name!r}, {sizes}')


# Colours.


def colour_tables() -> dict[str, np.ndarray]:
  """The colours of -1 to 1 by the name of the map: uint8 RGBA `[2 * STEPS + 1, 4]`.

  - `amber`: zero is dark; what is alike goes through orange to light yellow, what is opposed to
    light blue. Lightness (OKLab) is linear in the number on either side, and the two sides differ
    in blue against yellow, which those with red-green blindness tell apart.
  - `grey`: the article's: white is alike, what is not above zero black.
  - `light`: the picture itself, darkened where it is not alike.
  - `difference`: purple to green (ColorBrewer's PRGn), the middle light.
  """
  values = np.linspace(-1, 1, 2 * STEPS + 1)
  above = np.clip(values, 0, 1)
  opaque = np.ones_like(values)
  ramp = np.stack([above] * 3, 1)
  diverging = matplotlib.colormaps['PRGn'](values / 2 + 0.5)[:, :3]
  return {
    'amber': _rgba(np.where(values[:, None] < 0, _hued(-values, _cold), _hued(values, _warm))),
    'grey': _rgba(ramp),
    'light': _rgba(0 * ramp, opaque - above),
    'difference': _rgba(diverging),
  }


def _rgba(colours: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
  alpha = np.ones(len(colours)) if alpha is None else alpha
  return (255 * np.clip(np.c_[colours, alpha], 0, 1) + 0.5).astype(np.uint8)


def _warm(share: np.ndarray) -> np.ndarray:
  return np.radians(12 + 93 * share)


def _cold(share: np.ndarray) -> np.ndarray:
  return np.radians(265 - 40 * share)


def _hued(share: np.ndarray, hue: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
  """Colours `[N, 3]` from dark to light, lightness linear; as colourful as sRGB allows, nearly."""
  share = np.clip(share, 0, 1)
  lightness, angle = 0.13 + 0.83 * share, hue(share)
  inside, outside = np.zeros_like(share), np.full_like(share, 0.4)
  for _ in range(20):
    middle = (inside + outside) / 2
    linear = _linear_rgb(lightness, middle, angle)
    fits = np.all((linear >= 0) & (linear <= 1), 1)
    inside, outside = np.where(fits, middle, inside), np.where(fits, outside, middle)
  linear = np.clip(_linear_rgb(lightness, 0.9 * inside, angle), 0, 1)
  return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _linear_rgb(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
  """Linear sRGB of OKLab colours (Ottosson, 2020)."""
  lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)])
  cones = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728],
     [1, -0.0894841775, -1.2914855480]]
  )  # fmt: skip
  rgb = np.array(
    [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
     [-0.0041960863, -0.7034186147, 1.7076147010]]
  )  # fmt: skip
  return (rgb @ (cones @ lab) ** 3).T
