"""The figures of concept vectors: what stands where, and that any study is drawn."""

import dataclasses

import numpy as np
import pytest

from concepts.embeddings import similarities
from concepts.figures.net2vec import (
  concept_map,
  embedding_distances,
  example_masks,
  filters_needed,
  results_by_category,
  shared_filters,
  similarity_matrix,
  unique_detectors,
  weights_and_scores,
)
from perturb.errors import UserError
from perturb.figures.style import png
from tests.concepts.studied_concepts import study

HOSTILE = '$\\frac{$ 写真 \u202e\n<b>'


@pytest.fixture(scope='module')
def given():
  return study(pictures=2, size=48)


def curve(axes, name):
  """The heights of the line of a category."""
  (found,) = (one for one in axes.containers if one.get_label() == name)
  return found.lines[0].get_ydata()


def test_a_category_has_its_mean_in_each_panel(given):
  figure = results_by_category(given.layers, given.concepts)
  parts = ['part' in one.categories for one in given.concepts]
  for axes, field in zip(figure.axes[:2], ('combined', 'single'), strict=True):
    means = [getattr(layer, field)[parts].mean() for layer in given.layers[:3]]
    np.testing.assert_allclose(curve(axes, 'part'), means)
    assert 'scene' not in axes.get_legend_handles_labels()[1]  # Without masks.
  assert 'scene' in figure.axes[2].get_legend_handles_labels()[1]
  (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
  names = [text.get_text() for text in legend.get_texts()]
  assert names == ['color', 'texture', 'part', 'object', 'scene']


def test_the_curve_of_a_category_over_the_filters(given):
  figure = filters_needed(given.subsets, given.concepts)
  textures = ['texture' in one.categories for one in given.concepts]
  for axes, subset in zip(figure.axes, given.subsets, strict=True):
    np.testing.assert_allclose(curve(axes, 'texture'), subset.scores[:, textures].mean(1))


def test_detectors_are_stacked():
  figure = unique_detectors({'conv1': {'color': 3}, 'conv2': {'object': 2, 'color': 1}})
  tops = [bar.get_y() + bar.get_height() for bar in figure.axes[0].patches]
  assert tops == [3, 1, 3, 3]  # Colours below objects.
  assert [text.get_text() for text in figure.axes[0].texts] == ['3', '3']


def test_filters_are_counted_in_bins():
  figure = shared_filters({'conv1': np.array([0, 0, 1, 4]), 'conv2': np.array([30, 3])})
  axes = figure.axes[0]
  heights = np.array([[bar.get_height() for bar in bars] for bars in axes.containers])
  np.testing.assert_allclose(heights.sum(1), 100)
  np.testing.assert_allclose(heights[0], [50, 25, 0, 25, 0, 0, 0])
  np.testing.assert_allclose(heights[1], [0, 0, 0, 50, 0, 0, 50])


def test_near_concepts_stand_together(given):
  layer = given.layers[-1]
  figure = similarity_matrix(similarities(layer.vectors), given.concepts)
  names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
  assert sorted(names) == sorted(one.name for one in given.concepts)
  for group in (('dog', 'cat', 'horse', 'sheep'), ('wheel', 'headlight', 'door')):
    places = sorted(names.index(name) for name in group)
    assert places == list(range(places[0], places[0] + len(group)))
  shown = figure.axes[0].images[0].get_array()
  np.testing.assert_allclose(np.diagonal(shown), 1)


def test_concepts_without_a_vector_are_left_out(given):
  layer = given.layers[0]
  figure = similarity_matrix(similarities(layer.vectors), given.concepts)
  names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
  assert 'dog' in names and 'street' not in names
  texts = [text.get_text() for text in concept_map(layer, given.concepts).axes[0].texts]
  assert texts and 'street' not in texts


def test_names_on_the_map_cover_no_other(given):
  axes = concept_map(given.layers[-1], given.concepts).axes[0]
  boxes = [text.get_window_extent().extents for text in axes.texts]
  assert len(boxes) > 20
  for k, one in enumerate(boxes):
    for other in boxes[:k]:
      apart = one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]
      assert apart


def test_an_example_shows_both_masks(given):
  examples = given.examples[:3]
  figure = example_masks(examples, given.pictures, given.concepts, 'conv5')
  assert len(figure.axes) == 6
  for k, one in enumerate(examples):
    masks = one.masks['conv5']
    assert figure.axes[k].get_xlabel() == f'IoU {masks.single_iou:.2f}'
    assert figure.axes[3 + k].get_xlabel() == f'IoU {masks.combined_iou:.2f}'
    bright = figure.axes[3 + k].images[0].get_array() == given.pictures[one.picture].pixels
    inside = np.repeat(np.repeat(masks.combined, 2, 0), 2, 1)
    assert np.mean(bright.all(-1) == inside) > 0.95


def test_the_best_filter_is_marked(given):
  figure = weights_and_scores(given.layers[0], given.concepts, 0)
  best = given.layers[0].best[0]
  point = figure.axes[0].lines[-1]
  assert point.get_label() == f'filter {best}'
  assert point.get_xdata()[0] == given.layers[0].vectors[0, best]


def test_distances_are_means_over_pairs(given):
  figure = embedding_distances(given.distances)
  shown = figure.axes[0].images[0].get_array()
  np.testing.assert_allclose(shown, given.distances.distances / given.distances.concepts**2)


def test_any_name_is_drawn_and_the_same_study_gives_the_same_bytes(given):
  concepts = [
    dataclasses.replace(one, name=HOSTILE, categories=(HOSTILE,)) for one in given.concepts
  ]
  layer = dataclasses.replace(given.layers[-1], name=HOSTILE)
  drawn = [png(concept_map(layer, concepts)) for _ in range(2)]
  assert drawn[0] == drawn[1]
  png(example_masks(given.examples[:1], given.pictures, concepts, 'conv1'))
  png(results_by_category([layer], concepts))


@pytest.mark.parametrize(
  ('draw', 'message'),
  [
    (lambda s: results_by_category([], s.concepts), 'there are no layers'),
    (lambda s: filters_needed([], s.concepts), 'there are no subsets'),
    (lambda _: unique_detectors({}), 'there are no layers'),
    (lambda _: shared_filters({}), 'there are no layers'),
    (lambda s: similarity_matrix(np.full((33, 33), np.nan), s.concepts), 'no concept has a vector'),
    (
      lambda s: concept_map(dataclasses.replace(s.layers[0], map=None), s.concepts),
      "'conv1' has no map",
    ),
    (lambda s: weights_and_scores(s.layers[0], s.concepts, 32), "'field' has no vector in 'conv1'"),
    (lambda s: example_masks([], s.pictures, s.concepts, 'conv5'), 'there are no examples'),
    (lambda s: example_masks(s.examples, s.pictures, s.concepts, 'fc'), "no masks of layer 'fc'"),
  ],
)
def test_what_cannot_be_drawn_is_named(given, draw, message):
  with pytest.raises(UserError, match=message):
    draw(given)
