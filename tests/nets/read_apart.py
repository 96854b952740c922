"""Reads checkpoints, each in a process of its own whose time and memory are limited.

Run as a script: a path a line, and a line of JSON for each. It imports the reader alone, without
JAX and its threads, so that its forks are safe and cheap.
"""

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import traceback
import types
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 2  # Of a core.
MEMORY = 1 << 30  # bytes


class Outcome(NamedTuple):
  """What became of a file.

  Attributes:
    verdict: 'read', 'refused', or what happened instead.
    text: the message, or the traceback.
    memory: the most that the process had, in bytes.
    seconds: of a core.
  """

  verdict: str
  text: str
  memory: int
  seconds: float


class Reader:
  """Reads files in other processes."""

  def __enter__(self):
    self.process = subprocess.Popen(
      [sys.executable, '-X', 'faulthandler', __file__],
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return self

  def __exit__(self, *_):
    self.process.communicate()

  def read(self, path):
    print(json.dumps(str(path)), file=self.process.stdin, flush=True)
    return Outcome(*json.loads(self.process.stdout.readline()))


def _import_reader():
  for package in ('perturb', 'perturb.nets', 'perturb.nets.weights'):
    module = types.ModuleType(package)
    module.__path__ = [str(ROOT / package.replace('.', '/'))]
    sys.modules[package] = module
  from perturb.nets.weights import torch_files

  assert 'jax' not in sys.modules
  return torch_files


def _limit():
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
  space = pages * resource.getpagesize() + MEMORY
  resource.setrlimit(resource.RLIMIT_AS, (space, space))
  resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
  signal.alarm(30 * SECONDS)  # For what waits without computing.


def _read(torch_files, path):
  try:
    torch_files.read_checkpoint(path)
    checkpoint = torch_files.open_checkpoint(path)
    for where in [*checkpoint.state_dicts][:8]:
      checkpoint.read(where)
  except torch_files.CheckpointError as error:
    return 'refused', str(error)
  except BaseException:
    return 'traceback', traceback.format_exc()
  return 'read', ''


def _apart(torch_files, path):
  ours, theirs = os.pipe()
  child = os.fork()
  if not child:
    os.close(ours)
    _limit()
    with os.fdopen(theirs, 'w') as pipe:
      json.dump(_read(torch_files, path), pipe)
    os._exit(0)
  os.close(theirs)
  with os.fdopen(ours) as pipe:
    answer = pipe.read()
  _, status, usage = os.wait4(child, 0)
  if status or not answer:
    answer = json.dumps((f'killed ({os.waitstatus_to_exitcode(status)})', ''))
  return *json.loads(answer), usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def main():
  torch_files = _import_reader()
  for line in sys.stdin:
    print(json.dumps(_apart(torch_files, json.loads(line))), flush=True)


if __name__ == '__main__':
  main()
