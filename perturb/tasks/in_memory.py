"""Labelled pictures of a config in memory, of which one fold is the test: what studies train on."""

from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from perturb.data.datasets import Dataset
from perturb.errors import UserError
from perturb.store.failures import Failures
from perturb.tasks.train_data import Fail, InMemory, Opened


class Split(NamedTuple):
  """N pictures.

  Attributes:
    images: uint8 RGB `[N, H, W, 3]`.
    labels: int `[N]`.
    class_names: a name for each label.
    known: those that may be trained on, int `[K]`.
    test: those that are held out, int `[T]`.
  """

  images: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]
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
  fail = Fail(failures, say=False)  # The reader says it.
  data = InMemory(config, Opened(dataset, dataset, apart=False), size, fail)
  known, wanted = np.flatnonzero(~data.test), config.train_count or data.trained_on
  if wanted > len(known):
    raise UserError(f'config.train_count: {wanted}, where {len(known)} pictures are not held out')
  if wanted < config.batch_size:
    raise UserError(f'config.batch_size: {config.batch_size} for {wanted} pictures to train on')
  return Split(*data.examples, known, np.flatnonzero(data.test))
