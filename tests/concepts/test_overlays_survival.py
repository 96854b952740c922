"""Similarity overlays, killed in each part, and by two processes."""

import os
import signal

import jax
import pytest

from tests import commands
from tests.concepts.test_relevant_survival import wait_for
from tests.concepts.test_relevant_task import contents
from tests.run.test_survival import two_processes

ARGUMENTS = [
  '--config=configs/overlays.py',
  '--config.images=digits',
  '--config.split=[480:492]',
  '--config.fit=squash',
  '--config.network=mnist',
  '--config.weights=random',
  "--config.layers=('pool1', 'pool2')",
  '--config.classes=(3,)',
  '--config.batch=4',
  '--config.measured=12',
  '--config.rotations=(0, 90)',
  '--config.scales=(1, 4)',
]


def arguments(workdir):
  cache = f'--compilation_cache={jax.config.jax_compilation_cache_dir}'
  return [*ARGUMENTS, cache, f'--workdir={workdir}']


@pytest.mark.slow
def test_killed_in_each_part_or_shared_by_two_processes_it_ends_with_the_same_bytes(tmp_path):
  one = tmp_path / 'one'
  assert commands.run('concepts.main', *arguments(one)).returncode == 0
  server = commands.server()
  both = [*two_processes(tmp_path / 'two'), *arguments(tmp_path / 'two')]
  started = [server.start('concepts.main', [*both, f'--process={p}'], {}) for p in (0, 1)]
  said = [server.wait(process) for process in started]
  assert [process.returncode for process in said] == [0, 0], said
  assert contents(tmp_path / 'two') == contents(one)

  killed = tmp_path / 'killed'
  for part in ('', 'transformed', 'sensitivity'):
    number, *_ = started = server.start('concepts.main', arguments(killed), {})
    wait_for(killed / part / 'results.zarr' / '28x28' / 'status' / 'c')
    os.kill(number, signal.SIGKILL)
    assert server.wait(started).returncode == -signal.SIGKILL
  assert not (killed / 'overlays.html').exists()
  assert commands.run('concepts.main', *arguments(killed)).returncode == 0
  assert contents(killed) == contents(one)
