"""What scores over several areas say together."""

import types

import numpy as np

from perturb.methods.area_growth import (
  has_evidence,
  is_monotonic,
  kept_fraction,
  smallest_area,
  trusted_fraction,
)


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


def test_where_the_class_is_not_in_the_image_there_is_no_share_and_no_area():
  areas, scores = [0.1, 0.2], [[5.0, 6.0]]
  for full, blank in ((-1, 0), (0, 0)):  # No higher than in the blank image.
    result = result_of(scores, areas, full=full, blank=blank)
    assert not has_evidence(result)[0] and np.isnan(smallest_area(result)[0])
    assert np.isnan(kept_fraction(result)).all()
  # The masks move the score by 0.6 or 1.2, the image by 0.5.
  hardly = result_of([[0.6, 1.2]], areas, full=0.5, blank=0.0)
  assert not has_evidence(hardly)[0] and np.isnan(smallest_area(hardly)[0])
  np.testing.assert_allclose(kept_fraction(hardly, np.inf), [[1.2, 2.4]])
  assert np.isnan(trusted_fraction(hardly)).all()
  much = result_of(scores, areas, full=2.0, blank=0.0)  # Whatever the masks do.
  assert has_evidence(much)[0] and smallest_area(much)[0] == 0.1
  enough = result_of(scores, areas, full=5.5, blank=0.0)
  assert has_evidence(enough)[0] and smallest_area(enough)[0] == 0.2
  np.testing.assert_array_equal(trusted_fraction(enough), kept_fraction(enough))


def test_a_smaller_share_of_the_score_never_asks_for_a_larger_area():
  """Of negative scores too: the share is of the way from the blank image's score."""
  result = result_of([[-5.0, -1.5]], [0.1, 0.2], full=-2.0, blank=-10.0)
  found = [smallest_area(result, fraction)[0] for fraction in (1.0, 0.9, 0.5, 0.1)]
  np.testing.assert_array_equal(found, [0.2, 0.2, 0.1, 0.1])
