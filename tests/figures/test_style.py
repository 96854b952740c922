"""What figures share: nothing runs off a panel, and a percentage has one format."""

import io
import warnings

from matplotlib.figure import Figure
import numpy as np
from PIL import Image
import pytest

from perturb.console import percent
from perturb.figures import heatmaps, studies
from perturb.figures.style import PANEL, fitted, png, title

LONG = 'black-and-tan coonhound, a class with a long name of somebody_with_$underscores$'
PICTURE, HEAT = np.zeros((56, 56, 3), np.uint8), np.zeros((28, 28))


@pytest.mark.parametrize(
  ('share', 'text'),
  [
    (0.05, '5 %'),
    (0.0125, '1.25 %'),
    (1 / 3, '33.3 %'),
    (0.999, '99.9 %'),
    (1.137, '114 %'),
    (1e-7, '0 %'),
    (12.345, '1234 %'),
    (-0.5, '-50 %'),
  ],
)
def test_a_percentage_has_one_format(share, text):
  assert percent(share) == text


def test_a_short_title_stays_as_it_is():
  assert fitted('Egyptian cat', 7, PANEL) == ('Egyptian cat', 7)


@pytest.mark.parametrize('text', [LONG, 'x' * 99, 'Meaningful pert., of many', 'a ' + 'y' * 100])
def test_a_long_title_is_broken_or_cut_to_its_panel(text):
  lines, size = fitted(text, 7, PANEL)
  assert size < 7 and 1 <= len(lines.split('\n')) <= 2
  for line in lines.split('\n'):
    assert fitted(line, size, PANEL) == (line, size)
  assert lines.endswith('…') or lines.replace('\n', ' ') == text


@pytest.mark.parametrize(
  'figure',
  [
    lambda name: heatmaps.sheet([(name, PICTURE, HEAT)] * 2, name),
    lambda name: heatmaps.comparison(
      [heatmaps.Row(name, PICTURE, {'m': heatmaps.Panel(name, HEAT, 1.0)})], ['m']
    ),
    lambda name: studies.interrogated([(PICTURE, PICTURE, name, 0.9, 0.1)], (1, 1, 9, 9)),
  ],
  ids=['sheet', 'comparison', 'interrogated'],
)
def test_a_long_name_makes_no_figure_wider(figure):
  short, long = (Image.open(io.BytesIO(png(figure(name)))).width for name in ('cup', LONG))
  assert long <= short + 40  # A side title may have a second line.


def titled(text):
  figure = Figure(figsize=(1, 1))
  axes = figure.subplots()
  title(axes, text, 6)
  axes.set_xlabel(text, fontsize=6)
  return figure


@pytest.mark.parametrize('name', ['$', '$a$', r'$\frac{$', 'a\x00b', '\udcff', '写真', '<b>', '\\'])
def test_a_figure_shows_any_name(name):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    data = png(titled(name))
  assert np.asarray(Image.open(io.BytesIO(data))).min() < 128


def test_a_name_is_no_formula():
  one, two = (np.asarray(Image.open(io.BytesIO(png(titled(text))))) for text in ('$a$', 'a'))
  assert one.shape != two.shape or (one != two).any()
  figure = titled('$a$')
  png(figure)
  assert figure.axes[0].get_title() == figure.axes[0].get_xlabel() == '$a$'
