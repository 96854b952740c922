"""Trainings that are killed, and that are shared by devices and by processes."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
from PIL import Image
import pytest

from perturb import nets
from perturb.data.digits import load_digits
from tests import commands
from tests.run.test_survival import free_port
from tests.tasks.test_train_streamed import rows_of, same

ROOT = pathlib.Path(__file__).parents[2]
EACH = 10


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
  """100 digits, as a folder with a subfolder for each class."""
  folder, known = tmp_path_factory.mktemp('digits'), load_digits()
  for digit in range(10):
    (folder / str(digit)).mkdir()
    for i in range(EACH):
      file = folder / str(digit) / f'{i}.png'
      Image.fromarray(known.images[500 * digit + i]).save(file)
  return folder


def killed(digits, workdir, kills):
  """(deaths while a checkpoint was written, different last checkpoints at a death)."""
  arguments = [jax.config.jax_compilation_cache_dir, str(digits), str(workdir), str(kills)]
  done = subprocess.run(
    [sys.executable, '-m', 'tests.killed_training', *arguments],
    cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, 'XLA_FLAGS': ''},
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  cut, last = done.stdout.split()[-2:]
  return int(cut), int(last)


@pytest.mark.slow
def test_a_training_that_is_killed_ends_as_one_that_is_not(digits, tmp_path):
  assert killed(digits, tmp_path / 'whole', 0) == (0, 0)
  cut, last = killed(digits, tmp_path / 'killed', 20)
  assert cut >= 8 and last == 20
  same(tmp_path / 'killed', tmp_path / 'whole')


COMMON = [
  '--config=configs/train_mnist.py',
  '--config.network=small_resnet',
  '--config.epochs=2',
  '--config.batch_size=8',
  '--config.optimiser=sgd',
  '--config.learning_rate=0.002',
  '--config.average=0.9',
  '--config.occlusion=hide_and_seek',
  '--config.joint=True',
]


def ways(name, digits):
  """Arguments of a training in memory, and of one that reads as it goes."""
  images = [*COMMON, f'--config.images=classes:{digits}']
  return [*images, '--config.pad=2'] if name == 'memory' else [*images, '--config.input=stream']


@pytest.mark.slow
@pytest.mark.parametrize('way', ['memory', 'stream'])
def test_devices_and_processes_train_alike(digits, tmp_path, way):
  """The same pictures, hidden alike, in the same steps. Sums have another order: not the same bits.

  A gradient is a sum over the batch, of which each device has a part; the statistics of batch
  normalisation are too. What rounding does there grows: on one device, weights that are moved by
  1e-7 of themselves move the logits by 0.01 after 20 such steps, and by 0.06 at five times the
  rate.
  """
  arguments = ways(way, digits)
  for count in (1, 2, 4):
    flags = f'--xla_force_host_platform_device_count={count}'
    workdir = f'--workdir={tmp_path / str(count)}'
    done = commands.run('perturb.main', *arguments, workdir, XLA_FLAGS=flags)
    assert done.returncode == 0, done.stderr
  server, port = commands.server(), free_port()
  together = [
    *arguments,
    f'--workdir={tmp_path / "processes"}',
    f'--coordinator=localhost:{port}',
    '--processes=2',
  ]
  started = [server.start('perturb.main', [*together, f'--process={p}'], {}) for p in (0, 1)]
  said = [server.wait(one) for one in started]
  assert [one.returncode for one in said] == [0, 0], said
  assert 'epoch 2: loss' in said[0].stdout and 'epoch' not in said[1].stdout
  one = rows_of(tmp_path / '1' / 'metrics.csv')
  kept = nets.load(str(tmp_path / '1' / 'network'))
  x = kept.preprocess(load_digits().images[::500, :, :])
  for name in ('2', '4', 'processes'):
    for row, expected in zip(rows_of(tmp_path / name / 'metrics.csv'), one, strict=True):
      for column in ('loss', 'test_loss'):
        np.testing.assert_allclose(float(row[column]), float(expected[column]), rtol=2e-3)
    found = nets.load(str(tmp_path / name / 'network'))
    np.testing.assert_allclose(found(x), kept(x), atol=4e-2)


@pytest.mark.slow
def test_the_digits_are_overfitted(digits, tmp_path):
  """80 digits, known by heart after 30 epochs, though batch normalisation sees others each time."""
  arguments = [*COMMON[:2], f'--config.images=classes:{digits}', '--config.epochs=30']
  arguments += ['--config.batch_size=16', '--config.learning_rate=0.003']
  done = commands.run('perturb.main', *arguments, f'--workdir={tmp_path}')
  assert done.returncode == 0, done.stderr
  last = rows_of(tmp_path / 'metrics.csv')[-1]
  assert float(last['accuracy']) == 1 and float(last['loss']) < 0.05
