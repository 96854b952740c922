"""Pictures without their salient pixels, by hand."""

import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.removal import mean_colour, without_salient

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randint(0, 256, (3, 10, 10, 3), np.uint8)
ORDER = RANDOM.permutation(300).reshape(3, 10, 10).astype(np.float32)
COLOUR = (7.4, 120.6, 255)


@pytest.mark.parametrize('share', [0, 0.1, 0.7, 0.999, 1])
def test_the_largest_values_go_and_no_other(share):
  found = without_salient(IMAGES, ORDER, share, COLOUR)
  count = int(round(100 * share, 6))
  for image, order, changed in zip(IMAGES, ORDER, found, strict=True):
    gone = np.isin(order, np.sort(order.ravel())[100 - count :])
    assert gone.sum() == count
    assert (changed[gone] == (7, 121, 255)).all()
    np.testing.assert_array_equal(changed[~gone], image[~gone])


def test_all_pictures_and_a_few_at_once_are_the_same(monkeypatch):
  whole = without_salient(IMAGES, ORDER, 0.3, COLOUR)
  monkeypatch.setattr('perturb.evaluate.removal._AT_ONCE', 100)
  np.testing.assert_array_equal(without_salient(IMAGES, ORDER, 0.3, COLOUR), whole)


def test_the_mean_colour_is_that_of_all_pixels():
  np.testing.assert_allclose(mean_colour(IMAGES), IMAGES.reshape(-1, 3).mean(0))
  np.testing.assert_array_equal(mean_colour(np.full((1, 2, 2, 3), (1, 2, 3), np.uint8)), (1, 2, 3))


def test_what_does_not_fit_is_named():
  with pytest.raises(UserError, match=r'share must be between 0 and 1, not 1\.5'):
    without_salient(IMAGES, ORDER, 1.5, COLOUR)
  with pytest.raises(UserError, match='heatmaps must be of shape'):
    without_salient(IMAGES, ORDER[:2], 0.5, COLOUR)
  lost = ORDER.copy()
  lost[1, 0, 0] = np.nan
  with pytest.raises(UserError, match='heatmaps: 1 have values that are not numbers, first 1'):
    without_salient(IMAGES, lost, 0.5, COLOUR)
