"""VOC's files, and what of them is wrong."""

import numpy as np
import pytest

from perturb.data.datasets import open_dataset
from perturb.errors import ImageError, UserError
from tests.data.annotated import filled, names_of, save_picture, save_xml


@pytest.fixture
def devkit(tmp_path):
  """Four pictures of the test set, one of the others."""
  root = tmp_path / 'VOCdevkit' / 'VOC2007'
  objects = {
    '000012': [('dog', 11, 6, 20, 15), ('car', 1, 1, 60, 40), ('dog', 16, 11, 30, 20)],
    '000014': [('person', 1, 1, 10, 10, True), ('chair', 5, 5, 9, 9)],
    '000015': [('person', 1, 1, 10, 10, True), ('person', 21, 1, 40, 40)],
    '000016': [('cow', 1, 1, 10, 10, True)],
    '000017': [('sheep', 1, 1, 10, 10)],
  }
  for seed, (key, found) in enumerate(objects.items()):
    save_picture(root / 'JPEGImages' / f'{key}.jpg', seed=seed)
    save_xml(root / 'Annotations' / f'{key}.xml', found)
  (root / 'ImageSets' / 'Main').mkdir(parents=True)
  (root / 'ImageSets' / 'Main' / 'test.txt').write_text('000012\n000014\n000015\n000016\n')
  (root / 'ImageSets' / 'Main' / 'dog_val.txt').write_text('000012  1\n000017 -1\n')
  return root


def test_pairs_of_a_picture_and_a_class(devkit):
  dataset = open_dataset(f'voc:{devkit}')
  assert names_of(dataset) == ['000012_car', '000012_dog', '000014_chair', '000015_person']
  assert [dataset.class_names[dataset.record(i).label] for i in range(4)] == [
    'car', 'dog', 'chair', 'person'
  ]  # fmt: skip
  assert len(dataset.class_names) == 20 and dataset.class_names.index('tvmonitor') == 19
  assert not dataset.problems
  first, second = dataset.picture(0)[0], dataset.picture(1)[0]
  assert np.array_equal(first, second)  # The same picture.
  car, dog = dataset.region(0), dataset.region(1)
  assert car.size == dog.size == (60, 40) == dataset.size(0)
  assert car.boxes.tolist() == [[0, 0, 60, 40]] and car.mask().all()
  assert dog.boxes.tolist() == [[10, 5, 20, 15], [15, 10, 30, 20]]
  np.testing.assert_array_equal(dog.mask(), filled((60, 40), (10, 5, 20, 15), (15, 10, 30, 20)))
  assert [dataset.region(i).difficult for i in range(4)] == [False, True, True, False]


def test_objects_that_are_difficult_count_with_others_only(devkit):
  """The person of 000014 is left out, and makes the chair's pair one of two classes."""
  dataset = open_dataset(f'voc:{devkit}')
  assert dataset.region(3).boxes.tolist() == [[0, 0, 10, 10], [20, 0, 40, 40]]


def test_folders_sets_and_slices(devkit):
  assert names_of(open_dataset(f'voc:{devkit.parent}')) == names_of(open_dataset(f'voc:{devkit}'))
  assert names_of(open_dataset(f'voc:{devkit}:dog_val')) == [
    '000012_car', '000012_dog', '000017_sheep'
  ]  # fmt: skip
  sliced = open_dataset(f'voc:{devkit.parent}:test', '[1:3]')
  assert names_of(sliced) == ['000012_dog', '000014_chair']
  assert sliced.region(1).boxes.tolist() == [[4, 4, 9, 9]]
  (devkit.parent / 'VOC2012' / 'JPEGImages').mkdir(parents=True)
  for name, message in (
    (devkit.parent, 'is one of VOC2007, VOC2012'),
    (devkit / 'Annotations', 'is no folder of VOC'),
    (f'{devkit}:tset', "has no set 'tset'; did you mean 'test'"),
    (devkit / 'none', 'does not exist'),
  ):
    with pytest.raises(UserError, match=message):
      open_dataset(f'voc:{name}')


