"""Composed pictures: objects where they are said to be, masks that are exact, the same bytes."""

import numpy as np
from PIL import Image
import pytest

from perturb.data.composites import Cutout, compose, on_grey
from perturb.data.cutouts import read_backgrounds, read_objects, read_stamps
from perturb.errors import ImageError, UserError

SIZE = 96


def disc(radius, colour, label, soft=3.0):
  """A disc with a soft edge, uint8 RGBA; what is clear is pure green."""
  y, x = np.mgrid[: 2 * radius, : 2 * radius] - (radius - 0.5)
  alpha = np.clip((radius - 1 - np.hypot(x, y)) / soft + 0.5, 0, 1)
  pixels = np.zeros((2 * radius, 2 * radius, 4), np.uint8)
  pixels[..., :3] = np.where(alpha[..., None] > 0, colour, (0, 255, 0))
  pixels[..., 3] = np.round(255 * alpha)
  return Cutout(label, label, pixels)


def triangle(label, colour, height=30, width=50):
  """Not its own mirror image."""
  pixels = np.zeros((height, width, 4), np.uint8)
  pixels[..., :3] = colour
  pixels[..., 3] = 255 * (np.arange(height)[:, None] * width >= np.arange(width) * height)
  return Cutout(label, label, pixels)


OBJECTS = [
  disc(40, (200, 0, 0), 'red'),
  disc(9, (250, 10, 0), 'red'),
  disc(30, (0, 0, 200), 'blue'),
  triangle('white', (255, 255, 255)),
  triangle('black', (10, 20, 30), height=60, width=8),
]
RANDOM = np.random.RandomState(0)
BACKGROUNDS = [
  RANDOM.randint(0, 256, shape, np.uint8) for shape in ((70, 50, 3), (30, 90, 3), (200, 200, 3))
]


def draw(index, **options):
  return compose(OBJECTS, BACKGROUNDS, **{'seed': 3, 'index': index, 'size': SIZE, **options})


def alpha_alone(made, k):
  """The alpha of an object by itself, by Pillow's own mirroring, resizing and pasting."""
  at, image = made.places[k], Image.fromarray(OBJECTS[made.objects[k]].pixels)
  if at.mirrored:
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  whole = Image.new('RGBA', (SIZE, SIZE))
  whole.paste(image.resize((at.width, at.height), Image.Resampling.BICUBIC), (at.left, at.top))
  return np.asarray(whole)


@pytest.mark.parametrize('count', [1, 2, 4])
def test_a_mask_is_the_object_alone_less_what_hides_it(count):
  hidden = 0
  for index in range(40):
    made = draw(index, count=count)
    alone = np.stack([alpha_alone(made, k)[..., 3] >= 128 for k in range(count)])
    expected = [alone[k] & ~np.any(alone[k + 1 :], axis=0) for k in range(count)]
    np.testing.assert_array_equal(made.masks, expected)
    shares = 1 - made.masks.sum((1, 2)) / alone.sum((1, 2))
    assert np.all(shares < 0.25)
    hidden += np.count_nonzero(shares)
  assert (hidden > 3) == (count > 1)  # Or nothing would have been tested.


def test_pixels_are_those_of_pillows_blending():
  for index in range(20):
    made = draw(index, count=3)
    expected, clear = Image.fromarray(made.background).convert('RGBA'), True
    for k in range(3):
      alone = alpha_alone(made, k)
      expected.alpha_composite(Image.fromarray(alone))
      clear = clear & (alone[..., 3] == 0)
    difference = np.abs(made.picture.astype(int) - np.asarray(expected)[..., :3])
    assert difference.max() <= 3  # Roundings of three objects.
    np.testing.assert_array_equal(made.picture[clear], made.background[clear])
    assert np.mean(clear) > 0.2


def test_clear_pixels_do_not_colour_the_edges():
  """The green around the discs would make a halo on a background that has no green."""
  black = [np.zeros((9, 9, 3), np.uint8)]
  for index in range(10):
    made = compose(OBJECTS[:3], black, seed=0, index=index, size=SIZE)
    assert made.picture[..., 1].max() <= 12


def test_the_longer_side_is_in_its_range_and_all_of_an_object_is_inside():
  longer = {i: [] for i in range(len(OBJECTS))}
  for index in range(300):
    made = draw(index)
    for i, at in zip(made.objects, made.places, strict=True):
      assert at.top >= 0 and at.top + at.height <= SIZE
      assert at.left >= 0 and at.left + at.width <= SIZE
      height, width = OBJECTS[i].pixels.shape[:2]  # Each side is rounded.
      assert abs(at.height * width - at.width * height) <= (height + width) / 2
      longer[i].append(max(at.height, at.width))
  for i, sides in longer.items():
    highest = min(0.6 * SIZE, 2.5 * max(OBJECTS[i].pixels.shape))
    assert round(0.25 * SIZE) <= min(sides) < 0.3 * SIZE
    assert 0.9 * highest < max(sides) <= round(highest)


