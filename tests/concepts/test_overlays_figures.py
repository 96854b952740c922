"""Figures of similarity."""

import numpy as np
import pytest

from concepts.figures.overlay_views import Picture
from concepts.figures.overlays import Line, Matches, correspondence_figure, sensitivity_figure
from concepts.patch_similarity import correspondence


@pytest.fixture
def matches():
  random = np.random.default_rng(0)
  a, b = random.normal(size=(4, 6, 8)), random.normal(size=(3, 3, 8))
  return Matches('conv', ((4, 6), (3, 3)), correspondence(a, b))


def test_a_line_joins_the_middles_of_two_patches(matches):
  """Of a picture of 4 x 6 cells, 20 x 30 pixels, and one of 3 x 3, beside each other."""
  first, second = (
    Picture(name, np.zeros((*shape, 3), np.uint8))
    for name, shape in (('a', (20, 30)), ('b', (9, 9)))
  )
  figure = correspondence_figure(first, second, [matches])
  axes = figure.axes[0]
  halo, lines = axes.collections[:2]
  assert len(lines.get_segments()) == len(halo.get_segments()) == len(matches.pairs.similarity)
  (left, top), (right, bottom) = lines.get_segments()[-1]  # The most alike is drawn last.
  (row, column), (down, across) = matches.pairs.first[0], matches.pairs.second[0]
  assert (left, top) == pytest.approx(((column + 0.5) / 6 * 1.5, (row + 0.5) / 4))
  start = axes.images[1].get_extent()[0]
  assert (right, bottom) == pytest.approx((start + (across + 0.5) / 3, (down + 0.5) / 3))
  assert f'conv: {len(matches.pairs.similarity)} mutual pairs' in axes.get_title()


def test_pictures_of_which_no_patch_belongs_together(matches):
  none = matches._replace(pairs=correspondence(np.zeros((4, 6, 8)), np.zeros((3, 3, 8))))
  black = Picture('a', np.zeros((9, 9, 3), np.uint8))
  assert 'conv: 0 mutual pairs' in correspondence_figure(black, black, [none]).axes[0].get_title()


def test_a_line_for_each_layer_and_one_for_chance():
  moved, chance = np.array([1, 0.5, np.nan]), np.array([0.2, 0.2, np.nan])
  line = Line(moved, moved - 0.1, moved + 0.1, chance)
  amounts = {'rotation': (0, 45, 90), 'scale': (1, 2, 40)}
  lines = {name: dict.fromkeys(amounts, line) for name in ('early', 'late')}
  figure = sensitivity_figure(lines, amounts, images=3)
  for axes, kind in zip(figure.axes, amounts, strict=True):
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), amounts[kind])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), moved)
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), chance)
  assert [text.get_text() for text in figure.legends[0].texts] == [
    'early',
    'late',
    'any two patches',
  ]
  assert 'mean of 3 pictures' in figure.get_suptitle()
  assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ['0°', '45°', '90°']
