import numpy as np
from PIL import Image
import pytest

from perturb.data.regions import (
  annotated_region,
  areas,
  box_mask,
  clipped,
  is_difficult,
  masked_region,
  turned_boxes,
  turned_mask,
)
from perturb.data.stored import Layout, open_mask, stored_layout
from perturb.errors import ImageError
from tests.data.annotated import filled, save_picture

TURNS = [None, *Image.Transpose]


@pytest.mark.parametrize('turn', TURNS)
def test_boxes_and_masks_turn_as_pictures_do(turn):
  box = np.array([[2, 1, 5, 3], [0, 0, 7, 2]])
  for one in box:
    mask = filled((7, 4), one)
    stored = Image.fromarray(mask.astype(np.uint8))
    expected = np.asarray(stored if turn is None else stored.transpose(turn)) > 0
    np.testing.assert_array_equal(turned_mask(mask, turn), expected)
    turned = turned_boxes(one[None], (7, 4), turn)
    np.testing.assert_array_equal(box_mask(turned, expected.shape[::-1]), expected)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_the_region_of_a_picture_that_is_stored_turned(tmp_path, orientation):
  """The pixels that the mask marks are those that the box marks in the stored picture."""
  path = tmp_path / 'a.png'
  exif = Image.Exif()
  exif[0x0112] = orientation
  stored = filled((60, 40), (10, 5, 25, 11))
  Image.fromarray(stored.astype(np.uint8) * 255).save(path, exif=exif)
  upright = open_mask(str(path), 'a.png')
  layout = stored_layout(str(path), 'a.png', (60, 40))
  region = annotated_region(layout, np.array([[10, 5, 25, 11]]), others=False)
  assert region.size == upright.shape[::-1]
  np.testing.assert_array_equal(region.mask(), upright)
  drawn = annotated_region(layout, np.zeros((0, 4)), others=False, draw=lambda _: stored)
  np.testing.assert_array_equal(drawn.mask(), upright)


def test_the_difficult_are_small_and_not_alone():
  """A quarter of 60 x 40 pixels is 600."""
  assert is_difficult(599.9, (60, 40), True)
  assert not is_difficult(600, (60, 40), True)
  assert not is_difficult(10, (60, 40), False)
  same = np.array([[0, 0, 20, 20], [0, 0, 20, 20]])  # Two of 400 pixels in the same place.
  layout = Layout((60, 40), None)
  assert not annotated_region(layout, same, others=True).difficult
  assert annotated_region(layout, same[:1], others=True).difficult
  assert annotated_region(layout, same, others=True, area=400).difficult
  outside = np.array([[-100, 0, 10, 30]])  # 300 of its 3300 pixels are in the picture.
  region = annotated_region(layout, outside, others=True)
  assert region.difficult and region.boxes.tolist() == [[0, 0, 10, 30]]


def test_boxes_by_hand():
  boxes = np.array([[-3, 2, 4, 9], [5, 1, 5, 4], [8, 0, 20, 2]], float)
  assert clipped(boxes, (10, 6)).tolist() == [[0, 2, 4, 6], [5, 1, 5, 4], [8, 0, 10, 2]]
  assert areas(boxes).tolist() == [49, 0, 24]
  np.testing.assert_array_equal(
    box_mask(boxes, (10, 6)), filled((10, 6), (0, 2, 4, 6), (8, 0, 10, 2))
  )
  # A pixel belongs to a box that holds its middle.
  np.testing.assert_array_equal(
    box_mask(np.array([[0.4, 0.6, 2.4, 2.6]]), (4, 4)), filled((4, 4), (0, 1, 2, 3))
  )


def test_the_box_of_a_mask_is_the_smallest(tmp_path):
  save_picture(tmp_path / 'a.png')
  mask = filled((60, 40), (10, 5, 20, 9), (30, 2, 31, 3))
  region = masked_region(str(tmp_path / 'a.png'), 'a.png', mask, others=True)
  assert region.boxes.tolist() == [[10, 2, 31, 9]] and region.difficult
  for wrong, message in ((mask.T, 'its mask has 40 x 60'), (mask & False, 'zero everywhere')):
    with pytest.raises(ImageError, match=f'^a.png: .*{message}'):
      masked_region(str(tmp_path / 'a.png'), 'a.png', wrong, others=True)


def test_what_is_inside_a_stored_mask(tmp_path):
  """Any value but zero: in 16 bits, of a palette whose colours are all black, of a bit."""
  mask = filled((60, 40), (10, 5, 20, 9))
  stored = {
    'eight': Image.fromarray(mask.astype(np.uint8)),
    'sixteen': Image.fromarray(mask.astype(np.uint16)),
    'bit': Image.fromarray(mask),
    'palette': Image.frombytes('P', (60, 40), mask.astype(np.uint8).tobytes()),
    'blue': Image.fromarray(np.stack([mask & False, mask & False, mask], -1).astype(np.uint8)),
    'clear': Image.fromarray(np.stack([mask | True] * 3 + [mask], -1).astype(np.uint8) * 255),
  }
  stored['palette'].putpalette([0] * 768)
  for name, image in stored.items():
    image.save(tmp_path / f'{name}.png')
    np.testing.assert_array_equal(open_mask(str(tmp_path / f'{name}.png'), name), mask, name)
