"""A sweep on Slurm, through submitit: one job array, a run a job.

  python -m launch.slurm --config=configs/extremal_sweep.py --workdir=/shared/sweep \\
      --partition=gpu --gpus=1 --hours=4 --parallel=16

A run that is preempted, or out of time, is queued again and continues. With several nodes or tasks
a run is one of several processes, which find each other through Slurm.
"""

import pathlib
import subprocess
import sys

from absl import flags
import submitit

from launch.command_line import WORKDIR, jobs_of_flags, main
from launch.sweep import Job

CLUSTER = flags.DEFINE_enum('cluster', 'slurm', ['slurm', 'local'], "'local' tries it out here.")
PARTITION = flags.DEFINE_string('partition', '', "Of the cluster; '' for its default.")
NODES = flags.DEFINE_integer('nodes', 1, 'Of each run.', lower_bound=1)
TASKS = flags.DEFINE_integer(
  'tasks', 0, 'Processes on each node; 0: one, or one a GPU where there are nodes.', lower_bound=0
)
GPUS = flags.DEFINE_integer('gpus', 0, 'On each node.', lower_bound=0)
CPUS = flags.DEFINE_integer('cpus', 4, 'Of each process.', lower_bound=1)
HOURS = flags.DEFINE_float('hours', 24, 'Until a run is stopped and queued again.', lower_bound=0)
PARALLEL = flags.DEFINE_integer('parallel', 64, 'Runs at a time, at most.', lower_bound=1)
WAIT = flags.DEFINE_bool('wait', False, 'Wait for all, and say which failed.')


class Command:
  """A run as submitit calls it, in the job."""

  def __init__(self, command: list[str], folder: pathlib.Path):
    self.command, self.folder = command, folder

  def __call__(self) -> int:
    """Runs to the end in the folder that it was submitted from."""
    status = subprocess.run(self.command, cwd=self.folder, check=False).returncode
    if status:
      raise RuntimeError(f'{self.command[2]} ended with status {status}')
    return status

  def checkpoint(self) -> submitit.helpers.DelayedSubmission:
    """What is queued when the job is preempted: the same, which continues."""
    return submitit.helpers.DelayedSubmission(self)


def commands(jobs: list[Job], processes: int) -> list[Command]:
  """The runs; those of several processes look for each other."""
  together = ['--distributed'] if processes > 1 else []
  return [Command([*job.command, *together], pathlib.Path.cwd()) for job in jobs]


def tasks() -> int:
  """Processes on each node. Of several, JAX gives each one GPU; a single one has them all."""
  return TASKS.value or (max(1, GPUS.value) if NODES.value > 1 else 1)


def executor(folder: pathlib.Path, cluster: str) -> submitit.AutoExecutor:
  """Submits with the resources that the flags ask for."""
  one = submitit.AutoExecutor(folder=folder, cluster=cluster)
  one.update_parameters(
    name='perturb',
    nodes=NODES.value,
    tasks_per_node=tasks(),
    gpus_per_node=GPUS.value,
    cpus_per_task=CPUS.value,
    timeout_min=max(1, round(60 * HOURS.value)),
    slurm_array_parallelism=PARALLEL.value,
  )
  if PARTITION.value:
    one.update_parameters(slurm_partition=PARTITION.value)
  return one


def slurm() -> int:
  """The command."""
  jobs = jobs_of_flags()
  logs = pathlib.Path(WORKDIR.value) / 'logs'
  logs.mkdir(parents=True, exist_ok=True)
  try:
    one = executor(logs, CLUSTER.value)
    with one.batch():
      submitted = [one.submit(command) for command in commands(jobs, NODES.value * tasks())]
  except (RuntimeError, submitit.core.utils.FailedJobError, FileNotFoundError) as error:
    print(f'error: cannot be submitted: {error}', file=sys.stderr)
    return 1
  failed = 0
  for job, handle in zip(jobs, submitted, strict=True):
    print(f'{handle.job_id}: {job.name}', flush=True)
  for job, handle in zip(jobs, submitted, strict=True) if WAIT.value else ():
    problem = handle.exception()
    if problem:
      failed += 1
      print(f'{job.name} failed; see {handle.paths.stderr}', file=sys.stderr)
  return 1 if failed else 0


if __name__ == '__main__':
  main(slurm)
