"""Six areas on one photograph from a cold start: time and peak memory of the command.

  python -m benchmarks.cold_start

Runs the command twice in a new process each: with an empty compilation cache, and with the one
that the first run filled.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time


def main() -> None:
  with tempfile.TemporaryDirectory() as folder:
    for name in ('first', 'second'):
      command = [
        sys.executable,
        '-m',
        'perturb.main',
        '--config=configs/extremal.py',
        '--config.images=chelsea',
        f'--workdir={folder}/{name}',
        f'--compilation_cache={folder}/cache',
      ]
      start = time.perf_counter()
      process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, cwd=pathlib.Path(__file__).parent.parent
      )
      _, status, usage = os.wait4(process.pid, 0)
      elapsed = time.perf_counter() - start
      if status:
        raise SystemExit(f'the command failed with status {status}')
      core, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20
      print(f'{name} start: {elapsed:.1f} s, {core:.0f} s of a core, {memory:.2f} GB at most')


if __name__ == '__main__':
  main()
