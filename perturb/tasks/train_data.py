"""The pictures of a training: to train on, and held out; in memory, or read when they are needed.

Both have the same methods, so that one loop trains on both.
"""

from collections.abc import Iterator
import sys
from typing import NamedTuple, Protocol

import jax
from ml_collections import ConfigDict
import numpy as np

from perturb.chunks import default_forward_chunk
from perturb.data.datasets import Dataset, open_dataset
from perturb.data.digits import Examples
from perturb.data.folds import folds
from perturb.data.images import Source
from perturb.errors import ImageError, UserError, printable
from perturb.run.subjects import dataset_of
from perturb.store.failures import Failures
from perturb.training.batches import EvaluationBatch, TrainingBatches, evaluation_batches
from perturb.training.examples import read_examples


class Opened(NamedTuple):
  """The datasets of a config; the same one twice where a fold is held out.

  Attributes:
    known: to train on.
    unseen: held out.
    apart: whether they are two.
  """

  known: Dataset
  unseen: Dataset
  apart: bool


class Data(Protocol):
  """Pictures to train on, and held out.

  Attributes:
    trained_on: how many there are to train on.
    names: of those that are held out, in the order of their indices.
    checksum: arrays that are the same for the same pictures.
  """

  trained_on: int
  names: list[str]
  checksum: tuple[np.ndarray, ...]

  def held_out(self) -> Iterator[EvaluationBatch]:
    """The pictures that are held out, in batches of this process; indices are those of `names`."""


class Fail:
  """Names each picture that cannot be used once, on stderr and in `failures.csv`.

  Args:
    failures: where.
    say: whether stderr is still to be told.
  """

  def __init__(self, failures: Failures, say: bool):
    self.failures, self.say = failures, say
    self._named = set[str]()

  def __call__(self, source: Source, reason: str) -> None:
    if source.place not in self._named:
      self._named.add(source.place)
      self.failures.add(source.name, source.place, reason)
      if self.say:
        print(f'error: {printable(reason)}', file=sys.stderr, flush=True)


def labelled(config: ConfigDict) -> Dataset:
  """The dataset that `config.images` names.

  Raises:
    UserError: for fewer than two labelled classes.
  """
  dataset = dataset_of(config)
  if len(dataset.class_names) < 2:
    raise UserError(
      f'config.images: {config.images!r} has {len(dataset.class_names)} labelled classes; a '
      "training takes two or more: 'classes:FOLDER' has a subfolder for each"
    )
  return dataset


def open_data(config: ConfigDict) -> Opened:
  """The datasets that a config names.

  Raises:
    UserError: for a dataset without labels; for one held out whose classes are others.
  """
  known = labelled(config)
  if not (config.validation_images or config.validation_split):
    return Opened(known, known, False)
  images = config.validation_images or config.images
  try:
    unseen = open_dataset(images, config.validation_split, config.data_dir)
  except UserError as error:
    raise UserError(f'of config.validation_images {images!r}: {error}') from error
  if not unseen.sources:
    none = f'images: {images!r} has no picture'
    raise UserError(f'config.validation_{"; ".join(unseen.problems) or none}')
  _check_same_classes(known, unseen)
  return Opened(known, unseen, True)


def _check_same_classes(known: Dataset, unseen: Dataset) -> None:
  for name in sorted(set(known.class_names) ^ set(unseen.class_names)):
    where = ('config.images', 'config.validation_images')
    has, lacks = where if name in known.class_names else where[::-1]
    raise UserError(f'{lacks}: has no class {name!r}, which {has} has; both take the same classes')
  if known.class_names != unseen.class_names:
    raise UserError("config.validation_images: its classes have another order than config.images'")


