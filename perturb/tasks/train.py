"""The task of configs/train_mnist.py: trains a small network.

What it writes under `network/` is loaded by that path wherever a network's name is asked for.
Killed and started again, it continues after the last epoch that was finished.
"""

import dataclasses

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import orbax.checkpoint as ocp

from perturb.data.digits import Examples, load_digits, split
from perturb.errors import UserError, check_choice
from perturb.nets.pretrained import Pretrained
from perturb.nets.weights import saved
from perturb.nets.zoo import RANDOM, load
from perturb.store.files import write_table
from perturb.store.workdir import Workdir
from perturb.training import epochs as training

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


def run(config: ConfigDict, workdir: str) -> int:
  """Trains as a config says.

  The workdir gets `config.json`, `versions.json`, `checkpoints/` (orbax, the last epoch's),
  `metrics.csv` (an epoch a line) and, at the end, `network/`.
  """
  _check(config)
  examples = DATA[config.data]()
  net = _untrained(config, examples)
  known, unseen = split(examples, config.test_share, config.seed)
  steps = config.epochs * (len(known.labels) // config.batch_size)
  if not steps:
    raise UserError(f'config.batch_size: {config.batch_size} for {len(known.labels)} examples')
  folder = Workdir(workdir, config, ['checkpoints'])
  net, metrics = _train(net, known, unseen, folder, steps)
  rows = [[i + 1, f'{loss:.6g}', f'{accuracy:.6g}'] for i, (loss, accuracy) in enumerate(metrics)]
  write_table(folder.path / 'metrics.csv', ('epoch', 'loss', 'test_accuracy'), rows)
  saved.save(net, folder.path / 'network')
  print(f'the network is in {folder.path / "network"}')
  return 0


def _train(
  net: Pretrained, known: Examples, unseen: Examples, folder: Workdir, steps: int
) -> tuple[Pretrained, np.ndarray]:
  """The trained network, and the loss and test accuracy of each epoch, `[epochs, 2]`."""
  config = folder.config
  rule = training.optimiser(config.learning_rate, steps)
  epoch = training.make_epoch(net, rule, config.batch_size)
  images, labels = jnp.asarray(net.preprocess(known.images)), jnp.asarray(known.labels)
  tests = jnp.asarray(net.preprocess(unseen.images))
  state, metrics = training.start(net, rule), np.zeros((config.epochs, 2))
  options = ocp.CheckpointManagerOptions(max_to_keep=1)
  with ocp.CheckpointManager(folder.results.absolute(), options=options) as manager:
    done, state, metrics = _restored(manager, folder, state, metrics)
    for number in range(done, config.epochs):
      key = jax.random.fold_in(jax.random.key(config.seed), number)
      state, loss = epoch(state, images, labels, key)
      predicted = training.predictions(_with(net, state), tests)
      metrics[number] = loss, np.mean(np.asarray(predicted) == unseen.labels)
      manager.save(number + 1, args=ocp.args.StandardSave({'state': state, 'metrics': metrics}))
      loss, accuracy = metrics[number]
      print(f'epoch {number + 1}: loss {loss:.4f}, test accuracy {accuracy:.4f}', flush=True)
  return _with(net, state), metrics


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
