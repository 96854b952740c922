"""A workdir is one run's at a time."""

import errno
import fcntl
import gc
import os
import socket

import jax
from PIL import Image
import pytest

from perturb.data.digits import load_digits
from perturb.errors import UserError
from perturb.store.lock import NAME, hold
from tests import commands


def test_the_file_says_who_has_it_and_is_empty_when_nobody_has(tmp_path):
  first, second = hold(tmp_path), hold(tmp_path)
  assert first is second
  said = (tmp_path / NAME).read_text()
  assert said.startswith(f'process {os.getpid()} on {socket.gethostname()} since 20')
  del first
  assert (tmp_path / NAME).read_text() == said
  del second
  gc.collect()
  assert (tmp_path / NAME).read_text() == ''


def test_another_open_file_of_the_lock_is_refused(tmp_path):
  """As another process has it, whatever is left in the file by one that was killed."""
  (tmp_path / NAME).write_text('process 1 on here since then')
  hold(tmp_path).release()
  (tmp_path / NAME).write_text('process 1 on here since then')
  with open(tmp_path / NAME, 'r+') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(UserError, match=r'is in use by process 1 on here since then; wait until'):
      hold(tmp_path)
    file.truncate(0)
    with pytest.raises(UserError, match='is in use by another process; '):
      hold(tmp_path)
  assert hold(tmp_path)


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch, capsys):
  def refuse(*_):
    raise OSError(errno.ENOLCK, 'No locks available')

  monkeypatch.setattr(fcntl, 'flock', refuse)
  assert hold(tmp_path)
  assert 'a second run there is not noticed' in capsys.readouterr().err


def test_a_second_command_is_refused_at_once(tmp_path):
  Image.fromarray(load_digits().images[0]).save(tmp_path / 'a.png')
  arguments = (
    '--config=configs/heatmaps.py', '--config.network=mnist', '--config.weights=random',
    '--config.method=gradient', f'--config.images={tmp_path}/a.png', f'--workdir={tmp_path}/out',
    '--config.figures=0', f'--compilation_cache={jax.config.jax_compilation_cache_dir}',
  )  # fmt: skip
  (tmp_path / 'out').mkdir()
  lock = hold(tmp_path / 'out')
  done = commands.run('perturb.main', *arguments)
  assert done.returncode == 1
  assert f'error: workdir {tmp_path}/out is in use by process {os.getpid()} on' in done.stderr
  assert not list((tmp_path / 'out').glob('*.json'))
  del lock
  gc.collect()
  assert commands.run('perturb.main', *arguments).returncode == 0
