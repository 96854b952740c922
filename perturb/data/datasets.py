"""Datasets: pictures, with labels where there are some, that are read by index when asked for."""

import bisect
from collections.abc import Sequence
import dataclasses
import itertools
import os
import pathlib
import re

import numpy as np

from perturb.data.an8flower import open_an8flower
from perturb.data.coco import open_coco
from perturb.data.digits import Examples, load_digits
from perturb.data.imagenet import open_imagenet
from perturb.data.images import Source, find_images, is_hidden, may_be_picture, png_file
from perturb.data.masks import open_masks
from perturb.data.names import harmless, unique_names
from perturb.data.records import Dataset, Record
from perturb.data.tfds import open_tfds
from perturb.data.voc import open_voc
from perturb.errors import UserError

_ANNOTATED = {
  'voc': open_voc,
  'coco': open_coco,
  'imagenet': open_imagenet,
  'masks': open_masks,
  'an8flower': open_an8flower,
}
DIGITS = 'digits'


def open_dataset(images: str, split: str = '', data_dir: str = '') -> Dataset:
  """The pictures that a config names.

  Args:
    images: one of
      - paths, folders, globs and names of bundled photographs, separated by commas;
      - `digits`, 5000 labelled images of MNIST (see `perturb.data.digits`); as of any bundled
        name, a file or folder of that name comes first;
      - `classes:FOLDER`, a folder with a subfolder for each class, as ImageNet's; hidden and empty
        ones, and files that are no pictures, do not count;
      - `tfds:NAME`, a dataset of tensorflow-datasets that has been prepared as array_record files;
      - pictures with boxes or masks, an item for each picture and class that it shows:
        `voc:FOLDER` or `voc:FOLDER:SET` (see `perturb.data.voc`), `coco:FILE.json` or
        `coco:FILE.json:FOLDER` (`perturb.data.coco`), `imagenet:FOLDER` (`perturb.data.imagenet`),
        `masks:FOLDER` (`perturb.data.masks`), and `tfds:NAME` if its records have boxes;
      - `an8flower:single-6c`, `an8flower:double-12c`, `an8flower:part-2c`, rendered when they are
        read, or `an8flower:FOLDER` (`perturb.data.an8flower`): flowers with exact masks.
    split: of tensorflow-datasets, `validation[:1000]`; of files, a slice `[1000:2000]`.
    data_dir: where tensorflow-datasets keeps its data; '' for its usual place.

  Raises:
    UserError: names the field that does not fit and what would.
  """
  kind, _, name = images.partition(':')
  if kind == 'tfds':
    return open_tfds(name, split, data_dir)
  if kind in _ANNOTATED:
    return _sliced(_ANNOTATED[kind](name), split)
  if kind == 'classes':
    return _sliced(of_class_folders(name, 'config.images'), split)
  if images == DIGITS and not os.path.exists(images):
    digits = load_digits()
    return _sliced(of_examples(digits, range(len(digits.labels))), split)
  sources, problems = find_images(images)
  return _sliced(dataclasses.replace(of_files(sources), problems=tuple(problems)), split)


def of_files(sources: Sequence[Source]) -> Dataset:
  """The pictures of some files."""
  return Dataset(sources, lambda i: Record(sources[i].path, None))


def of_examples(examples: Examples, indices: Sequence[int] | np.ndarray) -> Dataset:
  """Some labelled pictures that are in memory, as `7_0042`: the label and the index."""
  names = [f'{examples.class_names[examples.labels[i]]}_{i:04d}' for i in indices]

  def read(index: int) -> Record:
    chosen = indices[index]
    return Record(png_file(examples.images[chosen]), int(examples.labels[chosen]))

  return Dataset([Source(name, name) for name in names], read, examples.class_names)


def _sliced(dataset: Dataset, split: str) -> Dataset:
  """The pictures of a slice: '[:1000]', '[1000:2000]', '[::20]'; '' for all."""
  found = re.fullmatch(r'\[(\d*):(\d*)(?::([1-9]\d*))?\]', split.strip()) if split else None
  if not split:
    return dataset
  if not found:
    raise UserError(f'config.split: of files it is a slice such as [1000:2000], not {split!r}')
  start, stop, step = (int(number) if number else None for number in found.groups())
  return dataset.take(range(len(dataset.sources))[start:stop:step])


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
