"""Means over classes."""

import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.class_means import mean_over_classes

HITS, CLASSES = [True, False, True, True], [0, 0, 2, 2]


def test_classes_without_pairs_are_left_out_or_count_as_zero():
  paper = mean_over_classes(HITS, CLASSES, 4)
  assert (paper.over_classes, paper.over_pairs) == (0.75, 0.75)
  np.testing.assert_array_equal(paper.per_class, [0.5, np.nan, 1, np.nan])
  np.testing.assert_array_equal(paper.pairs, [2, 0, 2, 0])
  torchray = mean_over_classes(HITS, CLASSES, 4, mode='torchray')
  assert (torchray.over_classes, torchray.over_pairs) == (0.375, 0.75)
  np.testing.assert_array_equal(torchray.per_class, [0.5, 0, 1, 0])


def test_nan_is_left_out_and_counted():
  found = mean_over_classes([1, np.nan, 0.5, np.nan, 0.25], [0, 0, 0, 1, 2], 3)
  np.testing.assert_array_equal(found.per_class, [0.75, np.nan, 0.25])
  assert (found.over_classes, found.over_pairs, found.left_out) == (0.5, 1.75 / 3, 2)


def test_nothing_has_no_mean():
  found = mean_over_classes([], [], 3)
  assert np.isnan([found.over_classes, found.over_pairs]).all() and found.left_out == 0


@pytest.mark.parametrize(
  ('values', 'classes', 'message'),
  [
    ([1, 0], [0, 4], r'classes\[1\] is 4: give indices 0 to 3'),
    ([1, 0], [0, -1], r'classes\[1\] is -1: give indices 0 to 3'),
    ([1, 0], [0.0, 1.0], r'classes must be integers \[B\], not float64 of shape \(2,\)'),
    ([1, 0], [0], 'classes has 1 items, and values has 2: give as many'),
    ([[1, 0]], [0], r'values must be of shape \[B\], not \(1, 2\)'),
    (['a'], [0], r'values must be numbers \[B\]'),
  ],
)
def test_what_does_not_fit_is_named(values, classes, message):
  with pytest.raises(UserError, match=message):
    mean_over_classes(values, classes, 4)
