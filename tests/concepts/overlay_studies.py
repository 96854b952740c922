"""Similarity overlays of made-up activations, and what the page must say of them."""

from typing import NamedTuple

import numpy as np

from concepts.factor_groups import patch_groups
from concepts.figures.overlay_views import Groups, LayerView, Overlay, Picture, TransformView
from concepts.packing import pack
from concepts.transforms import places_of

GRIDS = {'early': 12, 'late': 5}  # Patches along the longer side.
CHANNELS = {'early': 20, 'late': 33}
AMOUNTS = {'rotation': (0.0, 45.0, 90.0, 180.0), 'scale': (1.0, 2.25, 4.0)}
CLASSES = ('tabby', 'espresso')


class Study(NamedTuple):
  """An overlay and what it was made from.

  Attributes:
    overlay: what the page shows.
    activations: of a layer, `[H, W, C]` of each picture.
    weights: of a class, `[C]` of each layer.
  """

  overlay: Overlay
  activations: dict[str, list[np.ndarray]]
  weights: dict[str, dict[str, np.ndarray]]


def study(shown: int = 5, *, names: tuple[str, ...] = (), seed: int = 0) -> Study:
  """Pictures of which every second is a third lower than wide; the first one is transformed."""
  rng = np.random.default_rng(seed)
  copies = sum(map(len, AMOUNTS.values()))
  shapes = [(48, 48) if i % 2 == 0 else (32, 48) for i in range(shown)] + [(48, 48)] * copies
  called = [*names, *(f'picture {i}' for i in range(len(names), len(shapes)))]
  pictures = [
    Picture(name, _smooth(rng, height, width, 3))
    for name, (height, width) in zip(called, shapes, strict=True)
  ]
  activations = {layer: [_activations(rng, layer, shape) for shape in shapes] for layer in GRIDS}
  weights = {
    name: {layer: rng.exponential(size=channels) ** 2 for layer, channels in CHANNELS.items()}
    for name in CLASSES
  }
  layers = [_layer(layer, activations[layer], weights, shown) for layer in GRIDS]
  overlay = Overlay('Overlays', pictures, shown, layers, _transforms(called[0], shown), 'Made up.')
  return Study(overlay, activations, weights)


def _smooth(rng: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
  coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), channels))
  return np.repeat(np.repeat(coarse, 8, 0), 8, 1)[:height, :width].astype(np.uint8)


def _activations(rng: np.random.Generator, layer: str, shape: tuple[int, int]) -> np.ndarray:
  """Of both signs, of different lengths, with one patch of zeros."""
  grid = tuple(max(2, round(GRIDS[layer] * side / 48)) for side in shape)
  values = rng.normal(0.3, 1, (*grid, CHANNELS[layer])) * rng.exponential(2, (*grid, 1))
  values[0, 1] = 0
  return values.astype(np.float32)


def _layer(
  layer: str, activations: list[np.ndarray], weights: dict[str, dict[str, np.ndarray]], shown: int
) -> LayerView:
  classes = {
    name: pack([one * np.sqrt(of[layer]) for one in activations[:shown]])
    for name, of in weights.items()
  }
  maps = patch_groups(activations[:shown], 3, clip=True).maps
  largest = max(one.max() for one in maps)
  return LayerView(layer, pack(activations), classes, Groups([one / largest for one in maps]))


def _transforms(source: str, shown: int) -> list[TransformView]:
  made, first = [], shown
  for kind, amounts in AMOUNTS.items():
    indices = tuple(range(first, first + len(amounts)))
    places = {
      layer: places_of(kind, (side, side), amounts).astype(np.int16)
      for layer, side in GRIDS.items()
    }
    made.append(TransformView(kind, source, amounts, indices, places))
    first += len(amounts)
  return made


def compared(
  given: Study, layer: str, vector: np.ndarray, picture: int, measure: str
) -> np.ndarray:
  """Similarities `[H, W]` of a vector to the patches of a picture, in numpy alone."""
  patches = given.activations[layer][picture].astype(np.float64)
  if measure.startswith('class:'):
    root = np.sqrt(given.weights[measure[6:]][layer])
    patches, vector = patches * root, vector * root
  dots = patches @ vector
  if measure == 'dot':
    return dots
  lengths = np.linalg.norm(patches, axis=-1) * np.linalg.norm(vector)
  return np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
