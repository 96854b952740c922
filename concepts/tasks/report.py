"""The tables, the figures and the page of a study of concept vectors."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import ml_collections
import numpy as np

from concepts.bilinear import interpolated
from concepts.concept_masks import vector_fits
from concepts.concept_scores import weight_correlations, wins
from concepts.embeddings import Embedding, distances, similarities
from concepts.figures import net2vec as figures
from concepts.figures.net2vec_page import net2vec_page
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
from concepts.filter_use import concepts_of_filters, filters_used
from concepts.maps import flat_map
from concepts.probe import Probe
from concepts.regions import segmentation
from concepts.tasks.activations import Recorded
from concepts.tasks.labelled import Labelled
from concepts.tasks.layers import Layer
from concepts.tasks.learn import CLASSIFICATION, SEGMENTATION, Learned
from concepts.word_vectors import read_word_vectors
from concepts.wordnet import WordNet
from perturb.console import format_table
from perturb.data.fitting import fit_picture
from perturb.errors import UserError
from perturb.figures.style import png
from perturb.nets import Pretrained
from perturb.store import files
from perturb.store.workdir import Workdir

CONCEPTS = (
  'layer', 'task', 'concept', 'category', 'train', 'val', 'single_filter', 'single', 'combined',
  'everything', 'filters_used',
)  # fmt: skip
FILTERS = ('layer', 'filter', 'threshold', 'above', 'detects', 'iou', 'best_of')
LAYERS = (
  'layer', 'task', 'concepts', 'single', 'combined', 'everything', 'wins', 'wins_low', 'wins_high',
  'correlated',
)  # fmt: skip
NEIGHBOURS = ('layer', 'task', 'concept', 'place', 'neighbour', 'cosine')
SUBSETS = ('layer', 'task', 'filters', 'concepts', 'score')
SHOWN = ('concepts', 'everything', 'single', 'combined', 'wins')  # Columns that are printed.
NEAREST = 5
DETECTED = 6  # Examples of a figure: of as many concepts, the ones in the middle by their IoU.


class Found(NamedTuple):
  """What a study has found.

  Attributes:
    layers: from the first of the network to the last.
    learned: of each layer and task.
    subsets: (what the filters were ranked by, F, scores `[T, C]`).
  """

  layers: list[Layer]
  learned: list[Learned]
  subsets: list[tuple[Learned, np.ndarray, np.ndarray]]


def report(
  folder: Workdir,
  net: Pretrained,
  probe: Probe,
  recorded: Recorded,
  labelled: Labelled,
  found: Found,
) -> list[dict[str, Any]]:
  """Writes the tables, the figures and the page; returns the rows of the layers."""
  names = [concept.name for concept in probe.concepts]
  concepts = _concepts(probe, labelled)
  rows = _write_tables(folder, names, concepts, _everywhere(labelled, len(names)), found)
  views = _layers(folder.config.seed, found)
  pictures, examples = _examples(net, probe, recorded, labelled, found, folder.config)
  subsets = [
    SubsetView(one.layer, counts, scores, one.task)  # type: ignore[arg-type]
    for one, counts, scores in found.subsets
    if len(counts)
  ]
  distance = _distances(folder, names, found)
  config = folder.config
  study = ConceptStudy(
    title=f'{config.dataset or "generated scenes"} · {type(net.network).__name__}',
    made=(
      f'{len(recorded.names)} pictures, {len(names)} concepts; tau {config.tau:g}, '
      f'loss {config.loss}, {config.epochs} epochs, weights {config.weights or "of the package"}'
    ),
    concepts=concepts,
    layers=views,
    pictures=pictures,
    examples=examples,
    subsets=subsets,
    distances=distance,
  )
  folder.write('net2vec.html', net2vec_page(study))
  _draw(folder, concepts, views, found, study)
  return rows


def _concepts(probe: Probe, labelled: Labelled) -> list[ConceptView]:
  train = labelled.train[labelled.pairs.picture]
  counts = [
    np.bincount(labelled.pairs.concept[train == side], minlength=len(probe.concepts))
    for side in (True, False)
  ]
  return [
    ConceptView(one.name, one.categories, int(counts[0][i]), int(counts[1][i]))
    for i, one in enumerate(probe.concepts)
  ]


def _everywhere(labelled: Labelled, concepts: int) -> np.ndarray:
  """IoU_set in validation of a mask that is everywhere, what is reached without looking: `[C]`."""
  pairs = labelled.pairs.take(~labelled.train[labelled.pairs.picture])
  areas = np.bincount(pairs.concept, pairs.areas(), minlength=concepts)
  pictures = np.bincount(pairs.concept, minlength=concepts)
  size = pairs.size[0] * pairs.size[1]
  return np.where(pictures > 0, areas / np.maximum(pictures * size, 1), np.nan)


def _write_tables(
  folder: Workdir,
  names: Sequence[str],
  concepts: Sequence[ConceptView],
  everywhere: np.ndarray,
  found: Found,
) -> list[dict[str, Any]]:
  of_task = {SEGMENTATION: everywhere, CLASSIFICATION: np.full(len(names), 0.5)}
  rows = _concept_rows(concepts, of_task, found)
  files.write_table(folder.path / 'concepts.csv', CONCEPTS, rows)
  files.write_table(folder.path / 'filters.csv', FILTERS, _filter_rows(names, found))
  files.write_table(folder.path / 'neighbours.csv', NEIGHBOURS, _neighbour_rows(names, found))
  files.write_table(folder.path / 'subsets.csv', SUBSETS, _subset_rows(found))
  of_layers = [_layer_row(one, of_task[one.task], found) for one in found.learned]
  files.write_table(
    folder.path / 'layers.csv',
    LAYERS,
    [tuple('' if value is None else value for value in row.values()) for row in of_layers],
  )
  shown = [tuple(row[name] for name in ('layer', 'task', *SHOWN)) for row in of_layers]
  print(format_table(('layer', 'task', *SHOWN), shown))
  print(
    'everything: of a mask that is everywhere, or of a guess; wins: the share of concepts whose '
    'combination is as good as the single filter, or better'
  )
  return of_layers


def _concept_rows(
  concepts: Sequence[ConceptView], everything: Mapping[str, np.ndarray], found: Found
) -> Iterator[tuple]:
  for one in found.learned:
    used = filters_used(one.weights)
    for i, concept in enumerate(concepts):
      yield (
        one.layer, one.task, concept.name, ';'.join(concept.categories), concept.train,
        concept.val, one.best[i], f'{one.single[i]:.6g}', f'{one.combined[i]:.6g}',
        f'{everything[one.task][i]:.6g}', used[i],
      )  # fmt: skip


def _filter_rows(names: Sequence[str], found: Found) -> Iterator[tuple]:
  for layer in found.layers:
    best_of = _best_of(layer, found)
    for k, level in enumerate(layer.thresholds.levels):
      concept = int(layer.detectors.concepts[k])
      detects = names[concept] if concept >= 0 else ''
      yield (
        layer.name, k, f'{level:.6g}', f'{layer.thresholds.above[k]:.6g}', detects,
        f'{layer.detectors.iou[k]:.6g}', best_of[k],
      )  # fmt: skip


def _best_of(layer: Layer, found: Found) -> np.ndarray:
  """How many concepts have each filter of a layer as the best one to segment, or to classify."""
  of_layer = [one for one in found.learned if one.layer == layer.name]
  chosen = next((one for one in of_layer if one.task == SEGMENTATION), of_layer[0])
  return concepts_of_filters(chosen.best, len(layer.thresholds.levels))


def _neighbour_rows(names: Sequence[str], found: Found) -> Iterator[tuple]:
  for one in found.learned:
    embedding = Embedding(names, one.weights)
    for i, name in enumerate(names):
      if np.isfinite(one.weights[i]).all() and one.weights[i].any():
        for place, (other, cosine) in enumerate(embedding.nearest(name, NEAREST), start=1):
          yield one.layer, one.task, name, place, other, f'{cosine:.4f}'


def _subset_rows(found: Found) -> Iterator[tuple]:
  for one, counts, scores in found.subsets:
    for number, some in zip(counts, scores, strict=True):
      known = some[np.isfinite(some)]
      yield one.layer, one.task, number, len(known), f'{known.mean():.6g}'


def _layer_row(one: Learned, everything: np.ndarray, found: Found) -> dict[str, Any]:
  known = np.isfinite(one.combined) & np.isfinite(one.single)
  share = wins(one.combined, one.single)
  correlated = np.nan
  if one.task == SEGMENTATION:
    layer = next(layer for layer in found.layers if layer.name == one.layer)
    correlated = weight_correlations(np.maximum(one.weights, 0), layer.iou[1]).significant()
  return {
    'layer': one.layer,
    'task': one.task,
    'concepts': int(known.sum()),
    'single': round(float(one.single[known].mean()), 4),
    'combined': round(float(one.combined[known].mean()), 4),
    'everything': round(float(everything[known].mean()), 4),
    'wins': round(float(share.mean), 4),
    'wins_low': round(float(share.low), 4),
    'wins_high': round(float(share.high), 4),
    'correlated': None if np.isnan(correlated) else round(float(correlated), 4),
  }


def _layers(seed: int, found: Found) -> list[LayerView]:
  of_name = {layer.name: layer for layer in found.layers}
  views = []
  for one in found.learned:
    layer = of_name[one.layer]
    alone = layer.iou[1] if one.task == SEGMENTATION else np.full(layer.iou.shape[1:], np.nan)
    views.append(
      LayerView(
        name=one.layer,
        vectors=one.weights,
        filter_scores=alone,
        best=one.best,
        single=one.single,
        combined=one.combined,
        task=one.task,  # type: ignore[arg-type]
        map=_map(one.weights, seed),
      )
    )
  return views


def _map(weights: np.ndarray, seed: int) -> np.ndarray | None:
  """The concepts in the plane; None where there are too few."""
  known = np.isfinite(weights).all(1) & weights.any(1)
  if known.sum() < 5:
    return None
  places = np.full((len(weights), 2), np.nan)
  places[known] = flat_map(weights[known], key=seed)
  return places


def _examples(
  net: Pretrained,
  probe: Probe,
  recorded: Recorded,
  labelled: Labelled,
  found: Found,
  config: ml_collections.ConfigDict,
) -> tuple[list[PictureView], list[ExampleView]]:
  """Validation pictures of each concept, at even ranks of its IoU in the last layer, best first."""
  of_task = [one for one in found.learned if one.task == SEGMENTATION]
  if not of_task or not config.examples:
    return [], []
  layers = {layer.name: layer for layer in found.layers}
  last = of_task[-1]
  pairs = labelled.pairs.take(~labelled.train[labelled.pairs.picture])
  concepts = np.flatnonzero(np.isfinite(last.combined))
  fits = vector_fits(
    last.weights[concepts], concepts, layers[last.layer].active, pairs,
    align_corners=config.align_corners,
  )  # fmt: skip
  ious = fits.of_pictures()
  places, views, examples = dict[int, int](), list[PictureView](), list[ExampleView]()
  for number, concept in enumerate(concepts):
    own = np.flatnonzero(fits.vector == number)
    ranked = own[np.argsort(-ious[own], kind='stable')]
    some = np.unique(np.linspace(0, len(ranked) - 1, config.examples).round().astype(int))
    for row in ranked[some]:
      pair, rank = int(fits.pair[row]), int(np.flatnonzero(ranked == row)[0])
      picture = int(pairs.picture[pair])
      if picture not in places:
        view = _picture(net, probe, int(recorded.indices[picture]))
        if view is None:
          continue
        places[picture] = len(views)
        views.append(view)
      bits = np.unpackbits(pairs.masks[pair], count=pairs.size[0] * pairs.size[1])
      truth = bits.reshape(pairs.size).astype(bool)
      masks = {
        one.layer: _masks(one, layers[one.layer], picture, int(concept), truth, config)
        for one in of_task
      }
      note = f'{rank + 1} of {len(ranked)} by IoU'
      examples.append(ExampleView(int(concept), places[picture], truth, masks, note))
  return views, examples


def _picture(net: Pretrained, probe: Probe, index: int) -> PictureView | None:
  source = probe.pictures.sources[index]
  try:
    picture, _ = probe.pictures.picture(index)
    return PictureView(
      source.name, fit_picture(picture, size=net.size, fit='squash', place=source.place)
    )
  except UserError:  # It could be read a moment ago.
    return None


def _masks(
  one: Learned,
  layer: Layer,
  picture: int,
  concept: int,
  truth: np.ndarray,
  config: ml_collections.ConfigDict,
) -> MaskView:
  index, corners = jnp.array([picture]), config.align_corners
  single = np.zeros(truth.shape, bool)
  if one.best[concept] >= 0:
    alone = np.zeros(one.weights.shape[1], np.float32)
    alone[one.best[concept]] = 1
    active = layer.active.combine(index, jnp.asarray(alone))[..., None]
    single = np.asarray(segmentation(active, truth.shape, corners))[0, ..., 0]
  sums = layer.active.combine(index, jnp.asarray(one.weights[concept], jnp.float32))[0]
  combined = np.asarray(interpolated(sums, truth.shape, corners)) > 0
  return MaskView(single, combined, _iou(single, truth), _iou(combined, truth))


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
  return float((mask & truth).sum() / max((mask | truth).sum(), 1))


def _distances(folder: Workdir, names: Sequence[str], found: Found) -> DistanceView | None:
  """Between the geometries of the layers, and those of words, if the config names some."""
  geometries = {
    f'{one.layer} {one.task}' if len(folder.config.learned) > 1 else one.layer: similarities(
      one.weights
    )
    for one in found.learned
  }
  if folder.config.wordnet:
    geometries['WordNet'] = WordNet(folder.config.wordnet).name_similarity(list(names))
  if folder.config.words:
    vectors, missing = read_word_vectors(folder.config.words, names)
    geometries['words'] = similarities(vectors)
    if missing:
      print(f'words without a vector: {", ".join(missing[:10])}')
  if len(geometries) < 2:
    return None
  apart = distances(list(geometries.values()))
  return DistanceView(tuple(geometries), apart.total, int(apart.shared.sum()))


def _draw(
  folder: Workdir,
  concepts: Sequence[ConceptView],
  views: Sequence[LayerView],
  found: Found,
  study: ConceptStudy,
) -> None:
  detectors = {layer.name: layer.detectors.unique for layer in found.layers}
  shared = {layer.name: _best_of(layer, found) for layer in found.layers}
  drawn = {
    'results': figures.results_by_category(views, concepts),
    'detectors': figures.unique_detectors(detectors),
    'shared_filters': figures.shared_filters(shared),
    'map': figures.concept_map(views[-1], concepts) if views[-1].map is not None else None,
    'filters_needed': figures.filters_needed(study.subsets, concepts) if study.subsets else None,
    'distances': figures.embedding_distances(study.distances) if study.distances else None,
  }
  segmented = [view.name for view in views if view.task == SEGMENTATION]
  if study.examples:
    concept = np.array([one.concept for one in study.examples])
    first = np.flatnonzero(np.diff(concept, prepend=-1))  # Of each concept, its best one.
    spread = np.unique(np.linspace(0, len(first) - 1, DETECTED).round().astype(int))
    middle = [(at + np.count_nonzero(concept == concept[at]) // 2) for at in first[spread]]
    some = [study.examples[i] for i in middle]
    drawn['masks'] = figures.example_masks(some, study.pictures, concepts, segmented[-1])
  for name, figure in drawn.items():
    if figure is not None:
      folder.write(f'{name}.png', png(figure))
