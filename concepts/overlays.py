"""The page of similarity overlays, from activations of any model, or from a network and pictures.

Source: Fong, Mordvintsev, Vedaldi and Olah, "Interactive Similarity Overlays", VISxAI 2021.
"""

from collections.abc import Iterator, Mapping, Sequence
import html
import os
import pathlib
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from PIL import Image

from concepts.channel_weights import channel_weights
from concepts.factor_groups import patch_groups
from concepts.figures.overlay_views import Groups, LayerView, Overlay, Picture, TransformView
from concepts.figures.overlays_page import overlays_page
from concepts.packing import THOROUGH, Packed, pack
from concepts.patch_similarity import Activations, as_activations, weighted
from concepts.transforms import Kind, places_of, transformed
from perturb.data.fitting import Fit, fit_picture
from perturb.data.images import find_images, open_picture
from perturb.data.names import unique_names
from perturb.errors import ImageError, UserError, did_you_mean, warn
from perturb.nets import Pretrained

HEIGHT = 760  # Of the page in a notebook, in pixels of the screen.
MOST_PATCHES = 4096  # Of a picture: the similarities of two have the square of it.
ONE_LAYER = 'activations'  # Its name where no name is given.


class Series(NamedTuple):
  """One picture transformed step by step.

  Attributes:
    kind: 'rotation' or 'scale'.
    source: name of the picture.
    amounts: T degrees, or factors of the area.
    pictures: the T of them.
  """

  kind: Kind
  source: str
  amounts: tuple[float, ...]
  pictures: list[Picture]


class Layer(NamedTuple):
  """What a layer makes of the N pictures and of all that were made of them.

  Attributes:
    name: of the layer.
    activations: `[h, w, C]` of each: the N pictures, then those of each `Series` in order.
    weights: name of a class -> weights of the channels `[C]`.
  """

  name: str
  activations: Sequence[Activations]
  weights: Mapping[str, np.ndarray]


