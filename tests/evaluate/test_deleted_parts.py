"""The importance of parts, by hand."""

import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate import part_importance

PARTS = np.array([[0, 1, 1], [2, 2, 3]])
HEATMAP = np.array([[9.0, 1, 2], [4, 0, -1]])  # Sums of the parts: 3, 4, -1.


@pytest.mark.parametrize(
  ('without', 'correlation'),
  [
    ([4.0, 1.0, 5.0], 1.0),  # Drops 1, 4, 0.
    ([1.0, 4.0, 5.0], 0.5),  # Drops 4, 1, 0: ranks 3, 2, 1 against 2, 3, 1.
    ([4.0, 4.0, 1.0], -0.866025),  # Drops 1, 1, 4.
    ([5.0, 5.0, 5.0], np.nan),
  ],
)
def test_drops_sums_and_their_correlation(without, correlation):
  found = part_importance([5.0], [without], HEATMAP, PARTS)
  np.testing.assert_allclose(found.network, 5 - np.array([without]))
  np.testing.assert_allclose(found.explanation, [[3, 4, -1]])
  np.testing.assert_allclose(found.correlation, [correlation], atol=1e-6)


def test_the_mean_over_a_part_does_not_grow_with_it():
  """Of means 1.5, 2, -1 against drops 1, 4, 0; the sums of a constant part are its size alone."""
  found = part_importance([5.0], [[4.0, 1.0, 5.0]], HEATMAP, PARTS, evidence='mean')
  np.testing.assert_allclose(found.explanation, [[1.5, 2, -1]])
  np.testing.assert_allclose(found.correlation, [1])
  large = np.array([[0, 1, 1], [1, 1, 2]])
  flat = np.where(large, 1.0, 0.0)
  ranked = {
    evidence: part_importance([2.0], [[1.0, 2.0]], flat, large, evidence=evidence).correlation[0]
    for evidence in ('sum', 'mean')
  }
  np.testing.assert_allclose([ranked['sum'], ranked['mean']], [1, np.nan])


def test_a_part_that_is_not_shown_does_not_count():
  """Part 2 of 4; the others agree."""
  parts = np.array([[0, 1, 1], [4, 4, 3]])
  found = part_importance([5.0], [[4.0, 0.0, 5.0, 3.0]], HEATMAP, parts)
  np.testing.assert_allclose(found.network, [[1, np.nan, 0, 2]])
  np.testing.assert_allclose(found.explanation, [[3, np.nan, -1, 4]])
  np.testing.assert_allclose(found.correlation, [1])


def test_pictures_of_several_sizes_and_heatmaps_that_say_nothing():
  """A small heatmap is enlarged: of four quarters, each is a part."""
  quarters = np.kron([[1, 2], [3, 4]], np.ones((8, 8), int))
  heatmaps = [HEATMAP, np.array([[1.0, 4], [3, 2]]), np.ones((2, 3)), np.full((2, 3), np.nan)]
  without = [[4.0, 1.0, 5.0, 0.0], [4.0, 1.0, 2.0, 3.0], *[[4.0, 1.0, 5.0, 0.0]] * 2]
  found = part_importance([5.0] * 4, without, heatmaps, [PARTS, quarters, PARTS, PARTS])
  np.testing.assert_allclose(found.correlation, [1, 1, np.nan, np.nan])
  np.testing.assert_allclose(found.explanation[1].sum(), 16 * 16 * 2.5)
  assert np.isnan(found.explanation[2:]).all()


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'without': [[1.0, 2.0]]}, r'parts\[0\] must be from 0 to 2.*it has 0 to 3'),
    ({'parts': PARTS > 0}, r'parts\[0\] must be integers'),
    ({'scores': [1.0, 2.0]}, 'without has 1 items, and scores has 2'),
    ({'evidence': 'max'}, r'evidence must be one of sum, mean'),
    ({'scores': 1.0}, r'scores must be of shape \[B\]'),
  ],
)
def test_what_does_not_fit(changes, message):
  given = {'scores': [5.0], 'without': [[1.0, 2.0, 3.0]], 'heatmaps': HEATMAP, 'parts': PARTS}
  with pytest.raises(UserError, match=message):
    part_importance(**given | changes)
