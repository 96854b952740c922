"""Pictures with a label map each: kinds of maps, names, splits, and what is wrong in a folder."""

import struct
import zlib

import numpy as np
from PIL import Image
import pytest

from concepts.label_folders import open_label_folders
from concepts.label_maps import nearest, read_indices
from concepts.probes import open_probe
from concepts.splits import is_trained
from perturb.errors import ImageError, UserError
from tests.concepts.broden_folder import picture

NAMES = [f'p{i}' for i in range(8)]  # Of both splits by their hashes.


def grey(numbers, path, mode='L'):
  path.parent.mkdir(parents=True, exist_ok=True)
  dtype = np.uint16 if mode == 'I;16' else np.uint8
  image = Image.fromarray(np.asarray(numbers).astype(dtype))
  if mode == 'P':
    image.putpalette(bytes(range(255, -1, -1)) * 3)
  image.save(path)


def quarters(a, b, c, d):
  """A map `[16, 20]` of four boxes of one number each."""
  return np.block(
    [[np.full((8, 10), a), np.full((8, 10), b)], [np.full((8, 10), c), np.full((8, 10), d)]]
  )


@pytest.fixture
def folder(tmp_path):
  for i, name in enumerate(NAMES):
    picture(tmp_path / f'images/{name}.jpg', i)
    grey(quarters(0, 1, 2, 255), tmp_path / f'labels/{name}.png')
  (tmp_path / 'names.txt').write_text('aeroplane\nbicycle\n')
  return tmp_path


def test_a_folder_is_read(folder):
  probe = open_probe(f'labels:{folder}')
  assert [source.name for source in probe.pictures.sources] == NAMES
  np.testing.assert_array_equal(probe.train, [is_trained(f'{name}.jpg') for name in NAMES])
  assert probe.concepts == ((1, 'aeroplane', ('object',)), (2, 'bicycle', ('object',)))
  assert probe.size == (112, 112)
  indices, masks = probe.masks(3)
  np.testing.assert_array_equal(indices, [0, 1])
  expected = np.zeros((2, 112, 112), bool)
  expected[0, :56, 56:] = expected[1, 56:, :56] = True
  np.testing.assert_array_equal(masks, expected)


@pytest.mark.parametrize('mode', ['L', 'P', 'I;16'])
def test_kinds_of_maps(folder, mode):
  (folder / 'names.csv').write_text('number,name,category\n1,a,stuff\n200,b,\n300,c,stuff\n')
  most = 300 if mode == 'I;16' else 200
  grey(quarters(0, 1, most, 255), folder / 'labels/p0.png', mode)
  labels = open_label_folders(str(folder), (16, 20)).labels(0)
  assert set(labels.maps) == ({'stuff'} if most == 300 else {'stuff', 'object'})
  other = labels.maps['stuff' if most == 300 else 'object']
  np.testing.assert_array_equal(labels.maps['stuff'][0] == 1, quarters(0, 1, 0, 0))
  np.testing.assert_array_equal(other[0] == most, quarters(0, 0, 1, 0))


def test_greys_of_four_bits_are_numbers(tmp_path):
  """Pillow shows them as multiples of 17; written by hand, for Pillow writes none."""
  rows = b''.join(b'\0' + bytes([0x12, 0xF0] * 5) for _ in range(16))  # 1, 2, 15, 0, ...

  def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

  header = struct.pack('>IIBBBBB', 20, 16, 4, 0, 0, 0, 0)
  path = tmp_path / 'four.png'
  path.write_bytes(
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )
  np.testing.assert_array_equal(read_indices(str(path)), [[1, 2, 15, 0] * 5] * 16)


def test_a_zero_with_a_name_is_a_concept(folder):
  """As of COCO-stuff, where 0 is a person."""
  (folder / 'names.csv').write_text('number,name\n0,person\n1,bicycle\n2,car\n')
  probe = open_label_folders(str(folder), (16, 20))
  assert [(one.number, one.name) for one in probe.concepts] == [
    (1, 'person'),
    (2, 'bicycle'),
    (3, 'car'),
  ]
  np.testing.assert_array_equal(probe.labels(0).maps['object'][0], quarters(1, 2, 3, 0))


@pytest.mark.parametrize('size', [(4, 5), (8, 10), (16, 20), (32, 40), (5, 7)])
def test_the_nearest_pixel_is_that_at_the_middle(size):
  labels = np.arange(320).reshape(16, 20)
  image = Image.fromarray(labels.astype(np.int32)).resize(size[::-1], Image.Resampling.NEAREST)
  np.testing.assert_array_equal(nearest(labels, size), np.asarray(image))


