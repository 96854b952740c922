"""What the page of similarity overlays is given."""

from typing import NamedTuple

import numpy as np

from concepts.packing import Packed


class Picture(NamedTuple):
  """A picture of the page.

  Attributes:
    name: of the picture.
    pixels: uint8 `[H, W, 3]`.
  """

  name: str
  pixels: np.ndarray


class Groups(NamedTuple):
  """Groups of patches: a non-negative factorisation, joint over the pictures shown.

  Attributes:
    maps: float32 `[H, W, G]` of each picture shown, at least 0; the largest of all is 1.
  """

  maps: list[np.ndarray]


class LayerView(NamedTuple):
  """A layer and what it says of every picture.

  Attributes:
    name: of the layer.
    packed: of all pictures: those shown first, then the transformed ones.
    classes: name of a class -> weighted for it, of the pictures shown; may be empty.
    groups: of the pictures shown, if there are any.
  """

  name: str
  packed: Packed
  classes: dict[str, Packed]
  groups: Groups | None


class TransformView(NamedTuple):
  """A picture that is turned or magnified step by step.

  Attributes:
    kind: 'rotation' (amounts in degrees) or 'scale' (amounts are factors of the area).
    source: name of the picture that is transformed.
    amounts: T of them.
    pictures: indices in `Overlay.pictures`, one an amount.
    places: layer -> int16 `[T, T, H*W]`: the cell (row * W + column) of transform `t_from` -> its
      cell in `t_to`, -1 where it left the picture.
  """

  kind: str
  source: str
  amounts: tuple[float, ...]
  pictures: tuple[int, ...]
  places: dict[str, np.ndarray]


class Overlay(NamedTuple):
  """What the page shows.

  Attributes:
    title: of the page.
    pictures: the `shown` first ones are the user's, the others transformed copies.
    shown: how many are the user's.
    layers: at least one.
    transforms: may be empty.
    about: a line or two: the network, the version, how much of the cosine is kept.
  """

  title: str
  pictures: list[Picture]
  shown: int
  layers: list[LayerView]
  transforms: list[TransformView]
  about: str
