"""Datasets: pictures, with labels where there are some, that are read by index when asked for."""

import bisect
from collections.abc import Callable, Sequence
import dataclasses
import io
import itertools
import os
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from perturb.data.digits import Examples
from perturb.data.images import (
  File,
  Source,
  find_images,
  is_hidden,
  may_be_picture,
  open_picture,
  picture_size,
)
from perturb.data.names import harmless, unique_names
from perturb.errors import ImageError, UserError, did_you_mean


class Record(NamedTuple):
  """An encoded picture, and the index of its class in the dataset, if known."""

  file: File
  label: int | None


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Pictures by index.

  Attributes:
    sources: a distinct name and a place for each: `[N]`.
    read: index -> its record; raises what its library raises.
    class_names: of the labels; empty where there are none.
    problems: a line for each item asked for that matches nothing.
  """

  sources: Sequence[Source]
  read: Callable[[int], Record]
  class_names: tuple[str, ...] = ()
  problems: tuple[str, ...] = ()

  def record(self, index: int) -> Record:
    """What is stored of a picture.

    Raises:
      ImageError: names the place and what is wrong there.
    """
    try:
      return self.read(index)
    except Exception as error:  # Whatever a library raises for a damaged record.
      line = ' '.join(str(error).split()) or type(error).__name__
      raise ImageError(f'{self.sources[index].place}: cannot be read ({line})') from error

  def picture(self, index: int) -> tuple[Image.Image, int | None]:
    """(the upright RGB picture, its label).

    Raises:
      ImageError: names the place and what is wrong there.
    """
    file, label = self.record(index)
    return open_picture(file, self.sources[index].place), label

  def size(self, index: int) -> tuple[int, int]:
    """(width, height) of the upright picture, in pixels; see `picture_size`.

    Raises:
      ImageError: names the place and what is wrong there.
    """
    return picture_size(self.record(index).file, self.sources[index].place)


def open_dataset(images: str, split: str = '', data_dir: str = '') -> Dataset:
  """The pictures that a config names.

  Args:
    images: one of
      - paths, folders, globs and names of bundled photographs, separated by commas;
      - `classes:FOLDER`, a folder with a subfolder for each class, as ImageNet's; hidden and empty
        ones, and files that are no pictures, do not count;
      - `tfds:NAME`, a dataset of tensorflow-datasets that has been prepared as array_record files.
    split: of tensorflow-datasets, `validation[:1000]`; of files, a slice `[1000:2000]`.
    data_dir: where tensorflow-datasets keeps its data; '' for its usual place.

  Raises:
    UserError: names the field that does not fit and what would.
  """
  kind, _, name = images.partition(':')
  if kind == 'tfds':
    return _open_tfds(name, split, data_dir)
  if kind == 'classes':
    return _sliced(of_class_folders(name, 'config.images'), split)
  sources, problems = find_images(images)
  return _sliced(dataclasses.replace(of_files(sources), problems=tuple(problems)), split)


def of_files(sources: Sequence[Source]) -> Dataset:
  """The pictures of some files."""
  return Dataset(sources, lambda i: Record(sources[i].path, None))


def of_examples(examples: Examples, indices: Sequence[int] | np.ndarray) -> Dataset:
  """Some labelled pictures that are in memory, as `7_0042`: the label and the index."""
  names = [f'{examples.class_names[examples.labels[i]]}_{i:04d}' for i in indices]

  def read(index: int) -> Record:
    chosen, file = indices[index], io.BytesIO()
    Image.fromarray(examples.images[chosen]).save(file, 'png')
    return Record(file, int(examples.labels[chosen]))

  return Dataset([Source(name, name) for name in names], read, examples.class_names)


def _sliced(dataset: Dataset, split: str) -> Dataset:
  """The pictures of a slice: '[:1000]', '[1000:]', '[1000:2000]'; '' for all."""
  found = re.fullmatch(r'\[(\d*):(\d*)\]', split.strip()) if split else None
  if not split:
    return dataset
  if not found:
    raise UserError(f'config.split: of files it is a slice such as [1000:2000], not {split!r}')
  start, stop = (int(number) if number else None for number in found.groups())
  indices = range(len(dataset.sources))[start:stop]
  return dataclasses.replace(
    dataset,
    sources=[dataset.sources[i] for i in indices],
    read=lambda i: dataset.read(indices[i]),
  )


def of_class_folders(folder: str, field: str) -> Dataset:
  """The pictures of a folder with a subfolder for each class; errors begin with a field's name.

  Raises:
    UserError: if there is no such folder, or no subfolder with pictures.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise UserError(f'{field}: the folder {folder!r} does not exist')
  folders = sorted(path for path in root.iterdir() if path.is_dir() and not is_hidden(path))
  pictures = {path: sorted(filter(may_be_picture, path.iterdir())) for path in folders}
  classes = [path for path in folders if pictures[path]]
  if not classes:
    raise UserError(f'{field}: {folder!r} has no subfolder with pictures; it takes one a class')
  files = [file for path in classes for file in pictures[path]]
  first = [0, *itertools.accumulate(len(pictures[path]) for path in classes)]  # Of each class.
  names = unique_names([_name_in_class(file) for file in files])
  sources = [Source(name, str(file)) for name, file in zip(names, files, strict=True)]

  def read(index: int) -> Record:
    return Record(sources[index].path, bisect.bisect_right(first, index) - 1)

  return Dataset(sources, read, tuple(harmless(path.name) for path in classes))


def _name_in_class(file: pathlib.Path) -> str:
  """`n01440764_10026` for `n01440764/n01440764_10026.JPEG` and for `n01440764/10026.JPEG`."""
  label = file.parent.name
  return file.stem if file.stem.startswith(f'{label}_') else f'{label}_{file.stem}'


def _open_tfds(name: str, split: str, data_dir: str) -> Dataset:
  import tensorflow_datasets as tfds  # Here: it takes half a second.

  folder = os.path.expanduser(data_dir) or None
  if not split:
    raise UserError("config.split: give one, such as 'validation[:1000]'")
  try:
    builder = tfds.builder(name, data_dir=folder)
    features = builder.info.features
    image = _feature(features, tfds.features.Image, 'image')
    if image is None:
      raise UserError(f'config.images: the dataset {name!r} has no image; it has {features}')
    label = _feature(features, tfds.features.ClassLabel, 'label')
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
  return Dataset(sources, read, tuple(features[label].names) if label else ())


def _feature(features: Any, kind: type, usual: str) -> str | None:
  """The name of a feature of a kind: the usual one, or the first."""
  names = [name for name, feature in features.items() if isinstance(feature, kind)]
  return usual if usual in names else (names or [None])[0]


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
