"""Boxes and masks are where the pictures are that they mark."""

import tracemalloc

import numpy as np
from PIL import Image, ImageDraw
import pytest

from perturb.data.fitted_regions import fitted_boxes, fitted_mask
from perturb.data.fitting import fit_picture
from perturb.errors import ImageError

SIZE = 32
CASES = [
  # Width, height, fit, multiple, box.
  (100, 60, 'crop', 1, (30, 10, 70, 50)),
  (60, 100, 'crop', 1, (10, 41, 45, 60)),
  (401, 300, 'aspect', 1, (33, 20, 350, 211)),
  (401, 300, 'aspect', 16, (80, 20, 320, 211)),
  (300, 511, 'aspect', 16, (31, 100, 207, 400)),
  (97, 61, 'squash', 1, (13, 7, 60, 50)),
  (20, 24, 'crop', 1, (3, 5, 14, 18)),  # Enlarged.
  (24, 20, 'squash', 1, (3, 5, 14, 18)),
  (17, 4_000, 'crop', 1, (4, 1_997, 13, 2_004)),  # Strips.
  (4_000, 17, 'crop', 1, (1_996, 4, 2_003, 12)),
  (17, 4_000, 'squash', 1, (4, 900, 13, 2_900)),
  (4_000, 17, 'squash', 1, (900, 4, 2_900, 13)),
]


def drawn(width, height, box):
  picture = Image.new('L', (width, height))
  left, top, right, bottom = box
  ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), fill=255)
  return picture


def edges(profile):
  """Where a profile rises to 1/2 and falls below it: pixel i is from i to i + 1."""
  above = np.flatnonzero(profile >= 0.5)
  first, last = above[0], above[-1]

  def between(low, high):  # Of the centres of two pixels.
    return low + 0.5 + (0.5 - profile[low]) / (profile[high] - profile[low]) * (high - low)

  return between(first - 1, first), between(last + 1, last)


def tight_box(mask):
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@pytest.mark.parametrize(('width', 'height', 'fit', 'multiple', 'box'), CASES)
def test_a_box_is_where_its_rectangle_is(width, height, fit, multiple, box):
  picture = drawn(width, height, box)
  options = {'size': SIZE, 'fit': fit, 'multiple': multiple}
  image = fit_picture(picture.convert('RGB'), **options)[..., 0] / 255
  (found,) = fitted_boxes(np.array([box]), width, height, **options)
  middle_x, middle_y = int(found[[0, 2]].mean()), int(found[[1, 3]].mean())
  left, right = edges(image[middle_y])
  top, bottom = edges(image[:, middle_x])
  np.testing.assert_allclose(found, [left, top, right, bottom], atol=0.15)
  mask = fitted_mask(np.asarray(picture) > 0, **options)
  assert mask.dtype == bool and mask.shape == image.shape
  tight = tight_box(mask)
  np.testing.assert_allclose(found, tight, atol=0.5 + 1e-6)
  outside = np.argwhere(~mask[tight[1] : tight[3], tight[0] : tight[2]])
  assert len(outside) <= 4  # Corners, of which less than half may be inside.


def test_what_is_cropped_away_has_no_area():
  """The middle 60 columns of 100 are 32: a column is 8 / 15."""
  boxes = np.array([[0, 0, 15, 60], [0, 15, 35, 30], [85, 0, 100, 60], [0, 0, 100, 60]])
  found = fitted_boxes(boxes, 100, 60, size=SIZE)
  scaled = 53 / 100, 32 / 60  # Rounded to whole pixels, of which 10 are cropped at the left.
  expected = [
    [0, 0, 0, 32], [0, 15 * scaled[1], 35 * scaled[0] - 10, 16], [32, 0, 32, 32], [0, 0, 32, 32],
  ]  # fmt: skip
  np.testing.assert_allclose(found, expected)
  assert fitted_boxes(np.zeros((0, 4)), 100, 60, size=SIZE).shape == (0, 4)


def test_a_pixel_is_in_a_mask_by_half():
  """Each pixel is a block of 2 x 2; in column k, k pixels of the block are inside."""
  blocks = [np.arange(4).reshape(2, 2) < k for k in range(5)]
  mask = np.zeros((2 * SIZE, 2 * SIZE), bool)
  mask[:, :10] = np.tile(np.concatenate(blocks, axis=1), (SIZE, 1))
  found = fitted_mask(mask, size=SIZE)
  assert found[:, :5].tolist() == [[False, False, True, True, True]] * SIZE
  assert not found[:, 5:].any()


def test_shares_are_exact_for_any_ratio():
  """61 to 32 pixels: against a mean over a grid of which both are whole parts."""
  mask = np.random.RandomState(0).rand(61, 61) < 0.5
  fine = np.kron(mask, np.ones((32, 32), bool))
  shares = fine.reshape(32, 61, 32, 61).mean((1, 3))
  assert np.array_equal(fitted_mask(mask, size=SIZE), shares >= 0.5)


@pytest.mark.parametrize('shape', [(1_000_000, 17), (17, 1_000_000)])
@pytest.mark.parametrize('fit', ['crop', 'squash'])
def test_the_mask_of_the_longest_picture_takes_little_memory(shape, fit):
  mask = np.ones(shape, bool)
  tracemalloc.start()
  try:
    assert fitted_mask(mask, size=224, fit=fit).all()
    assert tracemalloc.get_traced_memory()[1] < 200e6
  finally:
    tracemalloc.stop()


def test_a_strip_cannot_keep_its_whole_shape():
  with pytest.raises(ImageError, match=r'x\.png: 17 x 4000 pixels is too long for fit=aspect'):
    fitted_boxes(np.zeros((1, 4)), 17, 4000, size=SIZE, fit='aspect', place='x.png')
