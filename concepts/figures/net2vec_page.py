"""One HTML page of concept vectors: where a concept is, its filters, what is near it."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from concepts.concept_scores import by_category, wins
from concepts.embeddings import unit_vectors
from concepts.figures.net2vec import CATEGORIES, OTHER
from concepts.figures.net2vec_views import (
  ConceptStudy,
  ConceptView,
  DistanceView,
  ExampleView,
  LayerView,
  PictureView,
  SubsetView,
)
from concepts.filter_use import filters_used
from perturb.errors import UserError, printable
from perturb.figures.pages import data_url, filled, outline

PICTURE_SIDE = 256  # Pixels at most.
QUALITY = 70  # Of 100.
SMALL = 64  # Up to this side nothing is lost.
STRONGEST = 12  # Filters of a concept that are listed.
TOLERANCE = 0.4  # Pixels of a label map by which an outline may be off.
WHOLE = 2**15 - 1  # What 1 is written as in a vector; a cosine is then right to four digits.


def _number(value: float, digits: int = 5) -> float | None:
  return float(f'{value:.{digits}g}') if np.isfinite(value) else None


def _numbers(values: np.ndarray) -> list[Any]:
  """Of any shape, as nested lists."""
  if np.ndim(values):
    return [_numbers(one) for one in values]
  return _number(float(values))  # type: ignore[return-value]


def _packed(vectors: np.ndarray) -> str:
  """Unit vectors as 16-bit integers, little-endian, row by row; zeros where there is none."""
  units = np.nan_to_num(unit_vectors(vectors))
  return base64.b64encode(np.rint(WHOLE * units).astype('<i2').tobytes()).decode()


def _concept(view: ConceptView) -> dict[str, Any]:
  return {
    'name': printable(view.name),
    'categories': [printable(name) for name in view.categories],
    'train': int(view.train),
    'val': int(view.val),
  }


def _layer(view: LayerView, categories: Sequence[Sequence[str]]) -> dict[str, Any]:
  known = np.isfinite(view.vectors).all(1)
  single, combined = (by_category(one, categories) for one in (view.single, view.combined))
  won = wins(view.combined, view.single)
  return {
    'name': printable(view.name),
    'task': view.task,
    'filters': view.vectors.shape[1],
    'vectors': _packed(view.vectors),
    'known': known.tolist(),
    'best': np.asarray(view.best).tolist(),
    'single': _numbers(view.single),
    'combined': _numbers(view.combined),
    'strongest': [_strongest(view, index) if known[index] else [] for index in range(len(known))],
    'used': filters_used(view.vectors).tolist(),
    'map': None if view.map is None else _numbers(view.map),
    'wins': _numbers(np.array([won.mean, won.low, won.high])),
    'means': {
      printable(name): [_number(single[name].mean), _number(score.mean), score.concepts]
      for name, score in combined.items()
    },
  }


def _strongest(view: LayerView, index: int) -> list[Any]:
  """(filter, weight, score alone) of the filters of largest |w|, and of the best single one."""
  weights, scores = view.vectors[index], view.filter_scores[index]
  order = np.argsort(-np.abs(weights), kind='stable')[:STRONGEST].tolist()
  best = int(view.best[index])
  chosen = order if best in order or best < 0 else [*order[:-1], best]
  return [[k, _number(float(weights[k])), _number(float(scores[k]))] for k in chosen]


def _picture(view: PictureView) -> dict[str, Any]:
  image = Image.fromarray(view.pixels)
  width, height = image.size
  small = max(image.size) <= SMALL
  image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
  url = data_url(image, 'webp', lossless=small, quality=100 if small else QUALITY)
  return {'name': printable(view.name), 'width': width, 'height': height, 'picture': url}


def _example(view: ExampleView) -> dict[str, Any]:
  return {
    'concept': int(view.concept),
    'picture': int(view.picture),
    'note': printable(view.note),
    'height': view.truth.shape[0],
    'width': view.truth.shape[1],
    'truth': outline(view.truth, TOLERANCE),
    'masks': {
      printable(layer): {
        'single': outline(masks.single, TOLERANCE),
        'combined': outline(masks.combined, TOLERANCE),
        'single_iou': _number(masks.single_iou),
        'combined_iou': _number(masks.combined_iou),
      }
      for layer, masks in view.masks.items()
    },
  }


def _subset(view: SubsetView) -> dict[str, Any]:
  return {
    'layer': printable(view.layer),
    'task': view.task,
    'counts': np.asarray(view.counts).tolist(),
    'scores': _numbers(view.scores),
  }


def _distances(view: DistanceView) -> dict[str, Any]:
  return {
    'names': [printable(name) for name in view.names],
    'values': _numbers(np.asarray(view.distances) / max(view.concepts, 1) ** 2),
    'concepts': int(view.concepts),
  }


def _check(study: ConceptStudy) -> None:
  count = len(study.concepts)
  for layer in study.layers:
    for field in ('vectors', 'filter_scores', 'best', 'single', 'combined', 'map'):
      values = getattr(layer, field)
      if values is not None and len(values) != count:
        raise UserError(
          f'{field} of layer {layer.name!r}: {len(values)} rows, not {count} concepts'
        )
  known = {layer.name for layer in study.layers}
  for number, one in enumerate(study.examples):
    if not (0 <= one.concept < count and 0 <= one.picture < len(study.pictures)):
      raise UserError(
        f'example {number}: concept {one.concept} or picture {one.picture} is not in the study'
      )
    if unknown := sorted(set(one.masks) - known):
      raise UserError(
        f'example {number} has masks of {unknown[0]!r}, which is no layer of the study'
      )
  for subset in study.subsets:
    if np.shape(subset.scores) != (len(subset.counts), count):
      raise UserError(
        f'subsets of {subset.layer!r}: scores are {list(np.shape(subset.scores))}, not '
        f'[{len(subset.counts)}, {count}]'
      )


def net2vec_page(study: ConceptStudy) -> str:
  """The page, as text; it loads nothing from outside.

  It shows each concept's masks, filters and neighbours, sums of vectors, a map, and how the layers
  compare. `#concept=NAME&layer=LAYER` behind its address leads to a concept, `#map`, `#layers` and
  `#sum=NAME,NAME&minus=NAME` to the other parts.

  Raises:
    UserError: for a layer or a subset of another number of concepts, and an example whose concept,
      picture or layer is not in the study.
  """
  _check(study)
  categories = [one.categories for one in study.concepts]
  data = {
    'title': printable(study.title),
    'made': study.made,
    'whole': WHOLE,
    'colours': {name: colour for name, (colour, _) in CATEGORIES.items()},
    'other': OTHER[0],
    'concepts': [_concept(view) for view in study.concepts],
    'layers': [_layer(view, categories) for view in study.layers],
    'pictures': [_picture(view) for view in study.pictures],
    'examples': [_example(view) for view in study.examples],
    'subsets': [_subset(view) for view in study.subsets],
    'distances': study.distances and _distances(study.distances),
  }
  return filled('concepts.figures', 'net2vec.html', data)
