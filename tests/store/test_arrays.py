"""Arrays of many images on disk: rows that are there whole or not at all."""

import json

import numpy as np
import pytest

from perturb.errors import UserError
from perturb.store.arrays import (
  Field,
  Group,
  read_attributes,
  write_constant,
  write_group,
)
from perturb.store.names import read_name, write_names

FIELDS = {
  'status': Field('uint8'),
  'scores': Field('float32', ('area',), (3,)),
  'label': Field('int32'),
}


@pytest.fixture
def group(tmp_path):
  write_group(tmp_path / 'g', {'block': 2})
  group = Group(tmp_path / 'g')
  group.grow(FIELDS, 5, 4)
  return group


def content(path):
  return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob('*') if f.is_file()}


def test_rows_are_read_as_they_were_written_by_whoever_opens_it(group):
  scores = np.arange(6, dtype=np.float32).reshape(2, 3)
  group.write(np.array([3, 4]), {'scores': scores, 'label': np.array([7, 8]), 'status': 1})
  other = Group(group.path)
  np.testing.assert_array_equal(other.read('scores')[3:], scores)
  assert np.isnan(other.read('scores')[:3]).all()
  assert other.read('label').tolist() == [-1, -1, -1, 7, 8]
  assert other.read('status', [4, 0]).tolist() == [1, 0]
  assert other.chunk('scores') == 4


def test_it_grows_and_keeps_what_is_there(group):
  group.write(np.array([4]), {'label': 3})
  group.grow(FIELDS, 9, 2)
  assert group.read('label').tolist() == [-1, -1, -1, -1, 3, -1, -1, -1, -1]
  assert Group(group.path).chunk('label') == 4
  write_group(group.path, {'block': 5})
  assert read_attributes(group.path) == {'block': 2}


def test_the_order_of_writing_leaves_no_trace(group, tmp_path):
  write_group(tmp_path / 'h', {'block': 2})
  other = Group(tmp_path / 'h')
  other.grow(FIELDS, 5, 4)
  values = np.random.RandomState(0).rand(5, 3).astype(np.float32)
  for rows in ([0], [1, 2], [3], [4]):
    group.write(np.array(rows), {'scores': values[rows], 'status': 1})
  for rows in ([4, 2], [3, 0], [2, 1]):
    other.write(np.array(rows), {'scores': values[rows], 'status': 1})
  assert content(group.path) == content(other.path)


def test_status_comes_last(group):
  """A value that cannot be written leaves the status as it was."""
  with pytest.raises(ValueError, match='broadcast'):
    group.write(np.array([0]), {'status': 1, 'scores': np.zeros((1, 2))})
  assert group.read('status')[0] == 0


def test_a_constant_and_damage(group):
  write_constant(group.path / 'area', 'area', np.array([0.1, 0.2], np.float32))
  np.testing.assert_array_equal(group.read('area'), np.array([0.1, 0.2], np.float32))
  (group.path / 'area' / 'c' / '0').write_bytes(b'nothing')
  with pytest.raises(UserError, match=r'g/area/c/0 is damaged; it held area of all images\. To'):
    Group(group.path).read('area')
  (group.path / 'area' / 'c' / '0').unlink()
  with pytest.raises(UserError, match=r'g/area/c/0 is missing; .*, start again'):
    Group(group.path).read('area')
  write_constant(group.path / 'area', 'area', np.array([0.1, 0.2], np.float32))
  np.testing.assert_array_equal(group.read('area'), np.array([0.1, 0.2], np.float32))
  with pytest.raises(UserError, match='not a Zarr group'):
    read_attributes(group.path / 'none')


def test_names_are_a_coordinate_of_strings_and_codes_say_what_they_mean(group):
  """As zarr-python writes them: a count, then the length and the bytes of each."""
  for names in (['a'], ['a', 'Mücke', 'c d']):
    write_names(group.path, names)
    described = json.loads((group.path / 'image' / 'zarr.json').read_text())
    assert described['shape'] == [len(names)] and described['dimension_names'] == ['image']
    data = (group.path / 'image' / 'c' / '0').read_bytes()
    (chunk,) = described['chunk_grid']['configuration']['chunk_shape']
    assert int.from_bytes(data[:4], 'little') == chunk
    found, at = [], 4
    for _ in names:
      end = at + 4 + int.from_bytes(data[at : at + 4], 'little')
      found.append(data[at + 4 : end].decode())
      at = end
    assert found == names and not data[at:-4].strip(b'\0')
    assert [read_name(group.path, row) for row in range(len(names))] == names
  assert 'image' not in group.fields() and 'image' not in group
  attributes = json.loads((group.path / 'status' / 'zarr.json').read_text())['attributes']
  assert attributes == {
    'flag_values': [0, 1, 2],
    'flag_meanings': 'pending done failed',
    'fields_with_files': ['label', 'scores'],
  }