def laughs():
  """Entities that would become 10^9 characters."""
  entities = ''.join(
    f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9)
  )  # fmt: skip
  return f'<!DOCTYPE a [<!ENTITY e0 "x">{entities}]><annotation>&e9;</annotation>'


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (None, 'no such file'),
    ('', 'cannot be read as an annotation'),
    ('<annotation><object><name>dog</name>', 'cannot be read as an annotation'),
    ('<annotation><object><name>dog</name></object></annotation>', 'not all of bndbox/xmin'),
    (laughs(), 'it has a DOCTYPE'),
    (laughs().encode('utf-16'), 'it has a DOCTYPE'),
    ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', 'it has a DOCTYPE'),
  ],
)
def test_an_annotation_that_cannot_be_read_costs_its_picture(devkit, text, message):
  path = devkit / 'Annotations' / '000012.xml'
  path.unlink()
  if text is not None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
  dataset = open_dataset(f'voc:{devkit}')
  assert names_of(dataset) == ['000014_chair', '000015_person']
  (problem,) = dataset.problems
  assert problem.startswith(f'{path}: ') and message in problem and '\n' not in problem


@pytest.mark.parametrize('side', ['x', '', 'nan', 'inf', '1e999'])
def test_a_side_that_is_no_number(devkit, side):
  save_xml(devkit / 'Annotations' / '000012.xml', [('dog', side, 1, 2, 2)])
  (problem,) = open_dataset(f'voc:{devkit}').problems
  assert problem.startswith(f'{devkit / "Annotations" / "000012.xml"}: cannot be read')


def test_boxes_and_classes_that_do_not_fit(devkit):
  path = devkit / 'Annotations' / '000012.xml'
  save_xml(
    path,
    [
      ('dog', 0, 31, 70, 50),  # Larger than the picture.
      ('dog', 61, 1, 70, 9),  # Beside it.
      ('dog', 9, 9, 5, 12),  # Backwards.
      ('zebra', 1, 1, 9, 9),
    ],
  )
  (devkit / 'JPEGImages' / '000014.jpg').unlink()
  dataset = open_dataset(f'voc:{devkit}')
  assert names_of(dataset) == ['000012_dog', '000015_person']
  assert dataset.region(0).boxes.tolist() == [[0, 30, 60, 40]]
  assert dataset.problems == (
    f"{path}: a box of 'dog' is empty or outside the picture",
    f"{path}: a box of 'dog' is empty or outside the picture",
    f"{path}: 'zebra' is no category of this dataset",
    f"{devkit / 'JPEGImages' / '000014.jpg'}: no such file, but the set 'test' names it",
  )


def test_an_annotation_of_another_size(devkit):
  path = devkit / 'Annotations' / '000012.xml'
  save_xml(path, [('dog', 1, 1, 9, 9)], size=(50, 40))
  dataset = open_dataset(f'voc:{devkit}')
  with pytest.raises(ImageError, match=r'000012\.jpg: has 60 x 40 .* says 50 x 40$'):
    dataset.region(0)
  assert dataset.region(1).size == (60, 40)
  save_xml(path, [('dog', 1, 1, 9, 9)], size=(0, 0))  # Not said.
  assert open_dataset(f'voc:{devkit}').region(0).boxes.tolist() == [[0, 0, 9, 9]]


def test_a_picture_that_is_stored_turned(devkit):
  """Its annotation refers to the stored pixels, and turns with it: a quarter, clockwise."""
  save_picture(devkit / 'JPEGImages' / '000012.jpg', orientation=6)
  save_xml(devkit / 'Annotations' / '000012.xml', [('dog', 1, 1, 20, 10)])
  dataset = open_dataset(f'voc:{devkit}')
  region = dataset.region(0)
  assert region.size == dataset.size(0) == dataset.picture(0)[0].size == (40, 60)
  assert region.boxes.tolist() == [[30, 0, 40, 20]]


def test_nothing_that_is_annotated(devkit):
  for path in (devkit / 'Annotations').iterdir():
    path.write_text('<')
  with pytest.raises(UserError, match=r'has no annotated picture; the first of 4 problems: .*12'):
    open_dataset(f'voc:{devkit}')


def test_pictures_without_regions():
  with pytest.raises(UserError, match="have no boxes or masks; 'voc:'"):
    open_dataset('chelsea').region(0)
