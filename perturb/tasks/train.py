"""The task of configs/train_mnist.py and configs/train_an8flower.py: trains a small network.

What it writes under `network/` is loaded by that path wherever a network's name is asked for.
Killed and started again, it continues after the last epoch that was finished.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import orbax.checkpoint as ocp

from perturb.data.datasets import Dataset
from perturb.data.digits import Examples
from perturb.data.folds import folds
from perturb.data.images import Source
from perturb.errors import UserError, check_choice
from perturb.nets.pretrained import Pretrained
from perturb.nets.weights import saved
from perturb.nets.zoo import untrained
from perturb.run.inputs import check_digests, digest_of
from perturb.run.subjects import dataset_of
from perturb.store.failures import Failures
from perturb.store.files import write_table
from perturb.store.workdir import Workdir
from perturb.tasks.checks import check_least
from perturb.training import epochs as training
from perturb.training.examples import read_examples

FREE = ('data_dir', 'workers')  # What another start may change.
METRICS = ('epoch', 'loss', 'test_accuracy')
CLASSES = ('class', 'test_images', 'accuracy')
PREDICTIONS = ('image', 'class', 'predicted')


class Data(NamedTuple):
  """What a network is trained on and tested with.

  Attributes:
    examples: both, N pictures.
    names: of the pictures.
    test: which of them are held out, bool `[N]`.
  """

  examples: Examples
  names: list[str]
  test: np.ndarray


def run(config: ConfigDict, workdir: str) -> int:
  """Trains as a config says.

  The workdir gets `config.json`, `versions.json`, `inputs.json`, `checkpoints/` (orbax, the last
  epoch's), `metrics.csv` (an epoch a line) and, at the end, `network/`, `classes.csv` (the accuracy
  of each class) and `predictions.csv` (of each test picture). Pictures that cannot be read are left
  out, and named in `failures.csv`.
  """
  check_choice('config.fit', config.fit, ('crop', 'squash'))
  check_least(config, epochs=1, batch_size=1, folds=2, workers=1)
  dataset = dataset_of(config)
  if len(dataset.class_names) < 2:
    raise UserError(
      f'config.images: {config.images!r} has {len(dataset.class_names)} labelled classes; a '
      "training takes two or more: 'classes:FOLDER' has a subfolder for each"
    )
  net = untrained(config.network, dataset.class_names, config.preprocessing, config.seed)
  folder = Workdir(workdir, config, ['checkpoints'], FREE)
  failures = Failures(folder.path)
  for problem in dataset.problems:
    failures.add('', '', problem)  # It has been said when the dataset was opened.
  data = _read(config, dataset, net.size, failures)
  steps = config.epochs * (int((~data.test).sum()) // config.batch_size)
  if not steps:
    raise UserError(
      f'config.batch_size: {config.batch_size} for {(~data.test).sum()} pictures to train on'
    )
  check_digests(folder.path, {'data': digest_of((data.examples[:2], data.test))})
  net = _train(net, data, folder, steps)
  saved.save(net, folder.path / 'network')
  print(f'the network is in {folder.path / "network"}')
  return failures.count


def _read(config: ConfigDict, dataset: Dataset, size: int, failures: Failures) -> Data:
  """The pictures, and which of them are held out."""

  def fail(source: Source, reason: str) -> None:
    failures.add(source.name, source.place, reason)

  examples, read = read_examples(
    dataset, size=size, fit=config.fit, workers=config.workers, fail=fail
  )
  _check_classes(examples, config)
  groups = None if dataset.groups is None else np.array(dataset.groups)[read]
  test = folds(examples.labels, groups, config.folds, config.seed) == 0
  return Data(examples, [dataset.sources[i].name for i in read], test)


def _check_classes(examples: Examples, config: ConfigDict) -> None:
  counts = np.bincount(examples.labels, minlength=len(examples.class_names))
  least = int(counts.argmin())
  if counts[least] < config.folds:
    raise UserError(
      f'config.images: class {examples.class_names[least]!r} has {counts[least]} pictures that can '
      f'be read, and there are {config.folds} folds; take more pictures, or fewer folds'
    )


def _train(net: Pretrained, data: Data, folder: Workdir, steps: int) -> Pretrained:
  """The trained network; writes the tables of its epochs and of the test."""
  config, labels = folder.config, data.examples.labels
  rule = training.optimiser(config.learning_rate, steps)
  epoch = training.make_epoch(net, rule, config.batch_size)
  images, answers = jnp.asarray(data.examples.images), jnp.asarray(labels)
  known, unseen = (jnp.asarray(np.flatnonzero(part)) for part in (~data.test, data.test))
  state, metrics = training.start(net, rule), np.zeros((config.epochs, 2))
  options = ocp.CheckpointManagerOptions(max_to_keep=1)
  with ocp.CheckpointManager(folder.results.absolute(), options=options) as manager:
    done, state, metrics = _restored(manager, folder, state, metrics)
    for number in range(done, config.epochs):
      key = jax.random.fold_in(jax.random.key(config.seed), number)
      state, loss = epoch(state, images, answers, known, key)
      predicted = np.asarray(training.predictions(_with(net, state), images, unseen))
      metrics[number] = loss, np.mean(predicted == labels[data.test])
      manager.save(number + 1, args=ocp.args.StandardSave({'state': state, 'metrics': metrics}))
      loss, accuracy = metrics[number]
      print(f'epoch {number + 1}: loss {loss:.4f}, test accuracy {accuracy:.4f}', flush=True)
  net = _with(net, state)
  _tabulate(folder, data, np.asarray(training.predictions(net, images, unseen)), metrics)
  return net


def _tabulate(folder: Workdir, data: Data, predicted: np.ndarray, metrics: np.ndarray) -> None:
  """Writes `metrics.csv`, `classes.csv` and `predictions.csv`."""
  rows = [(i + 1, f'{loss:.6g}', f'{accuracy:.6g}') for i, (loss, accuracy) in enumerate(metrics)]
  write_table(folder.path / 'metrics.csv', METRICS, rows)
  titles, labels = data.examples.class_names, data.examples.labels[data.test]
  right = predicted == labels
  each = [(title, right[labels == label]) for label, title in enumerate(titles)]
  write_table(
    folder.path / 'classes.csv',
    CLASSES,
    [(title, len(found), f'{found.mean():.6g}' if len(found) else '') for title, found in each],
  )
  names = [data.names[i] for i in np.flatnonzero(data.test)]
  write_table(
    folder.path / 'predictions.csv',
    PREDICTIONS,
    [
      (name, titles[label], titles[guess])
      for name, label, guess in zip(names, labels, predicted, strict=True)
    ],
  )


def _restored(
  manager: ocp.CheckpointManager, folder: Workdir, state: training.State, metrics: np.ndarray
) -> tuple[int, training.State, np.ndarray]:
  """(epochs that are done, the state after them, their metrics), of the last checkpoint if any."""
  done = (manager.latest_step() or 0) if manager.all_steps() else 0
  if not done:
    return 0, state, metrics
  expected = {'state': state, 'metrics': metrics}
  try:
    restored = manager.restore(done, args=ocp.args.StandardRestore(expected))
  except Exception as error:  # Orbax and tensorstore raise what they like for a damaged file.
    raise UserError(
      f'{folder.results / str(done)}: a damaged checkpoint; remove {folder.results}'
    ) from error
  return done, restored['state'], np.asarray(restored['metrics'])


def _with(net: Pretrained, state: training.State) -> Pretrained:
  return dataclasses.replace(net, variables={**net.variables, 'params': state.params})
