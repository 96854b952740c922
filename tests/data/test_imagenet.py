"""ImageNet's boxes in each layout of its folders."""

import numpy as np
import pytest

from perturb.data.datasets import open_dataset
from perturb.errors import UserError
from tests.data.annotated import filled, names_of, save_picture, save_xml

OBJECTS = {
  'ILSVRC2012_val_00000001': [('n01751748', 11, 6, 20, 15), ('n01751748', 31, 6, 40, 15)],
  'ILSVRC2012_val_00000002': [('n01440764', 1, 1, 30, 40)],
}
WNIDS = {key: objects[0][0] for key, objects in OBJECTS.items()}
LAYOUTS = {
  'ilsvrc': ('Data/CLS-LOC/val/{key}.JPEG', 'Annotations/CLS-LOC/val/{key}.xml'),
  'classes': ('{wnid}/{key}.JPEG', 'Annotations/CLS-LOC/val/{key}.xml'),
  'classes_of_ilsvrc': (
    'Data/CLS-LOC/val/{wnid}/{key}.JPEG', 'Annotations/CLS-LOC/val/{wnid}/{key}.xml',
  ),
  'flat': ('{key}.JPEG', '{key}.xml'),
  'beside': ('{wnid}/{key}.JPEG', '{wnid}/{key}.xml'),
}  # fmt: skip


def write(root, layout):
  for key, objects in OBJECTS.items():
    picture, annotation = (root / part.format(key=key, wnid=WNIDS[key]) for part in LAYOUTS[layout])
    save_picture(picture)
    save_xml(annotation, objects)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_pictures_and_boxes_in_each_layout(tmp_path, layout):
  write(tmp_path, layout)
  dataset = open_dataset(f'imagenet:{tmp_path}')
  assert dataset.class_names == ('n01440764', 'n01751748') and not dataset.problems
  found = {name: i for i, name in enumerate(names_of(dataset))}
  assert set(found) == {f'{key}_{wnid}' for key, wnid in WNIDS.items()}
  snake = found['ILSVRC2012_val_00000001_n01751748']
  assert dataset.record(snake).label == 1
  region = dataset.region(snake)
  expected = filled((60, 40), (10, 5, 20, 15), (30, 5, 40, 15))
  np.testing.assert_array_equal(region.mask(), expected)
  assert not region.difficult  # It is the only class.


def test_what_is_missing_or_of_another_set(tmp_path):
  write(tmp_path, 'ilsvrc')
  pictures, boxes = (tmp_path / kind / 'CLS-LOC' / 'val' for kind in ('Data', 'Annotations'))
  save_picture(pictures / 'b.JPEG')
  save_picture(pictures / 'c.JPEG')
  save_xml(boxes / 'd.xml', OBJECTS['ILSVRC2012_val_00000001'])
  save_picture(pictures / 'e.JPEG')
  save_xml(boxes / 'e.xml', [('dog', 1, 1, 5, 5)])
  save_picture(pictures / 'f.JPEG')
  (boxes / 'f.xml').write_text('<annotation>')
  dataset = open_dataset(f'imagenet:{tmp_path}')
  assert len(dataset.sources) == 2
  assert dataset.problems[:3] == (
    f'{boxes / "d.xml"}: its picture is not there',
    f'{pictures / "b.JPEG"}: has no annotation, like 2 pictures in all',
    f"{boxes / 'e.xml'}: 'dog' is no category of this dataset",
  )
  assert len(dataset.problems) == 4 and dataset.problems[3].startswith(f'{boxes / "f.xml"}: ')
  for folder, message in ((tmp_path / 'none', 'does not exist'), (boxes, 'no annotated picture')):
    with pytest.raises(UserError, match=message):
      open_dataset(f'imagenet:{folder}')


def test_the_same_name_in_two_classes(tmp_path):
  """An annotation is that of its folder; hidden files do not count."""
  for wnid, right in (('n01440764', 10), ('n01751748', 20)):
    save_picture(tmp_path / wnid / '1.JPEG')
    save_xml(tmp_path / wnid / '1.xml', [(wnid, 1, 1, right, 10)])
  save_picture(tmp_path / 'n01773549' / '1.JPEG')
  save_xml(tmp_path / '__MACOSX' / '._1.xml', [])
  dataset = open_dataset(f'imagenet:{tmp_path}')
  assert names_of(dataset) == ['1_n01440764', '1_n01751748']
  assert [dataset.region(i).boxes[0, 2] for i in range(2)] == [10, 20]
  assert dataset.problems == (
    f'{tmp_path / "n01773549" / "1.JPEG"}: has no annotation, like 1 pictures in all',
  )
