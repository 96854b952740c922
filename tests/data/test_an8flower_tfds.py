"""Flowers as a dataset of tensorflow-datasets."""

import numpy as np

from perturb.data import an8flower_tfds
from perturb.data.datasets import open_dataset


def test_records_are_the_items(tmp_path, monkeypatch):
  """Of a few of them, prepared without TensorFlow and read as any prepared dataset."""
  few = open_dataset('an8flower:part-2c', '[998:1002]')
  monkeypatch.setattr(an8flower_tfds, 'open_an8flower', {'part-2c': few}.__getitem__)
  builder = an8flower_tfds.An8flower(
    config='part_2c', data_dir=tmp_path, file_format='array_record'
  )
  builder.download_and_prepare()
  rows = {row['file_name'].decode(): row for row in builder.as_data_source('train')}
  assert len(rows) == 4
  for i, source in enumerate(few.sources):
    row, (picture, label) = rows[f'{source.name}.png'], few.picture(i)
    np.testing.assert_array_equal(row['image'], np.asarray(picture))
    np.testing.assert_array_equal(row['mask'][..., 0], 255 * few.region(i).mask())
    assert (row['label'], row['frame']) == (label, few.groups[i])
  found = open_dataset('tfds:an8flower/part_2c', 'train', str(tmp_path))
  assert found.class_names == few.class_names and len(found.sources) == 4
