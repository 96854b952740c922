"""Labelled pictures of a config in memory, of which one fold is the test: what studies train on."""

from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from perturb.data.datasets import Dataset
from perturb.data.folds import folds
from perturb.data.images import Source
from perturb.errors import UserError
from perturb.run.subjects import dataset_of
from perturb.store.failures import Failures
from perturb.training.examples import read_examples


class Split(NamedTuple):
  """N pictures.

  Attributes:
    images: uint8 RGB `[N, H, W, 3]`.
    labels: int `[N]`.
    class_names: a name for each label.
    names: of the pictures.
    known: those that may be trained on, int `[K]`.
    test: those that are held out, int `[T]`.
  """

  images: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]
  names: Sequence[str]
  known: np.ndarray
  test: np.ndarray

  def drawn(self, count: int, seed: int) -> np.ndarray:
    """Some of the pictures that may be trained on, as many of each class, in order: `[count]`.

    Args:
      count: how many; 0 for all.
      seed: of the draw.
    """
    if not count:
      return self.known
    order = np.random.RandomState(seed).permutation(self.known)
    turn = np.empty(len(order), int)  # The how-manieth of its class.
    for label in np.unique(self.labels[order]):
      places = np.flatnonzero(self.labels[order] == label)
      turn[places] = np.arange(len(places))
    return np.sort(order[np.argsort(turn, kind='stable')[:count]])


def labelled(config: ConfigDict) -> Dataset:
  """The dataset that a config names.

  Raises:
    UserError: as `dataset_of`; and for fewer than two classes.
  """
  dataset = dataset_of(config)
  if len(dataset.class_names) < 2:
    raise UserError(
      f'config.images: {config.images!r} has {len(dataset.class_names)} labelled classes; a '
      "training takes two or more: 'classes:FOLDER' has a subfolder for each"
    )
  return dataset


def read_split(config: ConfigDict, dataset: Dataset, size: int, failures: Failures) -> Split:
  """The pictures of a dataset at the size of a network; what cannot be read is named and left out.

  Args:
    config: `fit`, `workers`, `folds`, `seed`, `train_count`, `batch_size`.
    dataset: with labels.
    size: of the pictures, in pixels.
    failures: of the run.

  Raises:
    UserError: for a class with fewer pictures than folds, and fewer pictures than are to be trained
      on.
  """
  for problem in dataset.problems:
    failures.add('', '', problem)  # It has been said when the dataset was opened.

  def fail(source: Source, reason: str) -> None:
    failures.add(source.name, source.place, reason)

  examples, read = read_examples(
    dataset, size=size, fit=config.fit, workers=config.workers, fail=fail
  )
  groups = None if dataset.groups is None else np.array(dataset.groups)[read]
  test = folds(examples.labels, groups, config.folds, config.seed) == 0
  known = np.flatnonzero(~test)
  wanted = config.train_count or len(known)
  if wanted > len(known):
    raise UserError(f'config.train_count: {wanted}, where {len(known)} pictures are not held out')
  if wanted < config.batch_size:
    raise UserError(f'config.batch_size: {config.batch_size} for {wanted} pictures to train on')
  names = [dataset.sources[i].name for i in read]
  return Split(*examples, names, known, np.flatnonzero(test))
