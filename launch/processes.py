"""Runs as processes of this machine, each with a device of its own."""

import concurrent.futures
import os
import queue
import subprocess
import sys

from launch.sweep import Job

_COUNT = 'import jax; print(jax.default_backend(), jax.local_device_count())'


def devices_here() -> tuple[str, int]:
  """(platform, number of devices), asked of another process: this one is not to hold any."""
  asked = subprocess.run([sys.executable, '-c', _COUNT], capture_output=True, text=True, check=True)
  platform, count = asked.stdout.split()[-2:]
  return platform, int(count)


def environment(platform: str, device: int) -> dict[str, str]:
  """What lets a process see one device alone."""
  if platform == 'gpu':
    return {'CUDA_VISIBLE_DEVICES': str(device), 'ROCR_VISIBLE_DEVICES': str(device)}
  if platform == 'tpu':
    return {
      'TPU_VISIBLE_CHIPS': str(device),
      'TPU_CHIPS_PER_PROCESS_BOUNDS': '1,1,1',
      'TPU_PROCESS_BOUNDS': '1,1,1',
    }
  return {}


def run_job(job: Job, platform: str, device: int) -> int:
  """Runs a job to its end; returns its exit status."""
  job.workdir.mkdir(parents=True, exist_ok=True)
  with open(job.workdir / 'log.txt', 'w') as log:
    return subprocess.run(
      job.command,
      stdout=log,
      stderr=subprocess.STDOUT,
      env={**os.environ, **environment(platform, device)},
      check=False,
    ).returncode


def run_all(jobs: list[Job], platform: str, devices: int) -> list[Job]:
  """Runs the jobs, as many at a time as there are devices; returns those that failed."""
  free: queue.Queue[int] = queue.Queue()
  for device in range(devices):
    free.put(device)

  def run_one(job: Job) -> int:
    device = free.get()
    try:
      return run_job(job, platform, device)
    finally:
      free.put(device)

  failed = []
  with concurrent.futures.ThreadPoolExecutor(devices) as pool:
    started = {pool.submit(run_one, job): job for job in jobs}
    for i, future in enumerate(concurrent.futures.as_completed(started), 1):
      job = started[future]
      status = future.result()
      if status:
        failed.append(job)
      lines = (job.workdir / 'log.txt').read_text().strip().splitlines()
      said = f'failed: {lines[-1]}' if status and lines else 'failed' if status else 'done'
      print(f'{i} of {len(jobs)}: {job.name} {said}', flush=True)
  return failed
