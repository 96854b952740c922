import resource

import numpy as np
from PIL import Image
import pytest

from perturb.data.fitting import fit_picture, fitted_shape
from perturb.errors import ImageError


@pytest.mark.parametrize('multiple', [1, 16])
def test_the_larger_picture_of_a_figure_shows_the_same_part(multiple):
  """Or masks would lie beside what they mark; rounding must not differ between the two."""
  for width in (400, 401, 428, 500, 535, 562):  # Twice the size, 401 would round the other way.
    ramp = np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (375, width, 3))
    picture = Image.fromarray(ramp.astype(np.uint8))
    small, large = (
      fit_picture(picture, size=224, fit='aspect', multiple=multiple, scale=scale)
      for scale in (1, 2)
    )
    assert large.shape[:2] == (448, 2 * small.shape[1])
    halved = large[0, :, 0].astype(float).reshape(-1, 2).mean(1)
    np.testing.assert_allclose(halved, small[0, :, 0], atol=2)


def waves(width, height):
  """Smooth along both axes."""
  x, y = np.meshgrid(np.arange(width), np.arange(height))
  return Image.fromarray((127 + 100 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)).convert(
    'RGB'
  )


@pytest.mark.parametrize('sides', [(17, 9_000), (9_000, 17), (90, 4_600), (4_600, 90)])
@pytest.mark.parametrize('scale', [1, 2])
def test_of_a_strip_only_the_middle_is_resized(sides, scale):
  """It is what the middle of the whole would be."""
  picture = waves(*sides)
  short = scale * 32
  whole = [max(round(side * 32 / min(sides)), 32) * scale for side in sides]
  scaled = picture.resize(whole, Image.Resampling.BICUBIC)
  left, top = (whole[0] - short) // 2, (whole[1] - short) // 2
  expected = np.asarray(scaled.crop((left, top, left + short, top + short)))
  found = fit_picture(picture, size=32, scale=scale)
  np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)


def test_a_square_of_a_strip_is_the_whole_of_it():
  tall, wide = waves(17, 6_000), waves(17, 6_000).transpose(Image.Transpose.TRANSPOSE)
  found = fit_picture(tall, size=32, fit='squash').astype(int)
  expected = np.asarray(tall.resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
  np.testing.assert_allclose(found, expected, atol=1)
  other = fit_picture(wide, size=32, fit='squash').transpose(1, 0, 2)
  np.testing.assert_allclose(found, other.astype(int), atol=1)


@pytest.mark.parametrize('sides', [(1_000_000, 17), (17, 1_000_000)])
def test_the_longest_picture_takes_little_memory(sides):
  """Its pixels are 68 MB; all of them resized would be 9 GB."""
  picture = Image.new('RGB', sides, (10, 20, 30))
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  for fit in ('crop', 'squash'):
    found = fit_picture(picture, size=224, fit=fit, scale=2)
    assert found.shape == (448, 448, 3) and (found == (10, 20, 30)).all()
  assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_strip_cannot_keep_its_whole_shape():
  with pytest.raises(ImageError, match=r'x\.png: 17 x 1000000 pixels is too long for fit=aspect'):
    fitted_shape(17, 1_000_000, size=224, fit='aspect', place='x.png')
  assert fitted_shape(5000, 100, size=224, fit='aspect') == (224, 11200)


def test_ordinary_pictures_are_resized_whole():
  picture = waves(100, 60)
  whole = picture.resize((53, 32), Image.Resampling.BICUBIC)
  found = fit_picture(picture, size=32)
  np.testing.assert_array_equal(found, np.asarray(whole.crop((10, 0, 42, 32))))
