"""The features that speak for a class, by hand."""

import numpy as np
import pytest

from concepts.relevant import top_features
from perturb.errors import UserError

# Columns: a class with a positive sum, 2; one with a negative sum, -1; one without weights.
WEIGHTS = np.array([[1, -2, 0], [2, 0, 0], [-1, 0.5, 0], [0, 0.5, 0]], np.float32)
RESPONSES = np.array([[0.5, 0.2, 0.3, 0], [0.5, 0.2, 0.3, 0.1], [1, 1, 1, 1]], np.float32)
CLASSES = np.array([0, 1, 2])


@pytest.mark.parametrize(
  ('mode', 'scales'),
  # Divided by 2; and by 3, the sum of absolute values, for -1 would make filter 0 speak for it.
  [('paper', (1, 1)), ('released', (1 / 2, 1 / 3))],
)
def test_by_hand(mode, scales):
  top = top_features(WEIGHTS, RESPONSES, CLASSES, 3, mode=mode)
  np.testing.assert_array_equal(top.indices, [[0, 1, -1], [2, 3, -1], [-1, -1, -1]])
  expected = [
    np.array([0.5, 0.4, 0]) * scales[0],
    np.array([0.15, 0.05, 0]) * scales[1],
    np.zeros(3),
  ]
  np.testing.assert_allclose(top.contributions, expected, rtol=1e-6)


def test_only_among_those_allowed():
  top = top_features(WEIGHTS, RESPONSES, CLASSES, 3, among=np.array([False, True, True, False]))
  np.testing.assert_array_equal(top.indices, [[1, -1, -1], [2, -1, -1], [-1, -1, -1]])


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    ({'count': 5}, r'count must be 1 to 4, the number of features, not 5'),
    ({'mode': 'signed'}, r'mode must be one of paper, released'),
    ({'responses': RESPONSES[:, :3]}, r'responses \(3, 3\) and weights \(4, 3\)'),
    ({'among': np.ones(3, bool)}, r'among must be bool \[4\]'),
  ],
)
def test_what_is_wrong_is_named(changed, message):
  arguments = {'weights': WEIGHTS, 'responses': RESPONSES, 'predicted': CLASSES} | changed
  with pytest.raises(UserError, match=message):
    top_features(**arguments)
