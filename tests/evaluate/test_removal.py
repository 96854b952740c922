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


def test_of_equal_values_a_picture_loses_some_at_random():
  """As integrated gradients of digits: a few are positive, a few negative, most are 0."""
  images, heat = RANDOM.randint(0, 200, (40, 10, 10, 3), np.uint8), np.zeros((40, 10, 10))
  heat[:, 5, :5], heat[:, 6, :5] = 1, -1
  gone = {
    share: (without_salient(images, heat, share, (255, 255, 255), key=3) == 255).all(-1)
    for share in (0.5, 0.7)
  }
  for share, each in gone.items():
    assert (each.sum((1, 2)) == 100 * share).all()
    assert each[:, 5, :5].all() and not each[:, 6, :5].any()
    zero = each[heat == 0].reshape(40, 90)
    # 3600 draws of a proportion, and as many in either half of the picture.
    np.testing.assert_allclose(zero.mean(), (100 * share - 5) / 90)
    assert abs(zero[:, :45].mean() - zero[:, 45:].mean()) < 0.06
    assert len({row.tobytes() for row in zero}) == 40  # Each picture's own.
  assert not (gone[0.5] & ~gone[0.7]).any()
  alone = without_salient(images[7:9], heat[7:9], 0.5, (255, 255, 255), key=3)
  np.testing.assert_array_equal((alone == 255).all(-1), gone[0.5][7:9])


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
