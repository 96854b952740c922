"""The figures of relevant features: what stands where, and that any study is drawn."""

import dataclasses

import numpy as np
import pytest

from concepts.figures.relevant import (
  CONNECTED,
  EXTENT,
  ablation,
  average_images,
  explanations,
  overlap,
  parts,
)
from concepts.figures.views import ClassView, Curve
from perturb.errors import UserError
from perturb.figures.style import BLANK, REMOVED, WHOLE, png
from tests.concepts.studied_flowers import study


@pytest.fixture(scope='module')
def given():
  return study(images=4, size=32, side=16)


def titled(figure, text):
  """The panels with a title that ends so."""
  return [axes for axes in figure.axes if axes.get_title().endswith(text)]


def pictures(figure):
  return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def test_an_explanation_is_a_row(given):
  image, wrong = given.images[0], given.images[3]
  figure = explanations([image, wrong], given.features)
  shown = pictures(figure)
  per_row = 2 * len(image.features) + 2
  assert len(shown) == 2 * per_row
  np.testing.assert_array_equal(shown[0], image.picture)
  for k, (index, _, _) in enumerate(image.features):
    feature, axes = given.features[index], figure.axes[1 + 2 * k]
    assert axes.get_title() == f'{feature.depth}/10'
    assert axes.title.get_color() == (CONNECTED if feature.layer[:2] == 'fc' else EXTENT)
    np.testing.assert_array_equal(shown[2 + 2 * k], feature.average)
  assert len(titled(figure, 'combined')) == 2
  (right,) = titled(figure, '✓ petals red')
  (false,) = titled(figure, f'✗ {wrong.predicted}')
  assert (right.title.get_color(), right.get_xlabel()) == (WHOLE, '')
  assert (false.title.get_color(), false.get_xlabel()) == (BLANK, f'is {wrong.label}')


def test_a_heatmap_is_as_bright_as_its_values(given):
  """Its colours are not stretched: two of one scale can be compared."""
  height, width = given.images[0].picture.shape[:2]
  faint = np.full((4, height, width), 0.2)
  image = dataclasses.replace(
    given.images[0], picture=np.zeros((height, width, 3), np.uint8), heatmaps=faint
  )
  brighter = dataclasses.replace(image, heatmaps=4 * faint)
  low, high = (pictures(explanations([one], given.features))[1].mean() for one in (image, brighter))
  assert low < 0.6 * high


def test_a_row_may_have_fewer_features_and_no_label(given):
  bare = dataclasses.replace(given.images[0], features=[], heatmaps=np.zeros((0, 32, 32)), label='')
  silent = {i: dataclasses.replace(f, average=None) for i, f in given.features.items()}
  figure = explanations([given.images[1], bare], silent)
  assert len(figure.axes) == 2 * len(given.images[1].features) + 2 + 2
  assert titled(figure, 'petals red')[0].get_title() == 'petals red'
  assert sum('no\nresponse' in [t.get_text() for t in axes.texts] for axes in figure.axes) == 4


def test_average_images_stand_by_class_and_weight(given):
  figure = average_images(given.classes, given.features, rows=4)
  assert [axes.get_title() for axes in figure.axes[::4]] == [one.name for one in given.classes]
  panels = iter(figure.axes)
  for one in given.classes:
    for index, weight in one.features[:4]:
      axes = next(panels)
      np.testing.assert_array_equal(axes.images[0].get_array(), given.features[index].average)
      assert float(axes.get_xlabel().replace('−', '-')) == pytest.approx(weight, rel=0.06)  # noqa: RUF001
      assert (axes.xaxis.label.get_color() == REMOVED) == (weight < 0)
  empty = average_images([ClassView('none', [], 0, np.nan)], given.features)
  assert not pictures(empty)


def test_curves_have_their_bands(given):
  axes = ablation(given.curves).axes[0]
  for line, curve in zip(axes.lines, given.curves, strict=True):
    np.testing.assert_array_equal(line.get_xdata(), curve.counts)
    np.testing.assert_allclose(line.get_ydata(), 100 * curve.accuracy)
  (band,) = axes.collections  # Of the one with repetitions.
  random = given.curves[-1]
  top = band.get_paths()[0].vertices[:, 1].max()
  assert top == pytest.approx(100 * (random.accuracy + random.deviation).max())
  assert len({line.get_color() for line in axes.lines}) == len(given.curves)
  ablation([Curve('one', np.array([0]), np.array([0.5]))])


def test_the_overlap_shows_ours_and_the_papers(given):
  axes = overlap(given.table).axes[0]
  assert [label.get_text() for label in axes.get_yticklabels()] == [row[0] for row in given.table]
  drawn = [(line.get_marker(), line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata())]
  assert [x for marker, x in drawn if marker == 'o'] == [row[1] for row in given.table]
  assert [x for marker, x in drawn if marker == 'D'] == [row[3][0] for row in given.table if row[3]]
  ranges = [bar.get_segments()[0][:, 0] for bar in axes.collections]
  name, mean, deviation, _ = given.table[0]
  np.testing.assert_allclose(ranges[0], [mean - deviation, mean + deviation], err_msg=name)
  assert 'paper' not in legend(overlap([(*given.table[0][:3], None)]))


def test_the_correlations_of_parts_reach_to_one():
  axes = parts([('one', 0.7, 0.1), ('other', -0.2, 0.05)]).axes[0]
  drawn = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == 'o']
  assert drawn == [0.7, -0.2] and axes.get_xlim()[1] == 1


def legend(figure):
  return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize(
  ('draw', 'message'),
  [
    (lambda: explanations([], {}), 'no images'),
    (lambda: average_images([], {}), 'at least one class'),
    (lambda: average_images([ClassView('a', [], 0, 0.0)], {}, rows=0), 'at least one row'),
    (lambda: ablation([]), 'no curves'),
    (lambda: overlap([]), 'no rows'),
    (lambda: parts([]), 'no rows'),
  ],
)
def test_nothing_to_draw_is_said(draw, message):
  with pytest.raises(UserError, match=message):
    draw()


def test_a_figure_is_the_same_twice_whatever_the_names(given):
  image = dataclasses.replace(given.images[0], predicted='$x_{$ <b> 写真', label='')
  one, two = (png(explanations([image], given.features)) for _ in range(2))
  assert one == two
