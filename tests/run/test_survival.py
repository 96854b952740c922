"""Real runs of a small network: killed, on a full disk, on several devices and processes."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
from PIL import Image
import pytest

from perturb.data.digits import load_digits
from perturb.store.explanations import Explanations
from perturb.store.lock import hold
from tests import commands
from tests.tasks.test_extremal import command, files

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
  """64 digits as files."""
  folder = tmp_path_factory.mktemp('digits')
  images = load_digits().images
  for i in range(64):
    Image.fromarray(images[77 * i]).save(folder / f'{i:02d}.png')
  return folder


def killed(digits, workdir, kills, iterations):
  """(lives that ended at different stages, images done at the end)."""
  cache = jax.config.jax_compilation_cache_dir
  arguments = [cache, str(digits), str(workdir), str(kills), str(iterations)]
  done = subprocess.run(
    [sys.executable, '-m', 'tests.killed', *arguments],
    cwd=ROOT, capture_output=True, text=True, check=False,
    env={**os.environ, 'XLA_FLAGS': ''},  # It computes for long.
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  stages, images = done.stdout.split()[-2:]
  return int(stages), int(images)


@pytest.mark.parametrize(
  ('kills', 'iterations'), [(3, 40), pytest.param(20, 250, marks=pytest.mark.slow)]
)
def test_a_run_that_is_killed_ends_as_one_that_is_not(digits, tmp_path, kills, iterations):
  assert killed(digits, tmp_path / 'whole', 0, iterations) == (0, 64)
  stages, images = killed(digits, tmp_path / 'killed', kills, iterations)
  assert images == 64 and stages > kills / 2
  whole = files(tmp_path / 'whole' / 'results.zarr')
  assert files(tmp_path / 'killed' / 'results.zarr') == whole
  for name in ('images.csv', 'scores.csv', 'config.json', 'summary.json'):
    assert (tmp_path / 'killed' / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()


# XLA shares the sums of a product among the threads of a CPU, of which there are more where it is
# made to be several devices.
ALONE = '--xla_cpu_multi_thread_eigen=false'
QUICK = [
  '--config=configs/extremal.py',
  '--config.network=mnist',
  '--config.weights=random',
  '--config.areas=(0.1, 0.3)',
  '--config.settings.iterations=5',
  '--config.batch=4',
  '--config.chunk=8',
  '--config.figures=0',
]


def free_port():
  with socket.socket() as one:
    one.bind(('localhost', 0))
    return one.getsockname()[1]


def two_processes(workdir):
  port = free_port()
  return [f'--coordinator=localhost:{port}', '--processes=2', f'--workdir={workdir}']


def test_devices_and_processes_change_no_bit(digits, tmp_path):
  quick = [*QUICK, f'--config.images={digits}', '--config.split=[:42]']
  cache = f'--compilation_cache={jax.config.jax_compilation_cache_dir}'
  one = commands.run('perturb.main', *quick, cache, f'--workdir={tmp_path}/one', XLA_FLAGS=ALONE)
  assert one.returncode == 0, one.stderr
  four = f'--xla_force_host_platform_device_count=4 {ALONE}'
  done = commands.run('perturb.main', *quick, cache, f'--workdir={tmp_path}/four', XLA_FLAGS=four)
  assert done.returncode == 0, done.stderr
  together = two_processes(tmp_path / 'two')
  server = commands.server()
  started = [
    server.start(
      'perturb.main', [*quick, cache, *together, f'--process={process}'], {'XLA_FLAGS': ALONE}
    )
    for process in (0, 1)
  ]
  said = [server.wait(one) for one in started]
  assert [one.returncode for one in said] == [0, 0], said
  assert '42 of 42 explained' in said[0].stdout and 'explained' not in said[1].stdout
  for name, count in (('one', 1), ('four', 4), ('two', 2)):
    versions = json.loads((tmp_path / name / 'versions.json').read_text())
    assert versions['devices'] == f'{count} cpu'
  one = files(tmp_path / 'one' / 'results.zarr')
  assert len(Explanations(tmp_path / 'one')) == 42
  assert files(tmp_path / 'four' / 'results.zarr') == one
  assert files(tmp_path / 'two' / 'results.zarr') == one


@pytest.mark.slow
def test_processes_that_are_killed_are_replaced_by_others(digits, tmp_path):
  """Two processes die in the middle; one with three devices goes on."""
  cache = f'--compilation_cache={jax.config.jax_compilation_cache_dir}'
  quick = [*QUICK, f'--config.images={digits}', '--config.settings.iterations=200', cache]
  assert commands.run('perturb.main', *quick, f'--workdir={tmp_path}/one').returncode == 0
  together = two_processes(tmp_path / 'two')
  server = commands.server()
  started = [
    server.start('perturb.main', [*quick, *together, f'--process={process}'], {})
    for process in (0, 1)
  ]
  chunks = tmp_path / 'two' / 'results.zarr' / '28x28' / 'status' / 'c'
  deadline = time.monotonic() + 120
  while not chunks.exists() or len(list(chunks.iterdir())) < 2:
    assert time.monotonic() < deadline
    time.sleep(0.02)
  for number, *_ in started:
    os.kill(number, signal.SIGKILL)
  assert [server.wait(one).returncode for one in started] == [-signal.SIGKILL] * 2
  assert 0 < len(Explanations(tmp_path / 'two')) < 64
  three = '--xla_force_host_platform_device_count=3'
  done = commands.run('perturb.main', *quick, f'--workdir={tmp_path}/two', XLA_FLAGS=three)
  assert done.returncode == 0, done.stderr
  one = files(tmp_path / 'one' / 'results.zarr')
  assert files(tmp_path / 'two' / 'results.zarr') == one


MANY_STEPS = {
  'compare': [
    "--config.methods=('gradient', 'grad_cam')",
    '--config.figures=2',
  ],
  'channels': [
    '--config.layer=conv2',
    '--config.areas=(5, 20)',
    '--config.settings.sweeps=1',
    '--config.steps=2',
    '--config.figures=2',
  ],
  'benchmark': [
    '--config.target=',
    "--config.methods=('gradient',)",
    "--config.metrics=('deletion', 'class_sensitivity')",
    '--config.steps=4',
    '--config.resamples=50',
    '--config.figures=2',
  ],
}


def of_task(task, digits, workdir):
  return [
    f'--config=configs/{task}.py',
    '--config.network=mnist',
    '--config.weights=random',
    '--config.batch=2',
    f'--config.images={digits}',
    '--config.split=[:16]',
    f'--compilation_cache={jax.config.jax_compilation_cache_dir}',
    f'--workdir={workdir}',
    *MANY_STEPS[task],
  ]


def results(folder):
  """What a run computes: its store, its tables and its files of single pictures."""
  skipped = ('timings.csv', 'compare.png', 'versions.json')  # Seconds, and how many devices.
  return {name: data for name, data in files(folder).items() if name not in skipped}


@pytest.mark.parametrize('task', MANY_STEPS)
def test_processes_and_a_kill_in_the_middle_change_no_bit_of(task, digits, tmp_path):
  assert commands.run('perturb.main', *of_task(task, digits, tmp_path / 'one')).returncode == 0
  whole = results(tmp_path / 'one')
  assert any('results.zarr' in name for name in whole) and 'scores.csv' in whole
  server, arguments = commands.server(), of_task(task, digits, tmp_path / 'two')
  together = [*two_processes(tmp_path / 'two'), *arguments]
  started = [server.start('perturb.main', [*together, f'--process={p}'], {}) for p in (0, 1)]
  said = [server.wait(one) for one in started]
  assert [one.returncode for one in said] == [0, 0], said
  assert '16 of 16 explained' in said[0].stdout and 'explained' not in said[1].stdout
  assert results(tmp_path / 'two') == whole

  arguments = of_task(task, digits, tmp_path / 'killed')
  number, *_ = started = server.start('perturb.main', arguments, {})
  chunks = tmp_path / 'killed' / 'results.zarr' / '28x28' / 'status' / 'c'
  deadline = time.monotonic() + 120
  while not chunks.exists():
    assert time.monotonic() < deadline
    time.sleep(0.002)
  os.kill(number, signal.SIGSTOP)
  second = commands.run('perturb.main', *arguments)
  assert second.returncode == 1
  assert f'killed is in use by process {number} on {socket.gethostname()} since' in second.stderr
  os.kill(number, signal.SIGKILL)
  assert server.wait(started).returncode == -signal.SIGKILL
  assert results(tmp_path / 'killed') != whole
  assert commands.run('perturb.main', *arguments).returncode == 0
  assert results(tmp_path / 'killed') == whole


@pytest.mark.slow
def test_all_processes_of_a_second_run_end_at_once(digits, tmp_path):
  (tmp_path / 'two').mkdir()
  lock, server = hold(tmp_path / 'two'), commands.server()
  together = [*two_processes(tmp_path / 'two'), *of_task('compare', digits, tmp_path / 'two')]
  started = [server.start('perturb.main', [*together, f'--process={p}'], {}) for p in (0, 1)]
  begin = time.monotonic()
  said = [server.wait(one) for one in started]
  assert [one.returncode for one in said] == [1, 1] and time.monotonic() - begin < 60
  assert f'is in use by process {os.getpid()} on' in said[0].stderr
  assert 'process 0 says why' in said[1].stderr
  lock.release()


def test_an_interrupted_run_says_so_in_a_line(digits, tmp_path):
  server = commands.server()
  long = [*QUICK, f'--config.images={digits}', '--config.settings.iterations=100']
  number, *_ = started = server.start('perturb.main', [*long, f'--workdir={tmp_path}'], {})
  chunks = tmp_path / 'results.zarr' / '28x28' / 'status' / 'c'
  deadline = time.monotonic() + 120
  while not chunks.exists():
    assert time.monotonic() < deadline
    time.sleep(0.002)
  os.kill(number, signal.SIGINT)
  done = server.wait(started)
  assert done.returncode == 1
  assert 'interrupted; start again to go on' in done.stderr
  assert 'Traceback' not in done.stderr


@pytest.fixture
def small_disk(tmp_path):
  """A folder of 400 kB, and what makes it larger."""
  folder = tmp_path / 'disk'
  folder.mkdir()
  mount = ['mount', '-t', 'tmpfs', '-o', 'size=400k', 'tmpfs', str(folder)]
  if subprocess.run(mount, capture_output=True, check=False).returncode:
    pytest.skip('only root can mount a small disk')
  yield folder, lambda: subprocess.run(['mount', '-o', 'remount,size=20m', str(folder)], check=True)
  subprocess.run(['umount', str(folder)], check=True)


def test_a_full_disk_is_said_and_what_is_there_is_read(digits, tmp_path, small_disk):
  folder, enlarge = small_disk
  quick = [*QUICK, f'--config.images={digits}']
  full = command(*quick, f'--workdir={folder}/run')
  assert full.returncode == 1
  errors = [line for line in full.stderr.splitlines() if line.startswith('error: ')]
  assert len(errors) == 1 and 'No space left on device' in errors[0], full.stderr
  assert 'Traceback' not in full.stderr
  found = Explanations(folder / 'run')
  assert 0 < len(found) < 64
  assert all(found[name].masks.shape == (1, 2, 28, 28) for name in found.names[-3:])
  enlarge()
  assert command(*quick, f'--workdir={folder}/run').returncode == 0
  assert command(*quick, f'--workdir={tmp_path}/whole').returncode == 0
  whole = files(tmp_path / 'whole' / 'results.zarr')
  assert files(folder / 'run' / 'results.zarr') == whole
