"""A run that is killed again and again: python -m tests.killed CACHE IMAGES WORKDIR KILLS
ITERATIONS.

Each life is a fork of this process, which has imported everything and computed nothing. Prints how
many images were done at each death.
"""

import os
import pathlib
import random
import signal
import sys
import time

import jax

from configs import extremal
from perturb.store.explanations import Explanations
from perturb.tasks.extremal import run

STATUS = pathlib.Path('results.zarr', '28x28', 'status', 'c')


def config(images, iterations):
  """64 calls of a quarter of a second for 250 iterations."""
  config = extremal.get_config()
  config.network, config.weights, config.images = 'mnist', 'random', images
  config.areas, config.settings.iterations = (0.1, 0.3), int(iterations)
  config.batch, config.chunk, config.workers, config.figures = 1, 2, 2, 0
  return config


def live(images, workdir, iterations):
  """A life, in a process of its own; returns its number."""
  child = os.fork()
  if child:
    return child
  failed = 1
  try:
    failed = run(config(images, iterations), workdir)
  finally:
    os._exit(failed)


def last_write(workdir):
  path = pathlib.Path(workdir) / STATUS
  return path.stat().st_mtime_ns if path.exists() else 0


def done(workdir):
  try:
    return len(Explanations(workdir))
  except ValueError:  # Killed before there was anything.
    return 0


def main(cache, images, workdir, kills, iterations):
  chance = random.Random(0)
  jax.config.update('jax_compilation_cache_dir', cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  deaths = []
  for _ in range(int(kills)):
    before, start = last_write(workdir), time.monotonic()
    child = live(images, workdir, iterations)
    if chance.random() < 0.75:  # Most lives end while results are written.
      while last_write(workdir) == before and time.monotonic() - start < 60:
        time.sleep(0.002)
      time.sleep(chance.uniform(0, 0.2))
    else:
      time.sleep(chance.uniform(0, 2))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    deaths.append(last_write(workdir))
  # Results are only opened here: what a fork inherits must not have threads.
  assert os.waitstatus_to_exitcode(os.waitpid(live(images, workdir, iterations), 0)[1]) == 0
  print(len(set(deaths)), done(workdir))


if __name__ == '__main__':
  main(*sys.argv[1:])