def test_splits_of_files(folder):
  (folder / 'splits').mkdir()
  (folder / 'splits/train.txt').write_text('p3\np1\n\n')
  (folder / 'splits/val.txt').write_text('p2\nmissing\n')
  probe = open_label_folders(str(folder))
  assert [source.name for source in probe.pictures.sources] == ['p1', 'p2', 'p3']
  np.testing.assert_array_equal(probe.train, [True, False, True])
  assert len(probe.pictures.problems) == 1
  assert "val.txt line 2: 'missing' has no label map" in probe.pictures.problems[0]
  (folder / 'splits/val.txt').write_text('p1\n')
  with pytest.raises(UserError, match=r"val.txt line 1: 'p1' is in the other split too"):
    open_label_folders(str(folder))
  (folder / 'splits/val.txt').unlink()
  with pytest.raises(UserError, match=r'val.txt: no such file'):
    open_label_folders(str(folder))


def test_a_name_of_a_split_without_a_picture_is_a_problem(folder):
  (folder / 'splits').mkdir()
  (folder / 'splits/train.txt').write_text('p3\n')
  (folder / 'splits/val.txt').write_text('p1\np2\n')
  (folder / 'images/p1.jpg').unlink()
  probe = open_label_folders(str(folder))
  assert [source.name for source in probe.pictures.sources] == ['p2', 'p3']
  (problem,) = probe.pictures.problems
  assert "val.txt line 1: 'p1' has no picture in" in problem


def test_folders_below_and_pictures_without_a_map(folder):
  picture(folder / 'images/more/p1.png')
  grey(quarters(1, 1, 1, 1), folder / 'labels/more/p1.png')
  picture(folder / 'images/alone.jpg')
  picture(folder / 'images/.hidden/p9.jpg')
  probe = open_label_folders(str(folder))
  assert [source.name for source in probe.pictures.sources] == ['more_p1', *NAMES]
  assert len(probe.pictures.problems) == 1
  assert 'alone.jpg: has no label map; pictures without one: 1' in probe.pictures.problems[0]
  assert probe.masks(0)[1].all()


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('number,name\n1,a\n1,b\n', r'names.csv line 3: the number 1 is there twice'),
    ('number,name\n70000,a\n', r'names.csv line 2: the number 70000 is over 65535'),
    ('number,name\n1,\n', r'names.csv line 2: the number 1 has no name'),
    ('number,name\n7,a\n0,a\n', r"names.csv: the numbers 0 and 7 are both named 'a'"),
    ('number,name\nx,a\n', r"line 2: number must be a whole number from 0, not 'x'"),
    ('id,name\n', r"names.csv: the first line must name .* 'number' is missing"),
    ('number,name\n', r'needs names in names.txt or names.csv'),
  ],
)
def test_what_is_wrong_in_the_names_is_said(folder, text, message):
  (folder / 'names.csv').write_text(text)
  with pytest.raises(UserError, match=message):
    open_label_folders(str(folder))


def test_two_lines_of_one_name_are_said(folder):
  (folder / 'names.txt').write_text('door\nbicycle\n door\n')
  with pytest.raises(UserError, match=r"names.txt: the numbers 1 and 3 are both named 'door'"):
    open_label_folders(str(folder))


def test_what_is_wrong_in_a_map_is_said(folder):
  grey(quarters(0, 1, 3, 255), folder / 'labels/p0.png')
  Image.new('RGB', (20, 16)).save(folder / 'labels/p1.png')
  (folder / 'labels/p2.png').write_bytes(b'no picture')
  probe = open_label_folders(str(folder))
  for i, message in enumerate(['p0.png: the label 3 has no name', 'p1.png: .* are RGB', 'p2.png']):
    with pytest.raises(ImageError, match=message):
      probe.masks(i)


def test_a_name_that_is_no_probe_dataset_is_said(tmp_path):
  with pytest.raises(UserError, match=r"config.dataset must be broden:FOLDER .* did you mean 'bro"):
    open_probe('broeden:x')
  with pytest.raises(UserError, match='config.dataset must be broden:FOLDER or labels:FOLDER'):
    open_probe('broden')
  with pytest.raises(UserError, match=r"config.dataset: the folder '.*images' does not exist"):
    open_probe(f'labels:{tmp_path}')
