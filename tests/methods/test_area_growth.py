"""What scores over several areas say together."""

import types

import numpy as np

from perturb.methods.area_growth import is_monotonic, kept_fraction, smallest_area


def result_of(scores, areas, full=10.0, blank=0.0):
  return types.SimpleNamespace(
    areas=np.asarray(areas),
    scores=np.asarray(scores, float),
    full_score=np.full(len(scores), full),
    blank_score=np.full(len(scores), blank),
  )


def test_the_smallest_area_that_reaches_the_score():
  result = result_of([[2, 11, 9, 12], [1, 2, 3, 4]], [0.05, 0.2, 0.1, 0.4])
  np.testing.assert_array_equal(smallest_area(result), [0.2, np.nan])
  np.testing.assert_array_equal(smallest_area(result, 0.4), [0.1, 0.4])


def test_monotonicity_counts_only_areas_below_the_smallest():
  areas = [0.05, 0.1, 0.2, 0.4]
  assert is_monotonic(result_of([[1, 2, 3, 4]], areas))[0]
  assert not is_monotonic(result_of([[3, 2, 3, 4]], areas))[0]
  assert is_monotonic(result_of([[1, 2, 11, 3]], areas))[0]
  assert is_monotonic(result_of([[4, 1, 3, 2]], [0.4, 0.05, 0.2, 0.1]))[0]


def test_the_bar_saturates():
  result = result_of([[0, 5, 10, 100]], [0.1, 0.2, 0.3, 0.4])
  np.testing.assert_allclose(kept_fraction(result), [[0, 0.5, 1, 1.25]])
