"""Boxes of records of tensorflow-datasets."""

import io
import types

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.object_detection import voc

from perturb.data.datasets import open_dataset
from perturb.errors import UserError
from tests.data.annotated import filled, save_picture, save_xml

NAMES = ['car', 'dog', 'person']
# Of each record: label, left, top, right, bottom in pixels of 60 x 40, whether it is difficult.
OBJECTS = (
  [(1, 10, 5, 20, 15, False), (0, 0, 0, 60, 40, False), (1, 15, 10, 30, 20, False)],
  [(2, 0, 0, 10, 10, True), (1, 4, 4, 9, 9, False)],
  [(2, 0, 0, 10, 10, True)],
  [],
  [(2, 3, 0, 9, 9, False), (2, 15, 5, 15, 9, False)],  # The last is empty.
)


def share(box):
  left, top, right, bottom = box
  return tfds.features.BBox(top / 40, left / 60, bottom / 40, right / 60)


def png(value, size=(60, 40)):
  file = io.BytesIO()
  Image.new('RGB', size, (value, 0, 0)).save(file, 'png')
  file.seek(0)
  return file


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    features = tfds.features.FeaturesDict(self.features())
    return tfds.core.DatasetInfo(builder=self, features=features)

  def _split_generators(self, _):
    return {'test': self._generate_examples()}


class Scenes(Builder, skip_registration=True):
  """Objects with labels; pictures without."""

  name = 'scenes'

  def features(self):
    objects = {
      'label': tfds.features.ClassLabel(names=NAMES),
      'bbox': tfds.features.BBoxFeature(),
      'is_difficult': np.bool_,
    }
    return {
      'image': tfds.features.Image(shape=(None, None, 3)),
      'labels': tfds.features.Sequence(tfds.features.ClassLabel(names=NAMES)),
      'objects': tfds.features.Sequence(objects),
    }

  def _generate_examples(self):
    for i, objects in enumerate(OBJECTS):
      found = [
        {'label': label, 'bbox': share(box), 'is_difficult': difficult}
        for label, *box, difficult in objects
      ]
      yield i, {'image': png(i), 'labels': sorted({one[0] for one in objects}), 'objects': found}


class Birds(Builder, skip_registration=True):
  """A label and a box for each picture."""

  name = 'birds'

  def features(self):
    return {
      'image': tfds.features.Image(shape=(None, None, 3)),
      'label': tfds.features.ClassLabel(names=NAMES),
      'bbox': tfds.features.BBoxFeature(),
    }

  def _generate_examples(self):
    yield 0, {'image': png(0), 'label': 2, 'bbox': share((10, 5, 20, 15))}


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tfds')
  for builder in (Scenes, Birds):
    builder(data_dir=folder, file_format='array_record').download_and_prepare()
  return str(folder)


def test_pairs_of_a_record_and_a_class(data_dir):
  """Records are in an order of their own: what a picture shows is known by its colour."""
  dataset = open_dataset('tfds:scenes', 'test', data_dir)
  assert dataset.class_names == tuple(NAMES)
  found = {}
  for i, source in enumerate(dataset.sources):
    picture, label = dataset.picture(i)
    record = picture.getpixel((0, 0))[0]
    assert source.name.startswith('test_00000') and source.name.endswith(f'_{NAMES[label]}')
    found[record, NAMES[label]] = dataset.region(i)
  assert set(found) == {(0, 'car'), (0, 'dog'), (1, 'dog'), (4, 'person')}
  for (record, shown), region in found.items():
    boxes = [box for label, *box, _ in OBJECTS[record] if NAMES[label] == shown and box[0] < box[2]]
    np.testing.assert_allclose(region.boxes, boxes, atol=1e-4)
    np.testing.assert_array_equal(region.mask(), filled((60, 40), *boxes))
    assert region.size == (60, 40)
  difficult = {key for key, region in found.items() if region.difficult}
  assert difficult == {(0, 'dog'), (1, 'dog')}  # The difficult person is another category.
  (problem,) = dataset.problems
  assert problem.startswith('scenes/1.0.0 test record ')
  assert problem.endswith(": a box of 'person' is empty")


def test_voc_is_the_same_as_from_its_files(tmp_path, monkeypatch):
  """Written by the builder of tensorflow-datasets, which keeps that pixels are counted from 1."""
  root = tmp_path / 'VOCdevkit' / 'VOC2007'
  objects = {
    '000001': [('dog', 11, 6, 20, 15), ('car', 1, 1, 60, 40), ('dog', 16, 11, 16, 20)],
    '000002': [('person', 1, 1, 10, 10, True), ('chair', 5, 5, 9, 9)],
    '000003': [('cow', 1, 1, 10, 10, True)],
  }
  for seed, (key, found) in enumerate(objects.items()):
    save_picture(root / 'JPEGImages' / f'{key}.jpg', seed=seed)
    save_xml(root / 'Annotations' / f'{key}.xml', found)
  (root / 'ImageSets' / 'Main').mkdir(parents=True)
  (root / 'ImageSets' / 'Main' / 'test.txt').write_text('\n'.join(objects))

  class Voc(voc.Voc, skip_registration=True):
    name = 'voc'

    def _split_generators(self, _):
      return {'test': self._generate_examples(str(tmp_path), 'test')}

  files = types.SimpleNamespace(gfile=types.SimpleNamespace(GFile=open))
  monkeypatch.setattr(voc, 'tf', types.SimpleNamespace(io=files))
  data_dir = tmp_path / 'tfds'
  Voc(config='2007', data_dir=data_dir, file_format='array_record').download_and_prepare()
  expected = open_dataset(f'voc:{root}')
  found = open_dataset('tfds:voc/2007', 'test', str(data_dir))
  assert found.class_names == expected.class_names and not found.problems

  def by_picture(dataset):
    pictures = [dataset.picture(i) for i in range(len(dataset.sources))]
    return {(np.asarray(one).tobytes(), label): i for i, (one, label) in enumerate(pictures)}

  assert by_picture(found).keys() == by_picture(expected).keys()
  assert len(by_picture(expected)) == 3
  for key, i in by_picture(expected).items():
    ours, theirs = expected.region(i), found.region(by_picture(found)[key])
    np.testing.assert_allclose(theirs.boxes, ours.boxes, atol=1e-4)
    np.testing.assert_array_equal(theirs.mask(), ours.mask())
    assert (theirs.size, theirs.difficult) == (ours.size, ours.difficult)


def test_a_box_of_a_labelled_picture(data_dir):
  dataset = open_dataset('tfds:birds', 'test', data_dir)
  assert [source.name for source in dataset.sources] == ['test_000000']
  assert dataset.record(0).label == 2
  region = dataset.region(0)
  np.testing.assert_array_equal(region.mask(), filled((60, 40), (10, 5, 20, 15)))
  assert not region.difficult


def test_no_record_with_a_box(data_dir):
  whole = open_dataset('tfds:scenes', 'test', data_dir)
  places = {source.path for source in whole.sources}
  empty = next(i for i in range(5) if not any(place.endswith(f' {i}') for place in places))
  with pytest.raises(UserError, match='none of 1 records has a box'):
    open_dataset('tfds:scenes', f'test[{empty}:{empty + 1}]', data_dir)
