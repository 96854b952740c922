"""The study of relevant features, killed at several points, and by two processes."""

import os
import signal
import time

import jax
import pytest

from tests import commands
from tests.concepts.test_relevant_task import contents
from tests.run.test_survival import two_processes

ARGUMENTS = [
  '--config=configs/relevant.py',
  '--config.network=mnist',
  '--config.weights=random',
  '--config.split=[480:520]',
  '--config.batch=4',
  '--config.folds=2',
  '--config.explained=4',
  '--config.averaged=5',
  '--config.ablated=8',
  '--config.removed=(1, 2)',
  '--config.repeats=1',
  '--config.figures=2',
]


def arguments(workdir):
  cache = f'--compilation_cache={jax.config.jax_compilation_cache_dir}'
  return [*ARGUMENTS, cache, f'--workdir={workdir}']


def wait_for(path):
  deadline = time.monotonic() + 120
  while not path.exists():
    assert time.monotonic() < deadline, path
    time.sleep(0.002)


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
  for part in ('responses', 'explanations', 'ablation', 'patches'):
    number, *_ = started = server.start('concepts.main', arguments(killed), {})
    wait_for(killed / part / 'results.zarr' / '28x28' / 'status' / 'c')
    os.kill(number, signal.SIGKILL)
    assert server.wait(started).returncode == -signal.SIGKILL
  assert not (killed / 'relevant.html').exists()
  assert commands.run('concepts.main', *arguments(killed)).returncode == 0
  assert contents(killed) == contents(one)
