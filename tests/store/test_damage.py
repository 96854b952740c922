"""A file that is damaged or gone is an error that names it and its images, never a number."""

import json

import numpy as np
import pytest

from perturb.errors import StorageError
from perturb.store.arrays import DONE, Field, Group, write_group
from perturb.store.names import read_name, write_names

NAMES = [f'image{i}' for i in range(10)]
FIELDS = {
  'status': Field('uint8'),
  'label': Field('int32'),
  'heat/status': Field('uint8'),
  'heat/map': Field('float32', ('row', 'column'), (3, 2)),
}


@pytest.fixture
def group(tmp_path):
  """Ten images, four a chunk; those of the first two chunks are done."""
  write_group(tmp_path / 'g', {})
  write_group(tmp_path / 'g' / 'heat', {})
  group = Group(tmp_path / 'g')
  group.grow(FIELDS, 10, 4)
  write_names(group.path, NAMES)
  rows = np.arange(8)
  group.write(rows, {'label': -1, 'status': DONE})  # Of no label: the fill value.
  maps = np.random.RandomState(0).rand(8, 3, 2).astype(np.float32)
  group.write(rows, {'heat/map': maps, 'heat/status': DONE})
  return group


FILES = {'status': 'c/1', 'label': 'c/1', 'heat/status': 'c/1', 'heat/map': 'c/1/0/0'}


def flipped(data, bit):
  changed = bytearray(data)
  changed[bit // 8] ^= 1 << bit % 8
  return bytes(changed)


@pytest.mark.parametrize('field', FILES)
def test_a_flipped_bit_is_an_error_wherever_it_is(group, field):
  file = group.path / field / FILES[field]
  data = file.read_bytes()
  for bit in range(0, 8 * len(data), 5):
    file.write_bytes(flipped(data, bit))
    with pytest.raises(StorageError, match=rf'{FILES[field]} is damaged; .* {field} of image5\. '):
      group.read(field, [1, 5])
  with pytest.raises(StorageError, match='of image4, image5, image6 and 1 more'):
    Group(group.path).read(field)
  assert len(group.read(field, [0, 3])) == 2  # Another chunk.
  file.write_bytes(data)
  assert len(group.read(field)) == 10


@pytest.mark.parametrize('field', FILES)
def test_a_file_that_is_cut_is_an_error(group, field):
  file = group.path / field / FILES[field]
  data = file.read_bytes()
  for length in (0, 1, 4, len(data) // 2, len(data) - 1):
    file.write_bytes(data[:length])
    with pytest.raises(StorageError, match=f'{FILES[field]} is damaged'):
      group.read(field, [5])
  with pytest.raises(StorageError, match=f'{FILES[field]} is damaged'):  # What is beside it.
    group.write(np.array([4]), {field: 1})


@pytest.mark.parametrize('field', ['label', 'heat/map'])
def test_a_file_that_is_gone_is_an_error_if_its_images_are_done(group, field):
  file = group.path / field / FILES[field]
  file.unlink()
  status = field.replace('label', 'status').replace('map', 'status')
  remedy = f'remove {group.path}/{status}/c/1, and start again'
  with pytest.raises(StorageError, match=rf'{FILES[field]} is missing; .* image5\. .*{remedy}'):
    group.read(field, [1, 5])
  assert len(group.read(field, [1, 9])) == 2  # Another chunk; not done.
  (group.path / status / 'c' / '1').unlink()  # The remedy: they are not done.
  assert (group.read(status) == DONE).sum() == 4
  assert len(group.read(field)) == 10


def test_a_status_that_is_gone_is_not_done(group):
  (group.path / 'status' / 'c' / '1').unlink()
  assert group.read('status').tolist() == [DONE] * 4 + [0] * 6


def test_an_earlier_version_did_not_store_every_chunk(group):
  path = group.path / 'status' / 'zarr.json'
  described = json.loads(path.read_text())
  del described['attributes']
  path.write_text(json.dumps(described))
  (group.path / 'label' / 'c' / '1').unlink()
  assert group.read('label', [5]).tolist() == [-1]


def test_a_field_that_is_added_later_has_no_files(group):
  group.grow({**FIELDS, 'rank': Field('int32')}, 10, 4)
  assert group.read('rank').tolist() == [-1] * 10
  group.write(np.array([5]), {'rank': 3})
  assert group.read('rank', [5, 1]).tolist() == [3, -1]


def test_damage_of_a_description_is_a_line(group):
  for content in (b'', b'{', b'{}', b'[]', b'\xff'):
    (group.path / 'label' / 'zarr.json').write_bytes(content)
    with pytest.raises(StorageError, match=r'g/label: '):
      Group(group.path).read('label')
    with pytest.raises(StorageError, match=r'g/label: '):
      Group(group.path).fields()


def test_names_that_are_damaged_become_rows(group):
  file = group.path / 'image' / 'c' / '0'
  assert read_name(group.path, 5) == 'image5'
  file.write_bytes(flipped(file.read_bytes(), 60))
  assert read_name(group.path, 5) is None and read_name(group.path / 'none', 5) is None
  (group.path / 'heat' / 'map' / 'c' / '1' / '0' / '0').write_bytes(b'')
  with pytest.raises(StorageError, match='of row 5'):
    group.read('heat/map', [5])
  write_names(group.path, NAMES)  # As every start does.
  assert read_name(group.path, 9) == 'image9' and read_name(group.path, 10) is None
