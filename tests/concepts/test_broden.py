"""BRODEN's format as its files say it: maps, splits, categories, and what is wrong in them."""

import numpy as np
import pytest

from concepts.broden import open_broden
from concepts.splits import hash_fraction, is_trained
from perturb.errors import ImageError, UserError
from tests.concepts import broden_folder


@pytest.fixture
def folder(tmp_path):
  broden_folder.write(tmp_path / 'broden')
  return tmp_path / 'broden'


def edit(path, old, new):
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))


def test_what_the_tables_say(folder):
  probe = open_broden(str(folder))
  assert [source.name for source in probe.pictures.sources] == ['dtd_s_1', 'ade20k_a.b', 'ade20k_c']
  assert probe.pictures.picture(1)[0].size == (40, 32)
  np.testing.assert_array_equal(probe.train, [True, True, False])
  assert probe.size == broden_folder.SIZE
  assert probe.concepts == (
    (1, 'person', ('object',)),
    (2, 'red-c', ('color',)),
    (4, 'chair, folding', ('object',)),
    (7, 'striped', ('texture',)),
    (9, 'beach-s', ('scene',)),
    (300, 'wheel', ('part', 'object')),
  )


def test_labels_are_those_of_each_cell(tmp_path):
  maps = broden_folder.write(tmp_path / 'broden')
  probe = open_broden(str(tmp_path / 'broden'))
  whole, several, mixed = (probe.labels(i) for i in range(3))
  assert not whole.maps
  assert whole.whole == {'texture': (7,)}
  assert set(several.maps) == {'part', 'object'}
  assert several.whole == {'scene': (9,)}
  np.testing.assert_array_equal(several.maps['part'], [maps['a_part_1'], maps['a_part_2']])
  np.testing.assert_array_equal(several.maps['object'], [maps['a_object']])
  assert mixed.whole == {'texture': (7,), 'object': (4, 1)}
  assert {name: found.shape[0] for name, found in mixed.maps.items()} == {
    'texture': 1,
    'object': 1,
    'color': 1,
  }


def test_a_mask_is_the_union_over_maps_and_categories(folder):
  probe = open_broden(str(folder))
  indices, masks = probe.masks(1)
  assert [probe.concepts[i].name for i in indices] == ['person', 'beach-s', 'wheel']
  person, beach, wheel = (np.zeros(broden_folder.SIZE, bool) for _ in range(3))
  person[:8] = beach[:] = True
  wheel[:4, :4] = wheel[2:8, 2:8] = wheel[8:12, :5] = True
  np.testing.assert_array_equal(masks, [person, beach, wheel])


def test_a_label_of_the_whole_picture_is_everywhere(folder):
  probe = open_broden(str(folder))
  indices, masks = probe.masks(2)  # Striped is a map too, a corner of the picture.
  shares = {probe.concepts[i].name: mask.mean() for i, mask in zip(indices, masks, strict=True)}
  assert shares == {
    'person': 1,
    'red-c': 0.5,
    'chair, folding': 1,
    'striped': 1,
    'wheel': 4 / 320,
  }


def test_some_categories(folder):
  probe = open_broden(str(folder), ('part', 'texture'))
  assert [source.name for source in probe.pictures.sources] == ['dtd_s_1', 'ade20k_a.b', 'ade20k_c']
  assert probe.concepts == ((7, 'striped', ('texture',)), (300, 'wheel', ('part',)))
  assert set(probe.labels(1).maps) == {'part'}
  assert probe.masks(2)[1].mean() == 1
  fewer = open_broden(str(folder), ('object',))
  assert [source.name for source in fewer.pictures.sources] == ['ade20k_a.b', 'ade20k_c']
  assert [one.number for one in fewer.concepts] == [1, 4, 300]


def test_a_label_of_another_category_only_is_nothing_in_some(folder):
  """label.csv leaves away a category in which a label is too rare, but the maps keep it."""
  broden_folder.label_map(folder / 'images/ade20k/a_part_1.png', (1, 0, 4, 0, 4))
  probe = open_broden(str(folder), ('part', 'texture'))
  assert probe.labels(1).maps['part'][0].max() == 0
  indices, _ = open_broden(str(folder)).masks(1)
  assert 0 in indices


def test_the_split_of_broden_is_a_hash():
  assert hash_fraction('dtd/g_0106.jpg') == pytest.approx(0.4327, abs=5e-5)
  assert is_trained('dtd/g_0106.jpg')
  fractions = np.array([hash_fraction(f'{i}.jpg') for i in range(2000)])
  assert abs((fractions <= 0.7).mean() - 0.7) < 4 * np.sqrt(0.21 / 2000)


