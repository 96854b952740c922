"""A study of painted flowers, for the tests of the page and the figures of relevant features."""

import numpy as np
from skimage import draw, filters

from concepts.figures.views import ClassView, Curve, FeatureView, ImageView, Study

COLOURS = {'red': (205, 45, 50), 'blue': (55, 80, 200), 'yellow': (235, 190, 40)}
CLASSES = tuple(f'{part} {colour}' for part in ('petals', 'stem') for colour in COLOURS)
LAYERS = ('conv1', 'conv2', 'conv3', 'fc1', 'fc2')
DEPTHS = {'conv1': 1, 'conv2': 4, 'conv3': 7, 'fc1': 9, 'fc2': 10}
TABLE = (
  ('Stride-one guided backprop (ours)', 23.4, 0.7, (22.5, 0.82)),
  ('Guided backprop', 21.0, 0.9, (21.3, 0.77)),
  ('Guided Grad-CAM', 18.8, 0.6, (19.9, 0.61)),
  ('Grad-CAM', 17.9, 0.4, (17.5, 0.25)),
  ('Upsampled activation', 15.2, 1.9, (16.8, 2.63)),
  ('Box in the middle', 9.5, 0.2, None),
)
# Of all methods but the last, whose heatmap is the same everywhere.
PARTS = tuple((name, 0.9 - 0.25 * i, 0.04) for i, (name, *_) in enumerate(TABLE[:-1]))


def flower(name: str, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """(picture uint8 `[size, size, 3]`, mask `[size, size]` of the part that names the class)."""
  part, colour = name.split()
  picture = np.full((size, size, 3), rng.integers(190, 235, 3))
  y, x = size * rng.uniform(0.3, 0.4), size * rng.uniform(0.4, 0.6)
  foot, turn = x + size * rng.uniform(-0.15, 0.15), rng.uniform(0, 1)
  stem, petals = np.zeros((2, size, size), bool)
  half = size * 0.03
  sides = [x - half, x + half, foot + half, foot - half]
  stem[draw.polygon([y, y, size, size], sides, stem.shape)] = True
  for angle in 2 * np.pi * (np.arange(6) + turn) / 6:
    at = y + 0.17 * size * np.sin(angle), x + 0.17 * size * np.cos(angle)
    petals[draw.ellipse(*at, 0.12 * size, 0.07 * size, petals.shape, rotation=-angle)] = True
  picture[stem] = (70, 140, 60)
  picture[petals] = (180, 175, 185)
  mask = petals if part == 'petals' else stem & ~petals
  picture[mask] = COLOURS[colour]
  picture[draw.disk((y, x), 0.08 * size, shape=petals.shape)] = (95, 60, 40)
  noise = rng.normal(0, 6, picture.shape)
  return np.clip(picture + noise, 0, 255).astype(np.uint8), mask


def heatmap(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """`[H, W]` in [0, 1], strong where a mask is and rough as backpropagation is."""
  rough = filters.gaussian(mask.astype(float), 2) * rng.uniform(0.3, 1, mask.shape)
  return (rough - rough.min()) / max(np.ptp(rough), 1e-9)


def patches_of(name: str, side: int, count: int, rng: np.random.Generator) -> np.ndarray:
  """Crops about the part that names a class: uint8 `[count, side, side, 3]`."""
  found = []
  for _ in range(count):
    picture, mask = flower(name, 2 * side, rng)
    y, x = rng.choice(np.argwhere(mask))
    y, x = (np.clip(v - side // 2, 0, side) for v in (y, x))
    found.append(picture[y : y + side, x : x + side])
  return np.stack(found)


def feature_view(index: int, name: str, side: int, rng: np.random.Generator) -> FeatureView:
  layer = LAYERS[(3 * index + index // 5) % len(LAYERS)]
  patches = patches_of(name, side, 9, rng)
  return FeatureView(
    index,
    layer,
    filter=7 * index % 64,
    depth=DEPTHS[layer],
    layers=10,
    connected=layer.startswith('fc'),
    average=patches.mean(0).astype(np.uint8),
    patches=patches,
    sources=tuple(f'{name} {n:02d}' for n in range(9)),
    responses=tuple(np.sort(rng.uniform(0.1, 0.9, 9))[::-1]),
  )


def image_view(number: int, size: int, classes: dict, rng: np.random.Generator) -> ImageView:
  label = CLASSES[number % len(CLASSES)]
  picture, mask = flower(label, size, rng)
  predicted = CLASSES[(number + 1) % len(CLASSES)] if number % 7 == 3 else label
  positive = [(index, weight) for index, weight in classes[predicted].features if weight > 0][:4]
  evidence = [weight * rng.uniform(0.05, 0.2) for _, weight in positive]
  order = np.argsort(evidence)[::-1]
  maps = np.stack([heatmap(mask, rng) for _ in order])
  return ImageView(
    f'{label} {number // len(CLASSES):02d}',
    picture,
    label,
    predicted,
    float(rng.uniform(0.4, 1)),
    [(positive[k][0], evidence[k], 0.85 * evidence[k] / sum(evidence)) for k in order],
    maps,
    maps.max(0),
    mask,
  )


def curves() -> list[Curve]:
  counts = np.arange(0, 41, 4)
  fall = {'All': 0.09, 'OnlyConv': 0.06, 'Random': 0.004}
  return [
    Curve(
      name,
      counts,
      1 / 6 + (0.98 - 1 / 6) * np.exp(-rate * counts),
      0.004 * counts**0.5 if name == 'Random' else None,
    )
    for name, rate in fall.items()
  ]


def study(images: int = 30, size: int = 112, side: int = 48, seed: int = 0) -> Study:
  """Six classes of four features each, and images of them with four heatmaps each."""
  rng = np.random.default_rng(seed)
  features, classes = {}, {}
  for c, name in enumerate(CLASSES):
    own = {5 * c + k: feature_view(5 * c + k, name, side, rng) for k in range(5)}
    features |= own
    weights = np.sort(rng.uniform(0.2, 2.5, len(own)))[::-1] * [1, 1, 1, -1, 1]
    classes[name] = ClassView(name, list(zip(own, weights.tolist(), strict=True)), 100, 0.98)
  return Study(
    'Painted flowers, a small network',
    'python -m concepts.main --config=configs/relevant.py\nseed 0',
    features,
    list(classes.values()),
    [image_view(number, size, classes, rng) for number in range(images)],
    curves(),
    TABLE,
    PARTS,
  )
