"""Flowers as a dataset: rendered when they are read, and from files."""

from concurrent import futures
import pathlib

import numpy as np
from PIL import Image
import pytest
from scipy import ndimage

from perturb.data import an8flower
from perturb.data.an8flower import open_an8flower
from perturb.data.datasets import open_dataset
from perturb.data.flower_parts import PARTS
from perturb.data.flower_pictures import VARIANTS, render_whole, view
from perturb.errors import ImageError, UserError
from tests.data.annotated import names_of

# Of part-2c: class, viewpoint, crop and rotation of a few pictures, not in their order.
SOME = ('class2_img0_p1_r1', 'class1_img0_p5_r5', 'class1_img10_p1_r2', 'class1_img9_p1_r2')


def index_of(dataset, name):
  return names_of(dataset).index(name)


def pixels(dataset, name):
  picture, label = dataset.picture(index_of(dataset, name))
  return np.asarray(picture), label


@pytest.fixture(scope='module')
def rendered():
  return open_dataset('an8flower:part-2c')


@pytest.fixture
def folder(tmp_path, rendered):
  """`SOME` as files, as the authors keep them."""
  root = tmp_path / 'an8Flower_part_2c'
  for name in SOME:
    index = index_of(rendered, name)
    label = rendered.class_names[rendered.record(index).label]
    mask = np.uint8(255) * rendered.region(index).mask()
    save(root / label / f'{name}.png', rendered.picture(index)[0])
    save(beside(root) / label / f'{name}.png', Image.fromarray(mask).convert('RGB'))
  return root


def beside(root):
  return root.with_name('an8Flower_part_2c_MASK')


def save(path, image):
  path.parent.mkdir(parents=True, exist_ok=True)
  image.save(path)


@pytest.mark.parametrize('variant', VARIANTS)
def test_there_are_1000_pictures_a_class(variant):
  dataset = open_dataset(f'an8flower:{variant}')
  count = int(variant[:-1].split('-')[1])
  assert dataset.class_names == VARIANTS[variant] == tuple(sorted(dataset.class_names))
  assert len(dataset.class_names) == count
  assert len(set(names_of(dataset))) == len(dataset.groups) == 1000 * count
  for number in range(1, 1 + count):
    names = names_of(dataset)[1000 * (number - 1) : 1000 * number]
    assert names[0] == f'class{number}_img0_p1_r1' and names[-1] == f'class{number}_img39_p5_r5'
    assert all(name.startswith(f'class{number}_') for name in names)


def test_groups_are_viewpoints_in_slices_too(rendered):
  expected = [int(name.split('_')[1][3:]) for name in names_of(rendered)]
  assert list(rendered.groups) == expected
  assert np.bincount(rendered.groups).tolist() == [50] * 40  # 25 pictures of two classes.
  part = open_dataset('an8flower:part-2c', '[970:1020]')
  assert part.groups == rendered.groups[970:1020]
  assert names_of(part) == names_of(rendered)[970:1020]
  found, expected = part.record(29), rendered.record(999)
  assert found.file.read() == expected.file.read() and found.label == expected.label


def test_threads_in_any_order_read_the_same(rendered):
  indices = [index_of(rendered, name) for name in SOME[:2]] * 2
  fresh = open_dataset('an8flower:part-2c')

  def content(dataset, index):
    return dataset.record(index).file.read(), dataset.region(index).mask().tobytes()

  with futures.ThreadPoolExecutor(4) as pool:
    found = list(pool.map(lambda index: content(fresh, index), reversed(indices)))
  assert found[::-1] == [content(rendered, index) for index in indices]
  assert len(set(found)) == 2


def test_masks_are_those_of_the_part(rendered):
  """Balls and thorns have a colour that nothing else has: little red and green, much blue."""
  for name in SOME:
    picture, label = pixels(rendered, name)
    region = rendered.region(index_of(rendered, name))
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    purple = (blue > 1.5 * green) & (red > 1.2 * green) & (blue > red)
    mask = region.mask()
    assert (purple & mask).sum() / (purple | mask).sum() > 0.75, name
    left, top, right, bottom = region.boxes[0].astype(int)
    assert mask.sum() == mask[top:bottom, left:right].sum() and not region.difficult
    assert label == int(name[5]) - 1


def test_pictures_without_each_part_that_is_seen(rendered):
  """Without a part, what is not near it is as it was; slices and files say as much as they can."""
  index = index_of(rendered, SOME[1])
  whole, parts = np.asarray(rendered.picture(index)[0]), rendered.parts(index)
  assert parts.names == tuple(name for name in PARTS if name in parts.names)
  assert {'stem', 'petals', 'balls'} <= set(parts.names) and 'thorns' not in parts.names
  assert parts.masks.any((1, 2)).all() and parts.masks.sum(0).max() == 1
  own = parts.names.index('balls')
  np.testing.assert_array_equal(parts.masks[own], rendered.region(index).mask())
  frame = render_whole('part-2c', 'balls', 0, without=['balls'])
  np.testing.assert_array_equal(parts.without(own), view(frame, 5, 5).picture)
  changed = (parts.without(own) != whole).any(-1)
  near = ndimage.binary_dilation(parts.masks[own], iterations=2)
  assert not (changed & ~near).any()
  assert (changed & parts.masks[own]).sum() > 0.9 * parts.masks[own].sum()
  taken = rendered.take([index]).parts(0)
  assert taken.names == parts.names
  np.testing.assert_array_equal(taken.without(own), parts.without(own))


