"""A study of concepts in painted scenes, for the tests of the page and the figures of Net2Vec."""

import numpy as np
from PIL import Image
from skimage import draw

from concepts.embeddings import distances, similarities
from concepts.figures.net2vec_views import (
  ConceptStudy,
  ConceptView,
  DistanceView,
  ExampleView,
  LayerView,
  MaskView,
  PictureView,
  SubsetView,
)
from concepts.maps import flat_map

PAINT = {
  'red': (200, 50, 50),
  'green': (60, 140, 60),
  'blue': (60, 80, 200),
  'brown': (120, 80, 50),
}
# Names of a group are near each other; a name of two categories counts in both.
GROUPS = {
  'color': (('red', 'green', 'blue', 'brown'),),
  'texture': (('striped', 'dotted', 'woven'), ('banded', 'lined')),
  'object': (
    ('dog', 'cat', 'horse', 'sheep'),
    ('car', 'bus', 'train'),
    ('grass', 'tree', 'plant', 'sky', 'water'),
  ),
  'part': (('head', 'ear', 'muzzle', 'leg', 'tail'), ('wheel', 'door', 'headlight')),
  'scene': (('street', 'highway'), ('forest', 'field')),
}
LAYERS = {'conv1': 24, 'conv3': 48, 'conv5': 64}
BOTH = {'door': ('part', 'object')}
BEST = {'color': (0.3, 0.16), 'texture': (0.16, 0.3), 'object': (0.1, 0.42), 'part': (0.06, 0.24)}


def concepts(rng: np.random.Generator) -> list[ConceptView]:
  return [
    ConceptView(name, BOTH.get(name, (kind,)), *(int(n) for n in rng.integers(9, 900, 2)))
    for kind, groups in GROUPS.items()
    for group in groups
    for name in group
  ]


def layer(
  name: str, depth: float, views: list[ConceptView], task: str, rng: np.random.Generator
) -> LayerView:
  """Vectors of groups, and scores that rise with depth (from 0 to 1) as BEST says."""
  width, groups = LAYERS[name], [group for each in GROUPS.values() for group in each]
  centres = rng.normal(size=(len(groups), width))
  vectors = np.stack(
    [
      centre + (1.4 - depth) * rng.normal(size=width)
      for centre, group in zip(centres, groups, strict=True)
      for _ in group
    ]
  )
  ends = np.array([BEST.get(view.categories[0], (0.2, 0.4)) for view in views])
  combined = ends[:, 0] + depth * (ends[:, 1] - ends[:, 0]) + rng.normal(0, 0.03, len(views))
  combined = np.clip(combined, 0.02, 1)
  single = combined * rng.uniform(0.25, 1.02, len(views))
  if task == 'classification':
    combined, single = (0.5 + 0.5 * np.sqrt(one) for one in (combined, single))
  floor = 0.5 if task == 'classification' else 0
  scores = np.maximum(vectors, 0) / vectors.max(1, keepdims=True) * (single - floor)[:, None]
  scores = floor + scores * rng.uniform(0.4, 1, scores.shape)
  best = scores.argmax(1)
  scores[np.arange(len(best)), best] = single
  if task == 'segmentation':
    unknown = [view.categories == ('scene',) for view in views]
    vectors[unknown], scores[unknown], best[unknown] = np.nan, np.nan, -1
    combined[unknown] = single[unknown] = np.nan
  vectors, place = vectors.astype(np.float32), flat_map(vectors, key=0, perplexity=5)
  return LayerView(name, vectors, scores, best, single, combined, task, place)


def picture(size: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """A car and a dog of some colours on grass: uint8 `[size, size, 3]`, masks of what is there."""
  ground = int(size * rng.uniform(0.35, 0.55))
  y, x = np.mgrid[:size, :size]
  masks = {'sky': y < ground, 'grass': y >= ground}
  pixels = np.where((y < ground)[..., None], (150, 185, 225), PAINT['green']) + 0.0
  paint, fur = rng.choice(list(PAINT), 2, replace=False)
  for name, colour, ratio in (('car', paint, 1.9), ('dog', fur, 1.3)):
    high, left = size * rng.uniform(0.1, 0.17), size * rng.uniform(0.2, 0.8)
    top = ground + size * rng.uniform(0, 0.25)
    mask = np.zeros((size, size), bool)
    mask[draw.ellipse(top, left, high, high * ratio, mask.shape)] = True
    masks = {other: one & ~mask for other, one in masks.items()} | {name: mask}
    pixels[mask] = PAINT[colour]
    masks[colour] = masks.get(colour, False) | mask
    if name == 'car':
      wheels = np.hypot(y - top - high, abs(x - left) - high) < 0.5 * high
      pixels[wheels], masks['wheel'] = 30, wheels
  masks['green'] = masks.get('green', False) | masks['grass']
  noisy = np.clip(pixels + rng.normal(0, 9, pixels.shape), 0, 255).astype(np.uint8)
  return noisy, {name: mask for name, mask in masks.items() if mask.any()}


def _resized(values: np.ndarray, side: int) -> np.ndarray:
  image = Image.fromarray(values.astype(np.float32))
  return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def iou(first: np.ndarray, second: np.ndarray) -> float:
  return float((first & second).sum() / max((first | second).sum(), 1))


def mask_view(truth: np.ndarray, depth: float, rng: np.random.Generator) -> MaskView:
  """Masks as a layer of 14 x 14 positions has them, the single filter's with gaps."""
  coarse = _resized(truth, 14)
  noise = rng.normal(0, 0.35 - 0.2 * depth, coarse.shape)
  combined = _resized(coarse + noise, len(truth)) > 0.5
  fired = (coarse > 0.5) & (rng.uniform(size=coarse.shape) < 0.35) | (noise > 0.62)
  single = _resized(fired, len(truth)) > 0.5
  return MaskView(single, combined, iou(single, truth), iou(combined, truth))


def study(pictures: int = 8, size: int = 112, seed: int = 0) -> ConceptStudy:
  """Masks are half as high and wide as the pictures."""
  rng = np.random.default_rng(seed)
  views = concepts(rng)
  place = {view.name: index for index, view in enumerate(views)}
  depths = dict(zip(LAYERS, np.linspace(0, 1, len(LAYERS)), strict=True))
  layers = [
    layer(name, depth, views, task, rng)
    for task in ('segmentation', 'classification')
    for name, depth in depths.items()
  ]
  shown, examples = [], []
  for number in range(pictures):
    pixels, masks = picture(size, rng)
    shown.append(PictureView(f'scenes/{number:03d}.jpg', pixels))
    for name, mask in masks.items():
      truth = mask[::2, ::2]
      seen = {one: mask_view(truth, depth, rng) for one, depth in depths.items()}
      examples.append(ExampleView(place[name], number, truth, seen, f'decile {number + 1}'))
  counts = np.array([1, 2, 4, 8, 16, 32, 64])
  last = [one for one in layers if one.name == 'conv5']
  subsets = [
    SubsetView(
      one.name,
      counts,
      one.single + (one.combined - one.single) * (1 - np.exp(-counts[:, None] / 6)),
      one.task,
    )
    for one in last
  ]
  names = tuple(f'{one.name} {one.task}' for one in layers)
  apart = distances([similarities(one.vectors) for one in layers])
  between = DistanceView(names, apart.total, int(apart.shared.sum()))
  made = 'made: tests/concepts/studied_concepts.py\nseed: 0'
  return ConceptStudy('Painted scenes', made, views, layers, shown, examples, subsets, between)
