"""Masks beside pictures, in each layout."""

import numpy as np
from PIL import Image
import pytest

from perturb.data.datasets import open_dataset
from perturb.errors import ImageError, UserError
from tests.data.annotated import filled, names_of, save_picture

BOX = (10, 5, 20, 15)
MASK = filled((60, 40), BOX)


def save_mask(path, mask=MASK):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(mask.astype(np.uint8)).save(path)


def test_a_folder_for_each_class(tmp_path):
  for name in ('rose/a.jpg', 'rose/b.png', 'daisy/a.jpg'):
    save_picture(tmp_path / 'images' / name)
    save_mask((tmp_path / 'masks' / name).with_suffix('.png'))
  dataset = open_dataset(f'masks:{tmp_path}')
  assert names_of(dataset) == ['a_daisy', 'a_rose', 'b_rose'] and not dataset.problems
  assert dataset.class_names == ('daisy', 'rose')
  assert [dataset.record(i).label for i in range(3)] == [0, 1, 1]
  region = dataset.region(1)
  np.testing.assert_array_equal(region.mask(), MASK)
  assert region.boxes.tolist() == [[*BOX]] and region.size == (60, 40) and not region.difficult


def test_pictures_without_classes(tmp_path):
  for name in 'ab':
    save_picture(tmp_path / f'{name}.jpg')
    save_mask(tmp_path / 'masks' / f'{name}.png')
  dataset = open_dataset(f'masks:{tmp_path}', '[1:]')
  assert names_of(dataset) == ['b'] and dataset.class_names == ()
  assert dataset.record(0).label is None
  np.testing.assert_array_equal(dataset.region(0).mask(), MASK)


def test_a_table_gives_the_pairs(tmp_path):
  """Two classes of a picture; a mask that covers a quarter is not difficult."""
  save_picture(tmp_path / 'pictures' / 'a.png')
  save_mask(tmp_path / 'small.png')
  save_mask(tmp_path / 'large.png', filled((60, 40), (0, 0, 30, 20)))
  (tmp_path / 'labels.csv').write_text(
    'mask,image,class,more\n'
    'small.png,pictures/a.png,dog,\n'
    '"large.png","pictures/a.png",cat,5\n'
    'small.png,pictures/a.png,,\n'
    'none.png,pictures/a.png,dog,\n'
    'small.png,none.png,dog,\n'
    'small.png\n'
  )
  dataset = open_dataset(f'masks:{tmp_path}')
  assert names_of(dataset) == ['a_dog', 'a_cat', 'a']
  assert dataset.class_names == ('cat', 'dog')
  assert [dataset.record(i).label for i in range(3)] == [1, 0, None]
  assert [dataset.region(i).difficult for i in range(3)] == [True, False, True]
  assert dataset.problems == (
    f'{tmp_path / "labels.csv"}: line 7 has no image or no mask',
    f'{tmp_path / "none.png"}: no such file, but {tmp_path / "labels.csv"} names it',
    f'{tmp_path / "none.png"}: no such file, but {tmp_path / "labels.csv"} names it',
  )


def test_a_mask_is_upright(tmp_path):
  save_picture(tmp_path / 'a.jpg', orientation=6)  # 40 x 60 upright.
  save_mask(tmp_path / 'masks' / 'a.png')
  dataset = open_dataset(f'masks:{tmp_path}')
  with pytest.raises(ImageError, match=r'a\.jpg: has 40 x 60 pixels, but its mask has 60 x 40'):
    dataset.region(0)
  save_mask(tmp_path / 'masks' / 'a.png', MASK.T)
  assert dataset.region(0).size == dataset.size(0) == (40, 60)


def test_what_is_missing_or_damaged(tmp_path):
  for name in 'abcd':
    save_picture(tmp_path / f'{name}.jpg')
  save_mask(tmp_path / 'masks' / 'b.png')
  save_mask(tmp_path / 'masks' / 'x.png')
  save_mask(tmp_path / 'masks' / 'd.png', MASK & False)
  dataset = open_dataset(f'masks:{tmp_path}')
  assert names_of(dataset) == ['b', 'd']
  assert dataset.problems == (
    f'{tmp_path / "masks" / "x.png"}: its picture is not there',
    f'{tmp_path / "a.jpg"}: has no mask; pictures without one: 2',
  )
  with pytest.raises(ImageError, match=r'd\.jpg: its mask is zero everywhere'):
    dataset.region(1)
  (tmp_path / 'masks' / 'b.png').write_bytes(b'no picture')
  with pytest.raises(ImageError, match=r'masks/b\.png: not an image'):
    dataset.region(0)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'image,mask\na,b\n', 'needs the columns image, class, mask'),
    (b'', 'needs the columns'),
    (b'image,class,mask\n\xff,a,b\n', 'cannot be read'),
    (b'image,class,mask\n"a,b,c\n', 'cannot be read'),
    (b'image,class,mask\n', 'has no annotated picture'),
    (b'image,class,mask\na\0b,c,d\n', 'cannot be read|has no annotated picture'),
  ],
)
def test_a_table_of_something_else(tmp_path, content, message):
  (tmp_path / 'labels.csv').write_bytes(content)
  with pytest.raises(UserError, match=message) as caught:
    open_dataset(f'masks:{tmp_path}')
  assert '\n' not in str(caught.value)


def test_no_such_folder(tmp_path):
  with pytest.raises(UserError, match='does not exist'):
    open_dataset(f'masks:{tmp_path}/none')
