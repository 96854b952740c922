"""The task of configs/train_*.py: trains a network.

What it writes under `network/` is loaded by that path wherever a network's name is asked for.
Killed and started again, it continues after its last checkpoint, to the same bits.
"""

import dataclasses

import jax
from ml_collections import ConfigDict
import numpy as np

from perturb.errors import UserError
from perturb.nets.pretrained import Pretrained
from perturb.nets.weights import saved
from perturb.run import devices
from perturb.run.inputs import check_digests, digest_of
from perturb.store.failures import Failures
from perturb.store.files import write_table
from perturb.store.workdir import Workdir
from perturb.tasks.train_data import Data, Fail, InMemory, Streamed, open_data
from perturb.tasks.train_evaluate import Evaluation, Predicted
from perturb.tasks.train_loop import Ended, tabulate, train
from perturb.tasks.train_setup import Setup, check_training, first_network, setup
from perturb.training.state import State, trained

FREE = ('data_dir', 'workers', 'ahead', 'checkpoint_steps', 'log_steps')  # May be changed later.
CLASSES = ('class', 'test_images', 'accuracy')
PREDICTIONS = ('image', 'class', 'predicted')


def run(config: ConfigDict, workdir: str) -> int:
  """Trains as a config says, on all devices of all processes.

  The workdir gets `config.json`, `versions.json`, `inputs.json`, `checkpoints/` (orbax: the last
  and the best), `metrics/` (for TensorBoard) and, at the end, `network/` (the weights after the
  last epoch; their running average if `config.average` is set), `best/` (likewise, after the epoch
  with the highest accuracy on what is held out), `metrics.csv` (an epoch a line), `classes.csv`
  (the accuracy of each class) and `predictions.csv` (what `network/` takes each picture that is
  held out for). Pictures that cannot be read are left out, and named in `failures.csv`.
  """
  check_training(config)
  opened = open_data(config)
  net = first_network(config, opened.known.class_names)
  folder = Workdir(workdir, config, ['checkpoints'], FREE)
  failures = Failures(folder.path)
  for problem in opened.known.problems if jax.process_index() == 0 else ():
    failures.add('', '', problem)  # It has been said when the dataset was opened.
  fail = Fail(failures, say=config.input == 'stream')  # The other reader says it itself.
  data: InMemory | Streamed = (InMemory if config.input == 'memory' else Streamed)(
    config, opened, net.size, fail
  )
  steps = data.trained_on // config.batch_size
  if not steps:
    raise UserError(
      f'config.batch_size: {config.batch_size} for {data.trained_on} pictures to train on'
    )
  if jax.process_index() == 0:
    check_digests(folder.path, {'data': digest_of(data.checksum)})
  how, evaluation = setup(config, net, steps), Evaluation(net, data)
  ended = train(config, how, data, evaluation, folder.path, folder.results)
  net = _on_this_machine(how, ended.saved.state)
  predicted = evaluation.predict(net)
  if jax.process_index() == 0:
    _write(folder, how, ended, net)
    _tabulate(folder, how, data, predicted, ended.saved.history)
    print(f'the network is in {folder.path / "network"}')
  devices.barrier('trained')
  return devices.largest(len(failures.join()) if jax.process_index() == 0 else 0)


def _on_this_machine(how: Setup, state: State) -> Pretrained:
  """The network of a state, its weights as arrays of this process."""
  net = trained(how.net, state, averaged=True)
  return dataclasses.replace(net, variables=jax.tree.map(np.asarray, net.variables))


def _write(folder: Workdir, how: Setup, ended: Ended, net: Pretrained) -> None:
  """Writes `network/` and `best/`."""
  saved.save(net, folder.path / 'network')
  saved.save(_on_this_machine(how, ended.best), folder.path / 'best')


def _tabulate(
  folder: Workdir, how: Setup, data: Data, found: Predicted, history: np.ndarray
) -> None:
  """Writes `metrics.csv`, `classes.csv` and `predictions.csv`."""
  tabulate(folder.path, how, history)
  titles, right = how.net.class_names, found.predicted == found.labels
  each = [(title, right[found.labels == label]) for label, title in enumerate(titles)]
  write_table(
    folder.path / 'classes.csv',
    CLASSES,
    [(title, len(one), f'{one.mean():.6g}' if len(one) else '') for title, one in each],
  )
  write_table(
    folder.path / 'predictions.csv',
    PREDICTIONS,
    [
      (data.names[index], titles[label], titles[guess])
      for index, label, guess in zip(*found, strict=True)
    ],
  )
