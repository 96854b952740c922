"""Random and centre crops: where they are, and that their pixels are those of a plain resize."""

import io
import math

import numpy as np
from PIL import ExifTags, Image
import pytest

from perturb.data.crops import centre_box, random_box, read_crops
from perturb.data.images import open_picture
from perturb.errors import ImageError


def photograph(width, height, seed=0):
  """Smooth, as photographs are, with some grain."""
  random = np.random.default_rng(seed)
  coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8))
  pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float)
  return Image.fromarray(np.clip(pixels + random.normal(0, 3, pixels.shape), 0, 255).astype('u1'))


def encoded(image, kind='jpeg', **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file


def crop(file, box, size):
  (found,) = read_crops(file, 'here', lambda *_: [box], size=size)
  return np.asarray(found)


def plain(file, box, size):
  """As torchvision: decode all, cut, resize."""
  return np.asarray(open_picture(file, 'here').crop(box).resize((size, size), 2))


@pytest.mark.parametrize(('width', 'height'), [(500, 375), (100, 240)])
def test_random_boxes_are_inside_and_spread_as_drawn(width, height):
  random = np.random.default_rng(0)
  boxes = np.array([random_box(random, width, height) for _ in range(4000)])
  across, down = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
  assert (boxes >= 0).all() and (boxes[:, 2:] <= (width, height)).all()
  assert (boxes == boxes.astype(int)).all() and (across > 0).all() and (down > 0).all()
  ratios = across / down
  assert ratios.min() > 3 / 4 - 0.03 and ratios.max() < 4 / 3 + 0.03
  for first, free in ((boxes[:, 0], width - across), (boxes[:, 1], height - down)):
    places = first[free > 20] / free[free > 20]
    assert abs(places.mean() - 0.5) < 0.02 and abs(places.var() - 1 / 12) < 0.01


def test_areas_and_ratios_have_the_moments_of_their_formula():
  """In a square that takes nearly every draw: those below the side's limit, which is stated."""
  random = np.random.default_rng(1)
  boxes = np.array([random_box(random, 1000, 1000) for _ in range(8000)])
  across, down = (boxes[:, 2:] - boxes[:, :2]).T
  # The formula itself, by rejection: area and ratio drawn until both sides fit.
  area = random.uniform(0.08, 1, 10**5)
  ratio = np.exp(random.uniform(math.log(3 / 4), math.log(4 / 3), 10**5))
  fits = (np.sqrt(area * ratio) <= 1) & (np.sqrt(area / ratio) <= 1)
  for found, expected in (
    (across * down / 10**6, area[fits]),
    (np.log(across / down), np.log(ratio[fits])),
  ):
    error = expected.std() / math.sqrt(len(found))
    assert abs(found.mean() - expected.mean()) < 4 * error
    np.testing.assert_allclose(found.std(), expected.std(), rtol=0.03)
    np.testing.assert_allclose(
      np.quantile(found, [0.1, 0.5, 0.9]), np.quantile(expected, [0.1, 0.5, 0.9]), atol=0.03
    )


@pytest.mark.parametrize(
  ('width', 'height', 'box'),
  [(40, 400, (0, 173, 40, 226)), (400, 40, (173, 0, 226, 40))],
)
def test_what_no_draw_fits_is_cut_in_the_middle(width, height, box):
  class Largest:
    """Draws the largest area, and the largest ratio."""

    def uniform(self, *limits):
      return limits[1]

  assert random_box(Largest(), width, height) == box


def test_the_centre_is_that_of_resize_and_centre_crop():
  for width, height in ((500, 375), (375, 500), (333, 517)):
    picture = photograph(width, height)
    short = 256
    scaled = [int(short * side / min(width, height)) for side in (width, height)]
    left, top = (round((side - 224) / 2) for side in scaled)
    expected = picture.resize(scaled, 2).crop((left, top, left + 224, top + 224))
    found = crop(encoded(picture, 'png'), centre_box(width, height, 224), 224)
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 1  # Rounding of the weights.


@pytest.mark.parametrize(
  ('kind', 'mode', 'options'),
  [
    ('jpeg', 'RGB', {'quality': 90}),
    ('jpeg', 'L', {}),
    ('jpeg', 'CMYK', {}),
    ('jpeg', 'RGB', {'progressive': True}),
    ('png', 'RGBA', {}),
    ('png', 'P', {}),
  ],
)
def test_a_crop_is_that_of_the_decoded_picture(kind, mode, options):
  file = encoded(photograph(200, 150).convert(mode), kind, **options)
  box = (31, 17, 131, 149)
  np.testing.assert_array_equal(crop(file, box, 64), plain(file, box, 64))


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize(('width', 'size'), [(200, 100), (800, 56), (804, 56)])
def test_a_turned_picture_is_cropped_upright(orientation, width, size):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = orientation
  file = encoded(photograph(width, width * 3 // 4), exif=exif, quality=95)
  across, down = open_picture(file, 'here').size
  box = (across // 10, down // 5, across * 9 // 10, down)
  found, expected = crop(file, box, size).astype(int), plain(file, box, size)
  assert np.abs(found - expected).max() <= (0 if width == 200 else 3)


@pytest.mark.parametrize(('width', 'height'), [(801, 603), (1000, 750)])
def test_a_large_jpeg_decoded_at_a_fraction_is_nearly_the_same(width, height):
  file = encoded(photograph(width, height), quality=90)
  for box in ((0, 0, width, height), (101, 53, 601, 503), (13, 7, 500, height)):
    difference = crop(file, box, 100).astype(int) - plain(file, box, 100)
    assert np.abs(difference).mean() < 0.6 and np.abs(difference).max() <= 4


def test_parts_of_one_picture_are_its_own():
  file = encoded(photograph(200, 150))
  boxes = [(0, 0, 100, 100), (50, 20, 200, 150)]
  found = read_crops(file, 'here', lambda *size: boxes if size == (200, 150) else [], size=64)
  for one, box in zip(found, boxes, strict=True):
    np.testing.assert_array_equal(np.asarray(one), plain(file, box, 64))


def test_damage_is_said_in_a_line():
  whole = encoded(photograph(200, 150)).getvalue()
  for data, message in ((b'no picture', 'not an image'), (whole[:2000], 'cannot be read')):
    with pytest.raises(ImageError, match=f'^here: {message}'):
      crop(io.BytesIO(data), (0, 0, 100, 100), 50)