def test_classes_differ_in_a_picture_and_come_equally_often():
  """Four classes, five objects: a class is in half of the pictures of two."""
  drawn = [draw(index).objects for index in range(400)]
  labels = [[OBJECTS[i].label for i in some] for some in drawn]
  assert all(a != b for a, b in labels)
  for label in ('red', 'blue', 'white', 'black'):
    assert abs(sum(label in some for some in labels) - 200) < 4 * 10  # Deviations.
  first = sum(0 in some for some in drawn)
  both = sum(i in (0, 1) for some in drawn for i in some)
  assert abs(first - both / 2) < 4 * np.sqrt(both) / 2


def test_the_same_bytes_in_any_order():
  once = {index: draw(index) for index in range(12)}
  for index in (11, 0, 7, 3):
    again = draw(index)
    for field in ('picture', 'masks', 'background'):
      assert getattr(again, field).tobytes() == getattr(once[index], field).tobytes()
    assert (again.objects, again.places) == (once[index].objects, once[index].places)
  distinct = {made.picture.tobytes() for made in once.values()}
  assert len(distinct) == 12
  assert draw(0, seed=4).picture.tobytes() not in distinct


def test_a_background_is_a_square_of_it_or_of_its_mirror_image():
  """A ramp along each axis tells where a pixel was; pixels are square."""
  y, x = np.mgrid[:100, :200].astype(np.uint8)
  ramp = np.stack([y, x, np.zeros_like(x)], axis=-1)
  turned = set()
  for index in range(40):
    shown = compose(OBJECTS, [ramp], seed=0, index=index, size=SIZE).background.astype(float)
    down, across = shown[80, 48, 0] - shown[16, 48, 0], shown[48, 80, 1] - shown[48, 16, 1]
    assert 0.6 * 100 * 64 / SIZE - 1.1 <= down <= 100 * 64 / SIZE + 1.1
    assert abs(abs(across) - down) <= 2
    turned.add(across > 0)
  assert turned == {False, True}


def test_what_cannot_be_composed_is_said():
  with pytest.raises(UserError, match=r'5 objects of different classes.* have 4'):
    draw(0, count=5)
  many = [disc(40, (1, 2, 3), str(i)) for i in range(40)]
  with pytest.raises(UserError, match='no room for 40 objects'):
    compose(many, BACKGROUNDS, seed=0, index=0, size=SIZE, count=40)


def test_an_object_on_grey_is_in_the_middle():
  picture = on_grey(Cutout('x', 'x', np.full((60, 100, 4), 255, np.uint8)), 100)
  expected = np.full((100, 100, 3), 128)
  expected[26:74, 10:90] = 255
  np.testing.assert_array_equal(picture, expected)


def save(path, pixels, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path, **options)


def test_objects_of_ones_own_are_cut_to_what_is_not_clear(tmp_path):
  pixels = np.zeros((40, 50, 4), np.uint8)
  pixels[5:25, 10:17] = (9, 8, 7, 255)
  pixels[25, 12] = (9, 8, 7, 1)
  save(tmp_path / 'cat' / 'a.png', pixels)
  palette = Image.fromarray(np.uint8(pixels[..., 3] > 9)).convert('P')
  (tmp_path / 'dog').mkdir()
  palette.save(tmp_path / 'dog' / 'b.png', transparency=0)
  cat, dog = read_objects(str(tmp_path))
  assert (cat.label, dog.label) == ('cat', 'dog')
  np.testing.assert_array_equal(cat.pixels, pixels[5:26, 10:17])
  assert dog.pixels.shape == (20, 7, 4) and np.all(dog.pixels[..., 3] == 255)


@pytest.mark.parametrize(
  ('pixels', 'message'),
  [
    (np.zeros((20, 20, 3), np.uint8), 'has no alpha channel'),
    (np.full((20, 20, 4), 255, np.uint8), 'is opaque everywhere'),
    (np.full((20, 20, 4), 127, np.uint8), 'is clear everywhere'),
  ],
)
def test_an_object_needs_an_alpha_channel(tmp_path, pixels, message):
  save(tmp_path / 'cat' / 'a.png', pixels)
  with pytest.raises(ImageError, match=rf'a\.png: {message}'):
    read_objects(str(tmp_path))


def test_folders_that_are_not_there(tmp_path):
  with pytest.raises(UserError, match='apt-get install tuxpaint-stamps-default'):
    read_stamps(str(tmp_path / 'none'))
  with pytest.raises(ImageError, match=r'\.png: no such file'):
    read_stamps(str(tmp_path))
  with pytest.raises(UserError, match=r'config\.objects: .*no subfolder with pictures'):
    read_objects(str(tmp_path))
  with pytest.raises(UserError, match=r'config\.backgrounds: images: .*does not exist'):
    read_backgrounds(str(tmp_path / 'none'))


def test_backgrounds_are_coloured_pictures():
  found = read_backgrounds('')
  assert len(found) >= 7
  for pixels in found:
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and min(pixels.shape[:2]) >= 100
    assert np.ptp(pixels.mean((0, 1))) > 1
  assert read_backgrounds('coffee')[0].shape == (400, 600, 3)
