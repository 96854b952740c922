"""A training that is killed again and again: python -m tests.killed_training CACHE DATA WORKDIR
KILLS.

Each life is a fork of this process, which has imported everything and computed nothing. Half the
lives end while a checkpoint is being written. Prints how many of them did, and how many different
checkpoints were the last one at a death.
"""

import functools
import os
import pathlib
import random
import signal
import sys
import time

import jax

from configs import train_mnist
from perturb.tasks.train import run

UNFINISHED = '*.orbax-checkpoint-tmp*'


def config(data):
  """Twenty epochs of 20 steps, a checkpoint every other step."""
  config = train_mnist.get_config()
  config.images, config.input, config.flip = f'classes:{data}', 'stream', True
  config.epochs, config.batch_size, config.folds = 20, 4, 5
  config.occlusion, config.side, config.joint = 'cutout', 8, True
  config.average, config.checkpoint_steps, config.workers = 0.9, 2, 2
  return config


def live(data, workdir):
  """A life, in a process of its own; returns its number."""
  child = os.fork()
  if child:
    return child
  failed = 1
  try:
    failed = run(config(data), workdir)
  finally:
    os._exit(failed)


def finished(checkpoints):
  """The steps of the checkpoints that are there."""
  return {int(path.name) for path in checkpoints.glob('*') if path.name.isdigit()}


def wait_for(condition):
  start = time.monotonic()
  while not condition() and time.monotonic() - start < 120:
    time.sleep(0.0005)


def _goes_on(checkpoints, before):
  return max(finished(checkpoints), default=0) > before


def main(cache, data, workdir, kills):
  chance, checkpoints = random.Random(0), pathlib.Path(workdir) / 'checkpoints'
  jax.config.update('jax_compilation_cache_dir', cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  cut, last = 0, set()
  for number in range(int(kills)):
    before, child = max(finished(checkpoints), default=0), live(data, workdir)
    wait_for(functools.partial(_goes_on, checkpoints, before))
    if number % 2:
      time.sleep(chance.uniform(0, 0.3))
    else:
      wait_for(lambda: any(checkpoints.glob(UNFINISHED)))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    cut += any(checkpoints.glob(UNFINISHED))
    last.add(max(finished(checkpoints)))
  assert os.waitstatus_to_exitcode(os.waitpid(live(data, workdir), 0)[1]) == 0
  print(cut, len(last))


if __name__ == '__main__':
  main(*sys.argv[1:])
