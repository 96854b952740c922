"""A sweep on this machine, a process a device.

  python -m launch.local --config=configs/extremal_sweep.py --workdir=runs/sweep

Each run writes what it says to `log.txt` in its folder. Started again, the sweep goes on: runs
continue where they were stopped.
"""

import sys

from absl import flags

from launch.command_line import jobs_of_flags, main
from launch.processes import devices_here, run_all

DEVICES = flags.DEFINE_integer(
  'devices', 0, 'Runs side by side, each with one device; 0: as many as there are.', lower_bound=0
)


def local() -> int:
  """The command."""
  jobs = jobs_of_flags()
  platform, count = devices_here()
  failed = run_all(jobs, platform, min(DEVICES.value or count, len(jobs)))
  if failed:
    print(f'{len(failed)} of {len(jobs)} failed; see log.txt in their folders', file=sys.stderr)
  return 1 if failed else 0


if __name__ == '__main__':
  main(local)
