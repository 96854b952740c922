"""Command line: python -m perturb.nets.train --config=configs/train_mnist.py --workdir=runs/mnist.

Trains a small network; what it writes under `network/` is loaded by that path wherever a network's
name is asked for. Killed and started again, it continues after the last epoch that was finished.
"""

import dataclasses
import sys

from absl import app, flags
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict, config_flags
import numpy as np
import orbax.checkpoint as ocp

from perturb.command_line import parser, start_jax
from perturb.data.digits import Examples, load_digits, split
from perturb.errors import UserError, check_choice
from perturb.nets.pretrained import Pretrained
from perturb.nets.weights import saved
from perturb.nets.zoo import RANDOM, load
from perturb.store.files import write_table
from perturb.store.workdir import Folder
from perturb.training import epochs as training

CONFIG = config_flags.DEFINE_config_file('config', None, 'The training: configs/train_mnist.py.')
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder for checkpoints, metrics and the network.')

DATA = {'digits': load_digits}


def _check(config: ConfigDict) -> None:
  check_choice('config.data', config.data, tuple(DATA))
  if not 0 < config.test_share < 1:
    raise UserError(f'config.test_share must be between 0 and 1, not {config.test_share}')
  for name in ('epochs', 'batch_size'):
    if config[name] < 1:
      raise UserError(f'config.{name} must be at least 1, not {config[name]}')


def _untrained(config: ConfigDict, examples: Examples) -> Pretrained:
  net = load(config.network, RANDOM, seed=config.seed)
  if (classes := len(examples.class_names)) != net.network.classes:
    raise UserError(
      f'config.network: {config.network} has {net.network.classes} classes, the data {classes}'
    )
  return dataclasses.replace(net, class_names=examples.class_names)


def train(config: ConfigDict, workdir: str) -> Pretrained:
  """Trains as a config says.

  The workdir gets `config.json`, `versions.json`, `checkpoints/` (orbax, the last epoch's),
  `metrics.csv` (an epoch a line) and, at the end, `network/`.

  Args:
    config: as configs/train_mnist.py.
    workdir: folder; made if missing.

  Returns:
    The trained network.

  Raises:
    UserError: for a config that cannot be run, or a workdir of another one.
  """
  _check(config)
  examples = DATA[config.data]()
  net = _untrained(config, examples)
  folder = Folder(workdir, config, 'checkpoints')
  known, unseen = split(examples, config.test_share, config.seed)
  steps = config.epochs * (len(known.labels) // config.batch_size)
  if not steps:
    raise UserError(f'config.batch_size: {config.batch_size} for {len(known.labels)} examples')
  rule = training.optimiser(config.learning_rate, steps)
  epoch = training.make_epoch(net, rule, config.batch_size)
  images, labels = jnp.asarray(net.preprocess(known.images)), jnp.asarray(known.labels)
  tests = jnp.asarray(net.preprocess(unseen.images))
  state, metrics = training.start(net, rule), np.zeros((config.epochs, 2))
  options = ocp.CheckpointManagerOptions(max_to_keep=1)
  with ocp.CheckpointManager(folder.results.absolute(), options=options) as manager:
    done = (manager.latest_step() or 0) if manager.all_steps() else 0
    if done:
      expected = {'state': state, 'metrics': metrics}
      try:
        restored = manager.restore(done, args=ocp.args.StandardRestore(expected))
      except Exception as error:  # Orbax and tensorstore raise what they like for a damaged file.
        raise UserError(
          f'{folder.results / str(done)}: a damaged checkpoint; remove {folder.results}'
        ) from error
      state, metrics = restored['state'], np.asarray(restored['metrics'])
    for number in range(done, config.epochs):
      key = jax.random.fold_in(jax.random.key(config.seed), number)
      state, loss = epoch(state, images, labels, key)
      net = _with(net, state)
      accuracy = np.mean(np.asarray(training.predictions(net, tests)) == unseen.labels)
      metrics[number] = loss, accuracy
      kept = {'state': state, 'metrics': metrics}
      manager.save(number + 1, args=ocp.args.StandardSave(kept))
      print(f'epoch {number + 1}: loss {loss:.4f}, test accuracy {accuracy:.4f}', flush=True)
  rows = [[i + 1, f'{loss:.6g}', f'{accuracy:.6g}'] for i, (loss, accuracy) in enumerate(metrics)]
  write_table(folder.path / 'metrics.csv', ('epoch', 'loss', 'test_accuracy'), rows)
  net = _with(net, state)
  saved.save(net, folder.path / 'network')
  return net


def _with(net: Pretrained, state: training.State) -> Pretrained:
  return dataclasses.replace(net, variables={**net.variables, 'params': state.params})


def main(_: list[str]) -> None:
  start_jax()
  try:
    train(CONFIG.value, str(WORKDIR.value))
  except UserError as error:
    raise SystemExit(f'error: {error}') from error
  print(f'the network is in {WORKDIR.value}/network')
  sys.exit(0)


if __name__ == '__main__':
  app.run(main, flags_parser=parser(CONFIG, WORKDIR))
