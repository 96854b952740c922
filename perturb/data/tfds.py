"""Datasets of tensorflow-datasets that have been prepared as array_record files."""

import io
import os

from perturb.data.images import Source
from perturb.data.records import Dataset, Record
from perturb.data.tfds_boxes import boxes_of, feature_of, with_pairs, with_regions
from perturb.errors import UserError, did_you_mean


def open_tfds(name: str, split: str, data_dir: str) -> Dataset:
  """The pictures of a split, with labels if they have some.

  If records have boxes, there are regions. If the boxes have labels and the pictures have none, an
  item is a picture and a class of its boxes, as of `perturb.data.voc`; all records are then read.

  Raises:
    UserError: names the field that does not fit and what would.
  """
  import tensorflow_datasets as tfds  # Here: it takes half a second.

  folder = os.path.expanduser(data_dir) or None
  if not split:
    raise UserError("config.split: give one, such as 'validation[:1000]'")
  try:
    builder = tfds.builder(name, data_dir=folder)
    features = builder.info.features
    image = feature_of(features, tfds.features.Image, 'image')
    if not image:
      raise UserError(f'config.images: the dataset {name!r} has no image; it has {features}')
    label = feature_of(features, tfds.features.ClassLabel, 'label')
    boxes = boxes_of(features, builder.name)
    data = builder.as_data_source(
      split,
      decoders={image: tfds.decode.SkipDecoding()},  # Pillow decodes them, as files.
    )
    parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(builder.info.splits)
  except UserError:
    raise
  except Exception as error:  # It raises its own kinds, some of them over many lines.
    raise UserError(f'config.images: {_reason(error, name, split, folder)}') from error

  def read(index: int) -> Record:
    row = data[index]
    return Record(io.BytesIO(row[image]), int(row[label]) if label else None)

  sources = [
    Source(f'{part.splitname}_{i:06d}', f'{builder.info.full_name} {part.splitname} record {i}')
    for part in parts
    for i in range(builder.info.splits[part.splitname].num_examples)[part.from_ : part.to]
  ]
  if len({source.name for source in sources}) < len(sources):
    raise UserError(
      f'config.split: {split!r} has some records twice; give parts that do not overlap'
    )
  dataset = Dataset(sources, read, tuple(features[label].names) if label else ())
  if boxes is None or not (label or boxes.label):
    return dataset
  return (with_regions if label else with_pairs)(dataset, data.__getitem__, boxes)


def _reason(error: Exception, name: str, split: str, folder: str | None) -> str:
  """What went wrong with a dataset of tensorflow-datasets, in a line."""
  import tensorflow_datasets as tfds

  where = f'in {folder}' if folder else 'in the usual folder (see config.data_dir)'
  if isinstance(error, tfds.core.registered.DatasetNotFoundError):
    known = tfds.list_builders(with_community_datasets=False)
    return f'there is no dataset {name!r} {where}{did_you_mean(name, known)}'
  line = ' '.join(str(error).split())[:300]
  return (
    f'the dataset {name!r} {split} cannot be opened {where}: {line} (it is to be prepared there, '
    "with tfds.builder(name, file_format='array_record').download_and_prepare())"
  )