class OverlayPage:
  """The page; a notebook shows it, in Jupyter and in VS Code, as the output of a cell.

  It stands in a frame of its own, so that neither its style nor its script touch the notebook.

  Attributes:
    html: the whole page, which loads nothing from outside.
  """

  def __init__(self, page: str, height: int = HEIGHT):
    self.html, self._height = page, height

  def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes the page as a file that a browser opens from disk; makes the folder."""
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(self.html, encoding='utf-8')
    return file

  def _repr_html_(self) -> str:
    return (
      f'<iframe srcdoc="{html.escape(self.html)}" title="Similarity overlays" loading="lazy" '
      f'sandbox="allow-scripts allow-downloads" width="100%" height="{self._height}" '
      'style="border: 0"></iframe>'
    )

  def __repr__(self) -> str:
    return f'OverlayPage of {len(self.html) / 2**20:.3g} MiB; .save(path) writes it'


def view_of(
  pictures: Sequence[Picture],
  layers: Sequence[Layer],
  *,
  series: Sequence[Series] = (),
  groups: int = 0,
  tolerance: float = 0.02,
  title: str = 'Similarity overlays',
  about: str = '',
) -> Overlay:
  """What the page is given.

  Args:
    pictures: N of them.
    layers: at least one.
    series: the transformed ones.
    groups: how many groups of patches each layer has; 0 for none. Negative activations are left out
      of these, which the page says.
    tolerance: of the cosines, see `pack`.
    title: of the page.
    about: beginning of its lines on how it was made.
  """
  count = len(pictures)
  views, said = list[LayerView](), list[str]()
  for layer in layers:
    view, words = _layer_view(layer, count, groups, tolerance)
    views.append(view)
    said.append(words)
  return Overlay(
    title,
    [*pictures, *(picture for one in series for picture in one.pictures)],
    count,
    views,
    list(_transforms(count, layers, series)),
    '; '.join(filter(None, [about, *said])),
  )


def overlay_of(
  activations: Mapping[str, Sequence[Activations]] | Sequence[Activations],
  pictures: Sequence[Any],
  *,
  names: Sequence[str] = (),
  weights: Mapping[str, Mapping[str, Activations]] | None = None,
  groups: int = 0,
  title: str = 'Similarity overlays',
  tolerance: float = 0.02,
) -> OverlayPage:
  """The page for activations of any model.

  Example:
    >>> a, b = np.random.default_rng(0).normal(size=(2, 7, 7, 64))
    >>> black = np.zeros((224, 224, 3), np.uint8)
    >>> page = concepts.overlay_of([a, b], [black, black], names=['left', 'right'])
    >>> page.html[:15]
    '<!doctype html>'

  Args:
    activations: `[H, W, C]` of each picture: arrays of NumPy or JAX, or tensors of PyTorch (which
      has channels first: `tensor.permute(1, 2, 0)`). Of several layers, by their names.
    pictures: what the model saw, in the same order: each a picture of Pillow, or uint8
      `[H, W, 3]`, or float in [0, 1]; a grey one may be `[H, W]`.
    names: of the pictures; by default their numbers.
    weights: of layers, by the name of a class, `[C]` each: what is alike for that class.
    groups: groups of patches in each layer; 0 for none.
    title: of the page.
    tolerance: how far a cosine of the page may be off; see `pack`.

  Raises:
    UserError: for another number of pictures than activations, or what is not of that shape.
  """
  layers = activations if isinstance(activations, Mapping) else {ONE_LAYER: activations}
  if not layers:
    raise UserError('activations: give at least one layer')
  if names and len(names) != len(pictures):
    raise UserError(f'{len(names)} names for {len(pictures)} pictures')
  if unknown := sorted(set(weights or {}) - set(layers)):
    raise UserError(f'weights: there is no layer {unknown[0]!r}; there are {", ".join(layers)}')
  each = names or [str(number) for number in range(1, len(pictures) + 1)]
  shown = [Picture(name, _pixels(one)) for name, one in zip(each, pictures, strict=True)]
  made = list[Layer]()
  for name, values in layers.items():
    if len(values) != len(pictures):
      raise UserError(f'{name}: {len(values)} activations for {len(pictures)} pictures')
    found = {key: np.asarray(one) for key, one in (weights or {}).get(name, {}).items()}
    arrays = [as_activations(one, f'{name} of picture {i + 1}') for i, one in enumerate(values)]
    for i, (one, picture) in enumerate(zip(arrays, shown, strict=True)):
      _check_shape(one.shape, picture.pixels.shape, f'{name} of picture {i + 1}')
    made.append(Layer(name, arrays, found))
  return OverlayPage(
    overlays_page(view_of(shown, made, groups=groups, title=title, tolerance=tolerance))
  )


def similarity_overlay(
  net: Pretrained,
  images: str | Sequence[Any],
  layers: Sequence[str],
  *,
  fit: Fit = 'crop',
  classes: Sequence[str | int] = (),
  groups: int = 0,
  rotations: Sequence[float] = (),
  scales: Sequence[float] = (),
  transformed: int = 1,
  title: str = 'Similarity overlays',
  tolerance: float = 0.02,
) -> OverlayPage:
  """The page for a network and pictures: the output of a notebook's cell.

  Example:
    >>> concepts.similarity_overlay(net, 'chelsea, coffee', ['conv1', 'conv3']).html[:15]
    '<!doctype html>'

  Args:
    net: the network.
    images: paths, folders, globs and names of bundled photographs, separated by commas; or
      pictures of Pillow, or arrays uint8 `[H, W, 3]`.
    layers: names of layers with an extent, each once.
    fit: to the network's size: 'crop', 'squash' or 'aspect'.
    classes: names or indices of classes for which patches may be alike; see `channel_weights`.
    groups: groups of patches in each layer; 0 for none.
    rotations: degrees by which the first pictures are turned.
    scales: factors of the area, at least 1, by which they are enlarged.
    transformed: of how many of the first pictures these are made.
    title: of the page.
    tolerance: how far a cosine of the page may be off; see `pack`.

  Raises:
    UserError: for a layer without extent, what the network does not have, or no picture at all. A
      picture that cannot be read is warned of, and left out.
  """
  check_extent(net, layers)
  shown = [
    Picture(name, fit_picture(Image.fromarray(pixels), size=net.size, fit=fit, place=name))
    for name, pixels in _opened(images)
  ]
  if not shown:
    raise UserError('images: there is no picture')
  series = series_of(shown[:transformed], rotations, scales)
  every = [*shown, *(picture for one in series for picture in one.pictures)]
  found = [net.activations(_input(net, one), layers) for one in every]
  names = class_indices(net, classes)
  inputs = [_input(net, one) for one in shown]
  weights = {name: channel_weights(net, inputs, layers, index) for name, index in names.items()}
  made = [
    Layer(
      layer,
      [np.asarray(one[layer][0]) for one in found],
      {name: one[layer] for name, one in weights.items()},
    )
    for layer in layers
  ]
  overlay = view_of(
    shown,
    made,
    series=series,
    groups=groups,
    title=title,
    tolerance=tolerance,
    about=type(net.network).__name__,
  )
  return OverlayPage(overlays_page(overlay))


def series_of(
  pictures: Sequence[Picture], rotations: Sequence[float], scales: Sequence[float]
) -> list[Series]:
  """The transformed pictures, of each picture those of both kinds; what is empty is left out."""
  kinds: dict[Kind, Sequence[float]] = {'rotation': rotations, 'scale': scales}
  return [
    Series(
      kind,
      picture.name,
      tuple(map(float, amounts)),
      [
        Picture(amount_name(picture.name, kind, one), transformed(picture.pixels, kind, one))
        for one in amounts
      ],
    )
    for picture in pictures
    for kind, amounts in kinds.items()
    if len(amounts)
  ]


def amount_name(picture: str, kind: Kind, amount: float) -> str:
  """The name of a transformed picture."""
  return f'{picture} {amount:g}°' if kind == 'rotation' else f'{picture} {amount:g}x'


def class_label(net: Pretrained, index: int) -> str:
  """A class's usual name; with its index where another has that too, as ImageNet's cranes."""
  name = net.class_name(index)
  twice = sum(line.split(',')[0] == name for line in net.class_names) > 1
  return f'{name} ({index})' if twice else name


def class_indices(
  net: Pretrained, classes: Sequence[str | int], field: str = 'classes'
) -> dict[str, int]:
  """Label -> index of classes, each once.

  Raises:
    UserError: for what is no class of the network, with the field.
  """
  if isinstance(classes, str):
    raise UserError(f'{field}: give a tuple of names, as ({classes!r},)')
  try:
    indices = dict.fromkeys(net.class_index(one) for one in classes)
  except UserError as error:
    raise UserError(f'{field}: {str(error).removeprefix("target ")}') from error
  return {class_label(net, index): index for index in indices}


def _known(net: Pretrained, layers: Sequence[str], field: str) -> None:
  """Refuses a layer that is not there, with near matches, or those that have an extent."""
  for layer in layers:
    try:
      net.network.resolve(layer)
    except UserError:
      names, aliases = net.network.layer_names(), net.network.aliases()
      wide = [name for name, one in net.shapes(names).items() if _has_extent(one.shape)]
      near = did_you_mean(
        layer, [one for one in (*aliases, *wide) if aliases.get(one, one) in wide]
      )
      hint = near or f'; those with an extent are {", ".join(wide)}'
      name = type(net.network).__name__
      raise UserError(f'{field}: {name} has no layer {layer!r}{hint}') from None


def _has_extent(shape: Sequence[int]) -> bool:
  return len(shape) == 4 and tuple(shape[1:-1]) != (1, 1)


def check_extent(net: Pretrained, layers: Sequence[str], field: str = 'layers') -> None:
  """Refuses no layer, one named twice, not there, without positions, or with too many."""
  if isinstance(layers, str) or not layers:
    raise UserError(f'{field}: give a list of at least one name')
  if twice := next((one for one in layers if list(layers).count(one) > 1), None):
    raise UserError(f'{field} names {twice!r} twice')
  _known(net, layers, field)
  for layer, found in net.shapes(layers).items():
    shape = found.shape[1:-1]
    if not _has_extent(found.shape):
      raise UserError(
        f'{field}: {layer!r} has one value a channel, and no positions; take one below'
      )
    if shape[0] * shape[1] > MOST_PATCHES:
      raise UserError(
        f'{field}: {layer!r} has {shape[0]} x {shape[1]} positions, over the limit of '
        f'{MOST_PATCHES}; take one above'
      )


def _layer_view(layer: Layer, count: int, groups: int, tolerance: float) -> tuple[LayerView, str]:
  """(the view, what is said of it)."""
  shown = [np.asarray(one, np.float32) for one in layer.activations[:count]]
  packed = pack(layer.activations, tolerance=tolerance)
  classes = {
    name: pack([weighted(one, values) for one in shown], tolerance=tolerance)
    for name, values in layer.weights.items()
  }
  words = _said(layer.name, packed)
  if not groups:
    return LayerView(layer.name, packed, classes, None), words
  made = patch_groups(shown, groups, clip=True)
  if made.clipped:
    words += f', groups of its positive part ({1 - made.clipped:.0%} of the squares)'
  return LayerView(layer.name, packed, classes, Groups(made.maps)), words


def _said(name: str, packed: Packed) -> str:
  some = sum(one.size for one in packed.lengths) > THOROUGH
  return (
    f'{name}: {packed.codes[0].shape[2]} axes, {packed.kept:.1%} of the squares, cosines within '
    f'{packed.error:.3f}{" for the pairs checked" if some else ""}'
  )


def _transforms(
  count: int, layers: Sequence[Layer], series: Sequence[Series]
) -> Iterator[TransformView]:
  first = count
  for one in series:
    indices = tuple(range(first, first + len(one.pictures)))
    first += len(one.pictures)
    height, width = one.pictures[0].pixels.shape[:2]
    places = {}
    for layer in layers:
      rows, columns = layer.activations[indices[0]].shape[:2]
      places[layer.name] = places_of(one.kind, (rows, columns), one.amounts, (height, width))
    yield TransformView(one.kind, one.source, one.amounts, indices, places)


def _check_shape(found: Sequence[int], picture: Sequence[int], what: str) -> None:
  """Refuses a grid of quite another shape than the picture: its first axis is the channels."""
  stretched = found[1] / found[0] * picture[0] / picture[1]
  if not 0.5 <= stretched <= 2 and max(found[:2]) > 2:
    raise UserError(
      f'{what}: a grid of {found[0]} x {found[1]} patches is not of the shape of the picture, '
      f'{picture[0]} x {picture[1]} pixels; channels last: permute(1, 2, 0)'
    )


def _pixels(picture: Any) -> np.ndarray:
  """uint8 `[H, W, 3]`."""
  found = np.asarray(picture.convert('RGB') if isinstance(picture, Image.Image) else picture)
  if found.ndim == 2:  # Grey.
    found = np.stack([found] * 3, axis=-1)
  if np.issubdtype(found.dtype, np.floating) and found.ndim == 3:
    if not (found.min() >= 0 and found.max() <= 1):
      raise UserError('pictures: values of a picture of floats must be in [0, 1]')
    found = np.rint(255 * found).astype(np.uint8)
  if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3 or 0 in found.shape:
    raise UserError(f'pictures must be uint8 [H, W, 3], not {found.dtype} of shape {found.shape}')
  return found


def _opened(images: str | Sequence[Any]) -> Iterator[tuple[str, np.ndarray]]:
  """(name, pixels) of each picture that can be read; the others are warned of."""
  if not isinstance(images, str):
    files = [one for one in images if isinstance(one, str | os.PathLike)]
    if not files:
      yield from ((str(i + 1), _pixels(one)) for i, one in enumerate(images))
      return
    if len(files) < len(images):
      raise UserError('images: give paths or pictures, not both')
    paths = [str(one) for one in files]
    named = list(unique_names([pathlib.Path(one).stem for one in paths]))
    problems = list[str]()
  else:
    sources, problems = find_images(images)
    named, paths = [one.name for one in sources], [one.path for one in sources]
  for problem in problems:
    warn(problem)
  for name, path in zip(named, paths, strict=True):
    try:
      yield name, np.asarray(open_picture(path, path))
    except ImageError as error:
      warn(f'left out: {error}')


def _input(net: Pretrained, picture: Picture) -> Any:
  return jnp.asarray(net.preprocess(picture.pixels)[None])