def test_files_are_the_same_items(rendered, folder):
  found = open_dataset(f'an8flower:{folder}')
  # In the order of the numbers, img9 before img10.
  assert names_of(found) == [SOME[1], SOME[3], SOME[2], SOME[0]]
  assert found.groups == (0, 9, 10, 0)
  assert found.class_names == rendered.class_names and not found.problems
  assert found.parts is None  # There is no scene to leave a part out of.
  for i, name in enumerate(names_of(found)):
    k = index_of(rendered, name)
    np.testing.assert_array_equal(pixels(found, name)[0], pixels(rendered, name)[0])
    assert found.record(i).label == rendered.record(k).label
    np.testing.assert_array_equal(found.region(i).mask(), rendered.region(k).mask())
    np.testing.assert_array_equal(found.region(i).boxes, rendered.region(k).boxes)


def test_names_of_folders_become_names_of_classes(folder):
  for root in (folder, beside(folder)):
    (root / 'balls').rename(root / 'many_balls')
  assert open_an8flower(str(folder)).class_names == ('many balls', 'thorns')


def test_masks_in_jpeg(folder):
  """It leaves grey around white, which is not of the mask."""
  expected = open_an8flower(str(folder)).region(0).mask()
  for root in (folder, beside(folder)):
    for path in sorted(root.rglob('*.png')):
      Image.open(path).save(path.with_suffix('.jpg'), quality=80)
      path.unlink()
  found = open_an8flower(str(folder))
  assert found.sources[0].path.endswith('/balls/class1_img0_p5_r5.jpg')
  mask = found.region(0).mask()
  stored = np.asarray(Image.open(beside(folder) / 'balls' / 'class1_img0_p5_r5.jpg'))
  assert np.count_nonzero(stored.any(axis=-1)) > 1.1 * expected.sum()
  assert (mask != expected).sum() < 0.02 * expected.sum()


def test_what_is_missing_is_a_line_each(folder):
  (folder / 'balls' / 'notes.png').write_bytes(b'')
  (beside(folder) / 'thorns' / f'{SOME[0]}.png').unlink()
  found = open_an8flower(str(folder))
  assert names_of(found) == [SOME[1], SOME[3], SOME[2]]
  first, second = found.problems
  assert first == f'{folder}/balls/notes.png: its name is to be as class1_img0_p1_r1'
  place = f'thorns/{SOME[0]}.png'
  assert second == f'{folder}/{place}: has no mask; it is to be {beside(folder)}/{place}'


@pytest.mark.parametrize(
  ('damage', 'message'),
  [
    (lambda path: path.write_bytes(path.read_bytes()[:90]), 'cannot be read as an image'),
    (lambda path: save(path, Image.new('L', (250, 250))), 'its mask is zero everywhere'),
    (
      lambda path: save(path, Image.new('L', (30, 20), 255)),
      'has 250 x 250 pixels, but its mask has 30 x 20',
    ),
  ],
)
def test_a_damaged_mask_is_named(folder, damage, message):
  damage(beside(folder) / 'balls' / f'{SOME[1]}.png')
  dataset = open_an8flower(str(folder))
  assert dataset.region(1).mask().any()
  with pytest.raises(ImageError, match=f'{SOME[1]}.*{message}') as caught:
    dataset.region(0)
  assert '\n' not in str(caught.value)


def test_a_damaged_picture_is_named(folder):
  path = folder / 'balls' / f'{SOME[1]}.png'
  path.write_bytes(path.read_bytes()[:90])
  with pytest.raises(ImageError, match=f'{path}: cannot be read as an image'):
    open_an8flower(str(folder)).picture(0)


def test_what_is_no_set(tmp_path):
  message = r"'an8flower:double-12' is no folder and none of .*did you mean 'double-12c'"
  with pytest.raises(UserError, match=message):
    open_dataset('an8flower:double-12')
  alone = tmp_path / 'alone'
  alone.mkdir()
  with pytest.raises(UserError, match='alone has no masks; they are to be in .*alone_MASK'):
    open_an8flower(str(alone))
  pathlib.Path(f'{alone}{an8flower.MASKS}').mkdir()
  with pytest.raises(UserError, match='alone has no picture with a mask$'):
    open_an8flower(str(alone))
  save(alone / 'balls' / 'a.png', Image.new('RGB', (20, 20)))
  with pytest.raises(UserError, match=r'the first of 1 problems: .*a\.png: its name is to be'):
    open_an8flower(str(alone))