def test_a_picture_keeps_its_name_whatever_the_categories(folder):
  edit(folder / 'index.csv', 'dtd/s_1.jpg', 'ade20k_a.b.jpg')
  names = [source.name for source in open_broden(str(folder)).pictures.sources]
  assert names == ['ade20k_a.b', 'ade20k_a.b_2', 'ade20k_c']
  fewer = open_broden(str(folder), ('object',)).pictures.sources
  assert [source.name for source in fewer] == names[1:]


def test_a_dense_coding_may_be_there(folder):
  (folder / 'c_object.csv').write_text('code,number,name,frequency,coverage\n1,1,person,3,.5\n')
  assert len(open_broden(str(folder)).concepts) == 6
  (folder / 'c_object.csv').write_text('code,number,name,frequency,coverage\n1,8,person,3,.5\n')
  with pytest.raises(UserError, match=r'c_object.csv line 2: the number 8 is not in .*label.csv'):
    open_broden(str(folder))


@pytest.mark.parametrize(
  ('file', 'old', 'new', 'message'),
  [
    ('index.csv', 'sh,sw', 'sh,s', "index.csv: the first line must name .* 'sw' is missing"),
    ('index.csv', ',object,', ',part,', "names the column 'part' twice"),
    ('index.csv', 'jpg,val', 'jpg,test', "line 4: split must be one of train, val, not 'test'"),
    ('index.csv', 'jpg,val', 'jpg,train', "index.csv: the split 'val' is empty"),
    ('index.csv', '16,20,7', '16,x,7', "line 2: sw must be a whole number from 1, not 'x'"),
    ('index.csv', '16,20,7', '16,24,7', 'line 3: sh, sw are 16, 20, and 16, 24 before'),
    ('index.csv', 'dtd/s_1.jpg', '', 'line 2: has no image'),
    ('index.csv', 'c_color.png,', 'c_color.png', 'line 4: has 10 cells; the header has 11'),
    ('label.csv', '300,', '1,', "line 4: the number 1 is that of 'person' too"),
    ('label.csv', '300,', '0,', "line 4: number must be a whole number from 1, not '0'"),
    ('label.csv', '300,', '65536,', 'line 4: number must be at most 65535'),
    ('label.csv', 'wheel,part', ',part', 'line 4: has no name'),
    ('label.csv', 'wheel,part', 'person,part', "line 4: the name 'person' is that of number 1 too"),
    ('label.csv', 'part(2);', 'part(2;', r'line 4: category must be as object\(12\);part\(3\)'),
  ],
)
def test_what_is_wrong_in_a_table_is_said(folder, file, old, new, message):
  edit(folder / file, old, new)
  with pytest.raises(UserError, match=message):
    open_broden(str(folder))


def test_what_is_not_there_is_said(folder):
  with pytest.raises(UserError, match=r"config.dataset: the folder '.*/no' does not exist"):
    open_broden(str(folder / 'no'))
  with pytest.raises(UserError, match="must be one of texture, part, .*, not 'parts'"):
    open_broden(str(folder), ('parts',))
  (folder / 'label.csv').unlink()
  with pytest.raises(UserError, match=r'label.csv: no such file'):
    open_broden(str(folder))
  (folder / 'index.csv').write_text(broden_folder.INDEX.splitlines()[0])
  with pytest.raises(UserError, match=r'index.csv: has no row'):
    open_broden(str(folder))


def damage_size(path):
  broden_folder.label_map(path, size=(20, 16))


def damage_blue(path):
  broden_folder.label_map(path, blue=1)


def damage_label(path):
  broden_folder.label_map(path, (301, 3, 4, 3, 4))


@pytest.mark.parametrize(
  ('damage', 'message'),
  [
    (lambda path: path.unlink(), r'c_color.png: no such file'),
    (lambda path: path.write_bytes(path.read_bytes()[:60]), r'c_color.png: cannot be read'),
    (damage_size, r'c_color.png: is 16 x 20 pixels, not 20 x 16'),
    (damage_blue, r'c_color.png: .* blue must be 0'),
    (damage_label, r'c_color.png: the label 301 is not in .*label.csv'),
  ],
)
def test_what_is_wrong_in_a_map_is_said_when_it_is_read(folder, damage, message):
  damage(folder / 'images/ade20k/c_color.png')
  probe = open_broden(str(folder))
  assert len(probe.masks(1)[0]) == 3
  with pytest.raises(ImageError, match=message) as error:
    probe.masks(2)
  assert '\n' not in str(error.value)


def test_a_number_in_the_index_that_is_no_label_is_said(folder):
  edit(folder / 'index.csv', '16,20,7', '16,20,70000')
  with pytest.raises(ImageError, match=r'index.csv line 2: the label 70000 is not in'):
    open_broden(str(folder)).masks(0)


def test_a_missing_picture_is_said(folder):
  (folder / 'images/dtd/s_1.jpg').unlink()
  with pytest.raises(ImageError, match=r's_1.jpg: .*[Nn]o such file'):
    open_broden(str(folder)).pictures.picture(0)
