"""Masks of COCO's annotations, against those that its own tools draw."""

import itertools
import json

import numpy as np
import pytest

from perturb.data.coco_masks import polygon_mask, runs_mask
from tests.record_coco import FILE

CASES = json.loads(FILE.read_text())


def recorded(case):
  return np.array([[digit == '1' for digit in row] for row in case['rows']])


def runs_of(mask):
  """Lengths down the columns, the first of zeros."""
  runs = [(value, len(list(group))) for value, group in itertools.groupby(mask.T.ravel().tolist())]
  return [0] * runs[0][0] + [length for _, length in runs]


def test_polygons_are_drawn_to_the_pixel():
  assert sum(recorded(case).any() for case in CASES) > 24
  for case in CASES:
    found = polygon_mask(np.array(case['polygon']), tuple(case['size']))
    assert np.array_equal(found, recorded(case)), case['polygon']


def test_a_square_by_hand():
  """A pixel is inside if its middle is; corners are at the corners of pixels."""
  expected = np.zeros((5, 6), bool)
  expected[1:4, 2:5] = True
  assert np.array_equal(polygon_mask(np.array([2, 1, 5, 1, 5, 4, 2, 4.0]), (6, 5)), expected)
  assert not polygon_mask(np.array([2.0, 2] * 3), (6, 5)).any()


def test_runs_plain_and_as_a_string():
  for case in CASES:
    expected, size = recorded(case), tuple(case['size'])
    assert np.array_equal(runs_mask(case['runs'], size), expected)
    assert np.array_equal(runs_mask(runs_of(expected), size), expected)
  expected = np.array([[0, 1, 0], [1, 0, 1]], bool)
  assert np.array_equal(runs_mask([1, 2, 2, 1], (3, 2)), expected)


@pytest.mark.parametrize(
  ('runs', 'message'),
  [
    ([1, 2], 'do not fill a picture of 3 x 2'),
    ([7, -1], 'do not fill'),
    ([[6]], 'do not fill'),
    ('0é', 'a character that does not belong'),
    ('0 ', 'a character that does not belong'),
    ('P', 'ends within a number'),
    ('oooooooooo', 'a character that does not belong'),  # A number without end.
    ('0', 'do not fill'),
  ],
)
def test_damaged_runs(runs, message):
  with pytest.raises(ValueError, match=message):
    runs_mask(runs, (3, 2))
