"""Boxes of records of tensorflow-datasets."""

import io

import numpy as np
from PIL import Image
import tensorflow_datasets as tfds

NAMES = ['car', 'dog', 'person']
# Of each record: label, left, top, right, bottom in pixels of 60 x 40, whether it is difficult.
OBJECTS = (
  [(1, 10, 5, 20, 15, False), (0, 0, 0, 60, 40, False), (1, 15, 10, 30, 20, False)],
  [(2, 0, 0, 10, 10, True), (1, 4, 4, 9, 9, False)],
  [(2, 0, 0, 10, 10, True)],
  [],
  [(2, 3, 0, 9, 9, False), (2, 5, 5, 5, 9, False)],
)


def share(box, first=0):
  left, top, right, bottom = box
  return tfds.features.BBox(
    (top + first) / 40, (left + first) / 60, bottom / 40, right / 60
  )  # fmt: skip


def png(value, size=(60, 40)):
  file = io.BytesIO()
  Image.new('RGB', size, (value, 0, 0)).save(file, 'png')
  file.seek(0)
  return file


class Builder(tfds.core.GeneratorBasedBuilder):
  VERSION = tfds.core.Version('1.0.0')
  SKIP_REGISTERING = True

  def _info(self):
    features = tfds.features.FeaturesDict(self.features())
    return tfds.core.DatasetInfo(builder=self, features=features)

  def _split_generators(self, _):
    return {'test': self._generate_examples()}


class Voc(Builder):
  """As the dataset of that name: pixels of boxes are counted from 1."""

  name = 'voc'
  first = 1

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
        {'label': label, 'bbox': share(box, self.first), 'is_difficult': difficult}
        for label, *box, difficult in objects
      ]
      yield i, {'image': png(i), 'labels': sorted({one[0] for one in objects}), 'objects': found}


class Elsewhere(Voc):
  """With pixels counted from 0."""

  name = 'elsewhere'
  first = 0


class Birds(Builder):
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