class InMemory:
  """All pictures, read once; see `Data`.

  Attributes:
    examples: all, N pictures.
    test: which of them are held out, bool `[N]`.

  Raises:
    UserError: for labels that are no classes; for a class with too few pictures; for more pictures
      than the memory should hold.
  """

  def __init__(self, config: ConfigDict, opened: Opened, size: int, fail: Fail):
    read = [
      _read(config, dataset, size, fail)
      for dataset in ((opened.known, opened.unseen) if opened.apart else (opened.known,))
    ]
    self.examples, self.test, names = _held_out(config, opened, read)
    self.trained_on = int((~self.test).sum())
    self.names = [names[i] for i in np.flatnonzero(self.test)]
    self.checksum: tuple[np.ndarray, ...] = (self.examples.images, self.examples.labels, self.test)

  def held_out(self) -> Iterator[EvaluationBatch]:
    """The pictures that are held out; see `Data`."""
    images, labels = self.examples.images, self.examples.labels
    unseen, devices = np.flatnonzero(self.test), jax.device_count()
    count = max(1, min(default_forward_chunk(images.shape[1:3]), len(unseen)) // devices) * devices
    share = count // jax.process_count()
    first = share * jax.process_index()
    for begin in range(0, len(unseen), count):
      indices = np.full(count, -1)
      indices[: len(unseen) - begin] = np.arange(begin, min(begin + count, len(unseen)))
      mine = indices[first : first + share]
      chosen, valid = unseen[mine], mine >= 0
      yield EvaluationBatch(images[chosen], labels[chosen].astype(np.int32), valid, mine)


class Streamed:
  """Pictures that are read when their step comes; see `Data`.

  Attributes:
    batches: of those to train on.

  Raises:
    UserError: for labels that are no classes; for a class with too few pictures; for fewer
      pictures than a batch.
  """

  def __init__(self, config: ConfigDict, opened: Opened, size: int, fail: Fail):
    known, unseen = _members(config, opened, fail)
    self._opened, self._unseen, self._config = opened, unseen, config
    self._size, self._fail = size, fail
    self._processes = {'process': jax.process_index(), 'processes': jax.process_count()}
    self.batches = TrainingBatches(
      opened.known, known, size=size, batch_size=config.batch_size, seed=config.seed,
      crop=config.crop, flip=config.flip, copies=config.copies, workers=config.workers,
      ahead=config.ahead, fail=fail, **self._processes,
    )  # fmt: skip
    self.trained_on = len(known)
    self.names = [opened.unseen.sources[i].name for i in unseen]
    self.checksum: tuple[np.ndarray, ...] = (
      *_named(opened.known, known),
      *_named(opened.unseen, unseen),
    )

  def held_out(self) -> Iterator[EvaluationBatch]:
    """The pictures that are held out; see `Data`."""
    place = {int(item): i for i, item in enumerate(self._unseen)} | {-1: -1}
    for batch in evaluation_batches(
      self._opened.unseen, self._unseen, size=self._size, batch_size=self._config.batch_size,
      fit=self._config.fit, workers=self._config.workers, ahead=self._config.ahead,
      fail=self._fail, **self._processes,
    ):  # fmt: skip
      yield batch._replace(indices=np.array([place[int(item)] for item in batch.indices]))


def _read(
  config: ConfigDict, dataset: Dataset, size: int, fail: Fail
) -> tuple[Examples, np.ndarray]:
  examples, read = read_examples(
    dataset, size=size, fit=config.fit, workers=config.workers, fail=fail
  )
  for label, index in zip(examples.labels, read, strict=True):
    _check_label(int(label), dataset, int(index))
  return examples, read


def _check_label(label: int, dataset: Dataset, index: int) -> None:
  if not 0 <= label < len(dataset.class_names):
    raise UserError(
      f'{dataset.sources[index].place}: its label is {label}, and there are '
      f'{len(dataset.class_names)} classes, from 0'
    )


def _held_out(
  config: ConfigDict, opened: Opened, read: list[tuple[Examples, np.ndarray]]
) -> tuple[Examples, np.ndarray, list[str]]:
  """(all pictures, which are held out, their names)."""
  (examples, indices), *others = read
  names = [opened.known.sources[i].name for i in indices]
  if not others:
    check_classes(examples.labels, examples.class_names, 'config.images', config.folds)
    return examples, _first_fold(config, opened.known, examples.labels, indices), names
  ((unseen, more),) = others
  check_classes(examples.labels, examples.class_names, 'config.images')
  if not len(unseen.labels):
    raise UserError('config.validation_images: none of its pictures can be read')
  both = Examples(
    np.concatenate([examples.images, unseen.images]),
    np.concatenate([examples.labels, unseen.labels]),
    examples.class_names,
  )
  test = np.arange(len(both.labels)) >= len(indices)
  return both, test, names + [opened.unseen.sources[i].name for i in more]


def _first_fold(
  config: ConfigDict, dataset: Dataset, labels: np.ndarray, indices: np.ndarray
) -> np.ndarray:
  groups = None if dataset.groups is None else np.array(dataset.groups)[indices]
  return folds(labels, groups, config.folds, config.seed) == 0


def _members(config: ConfigDict, opened: Opened, fail: Fail) -> tuple[np.ndarray, np.ndarray]:
  """(items to train on, items held out) of pictures that are not read yet."""
  everything = np.arange(len(opened.known.sources))
  if opened.apart:
    if not config.images.startswith('tfds:'):  # Labels that are known without reading.
      check_classes(_labels(opened.known, fail)[1], opened.known.class_names, 'config.images')
    return everything, np.arange(len(opened.unseen.sources))
  indices, labels = _labels(opened.known, fail)
  check_classes(labels, opened.known.class_names, 'config.images', config.folds)
  test = _first_fold(config, opened.known, labels, indices)
  return indices[~test], indices[test]


def _labels(dataset: Dataset, fail: Fail) -> tuple[np.ndarray, np.ndarray]:
  """(items with a record that can be read, their labels)."""
  indices, labels = [], []
  for index, source in enumerate(dataset.sources):
    try:
      label = dataset.record(index).label
    except ImageError as error:
      fail(source, str(error))
      continue
    if label is None:
      fail(source, f'{source.place}: has no label')
      continue
    _check_label(label, dataset, index)
    indices.append(index)
    labels.append(label)
  return np.array(indices, np.int64), np.array(labels, np.int64)


def check_classes(
  labels: np.ndarray, class_names: tuple[str, ...], field: str, count: int = 1
) -> None:
  """Refuses a class with fewer pictures than there are folds, or with none."""
  counts = np.bincount(labels, minlength=len(class_names))
  least = int(counts.argmin())
  if counts[least] >= count:
    return
  pictures = 'picture' if counts[least] == 1 else 'pictures'
  there = f'{field}: class {class_names[least]!r} has {counts[least]} {pictures} that can be read'
  if count > 1:
    raise UserError(f'{there}, and there are {count} folds; take more pictures, or fewer folds')
  raise UserError(f'{there}; each class takes one or more, or take its folder away')


def _named(dataset: Dataset, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  names = '\n'.join(dataset.sources[i].name for i in members)
  return members, np.frombuffer(names.encode(), np.uint8)
