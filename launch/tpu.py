"""Runs on TPU pods: the commands for TPU VMs, xpk and GKE.

  python -m launch.tpu --config=configs/extremal.py --workdir=/mnt/shared/run --name=pod \\
      --zone=us-central1-a --accelerator=v5litepod-16 --dry_run

Prints them, and with --nodry_run carries them out, one after the other, until one fails. Every host
of the pod runs the same command, and each explains its share; the workdir is to be on a disk that
all of them mount (Filestore, NFS).
"""

import json
import math
import shlex
import subprocess
from typing import Any

from absl import flags

from launch.command_line import jobs_of_flags, main
from launch.sweep import Job
from perturb.errors import UserError

VIA = flags.DEFINE_enum('via', 'gcloud', ['gcloud', 'xpk', 'gke'], 'What starts the runs.')
NAME = flags.DEFINE_string('name', 'perturb', 'Of the TPU VM, or the prefix of the workloads.')
ZONE = flags.DEFINE_string('zone', '', 'Of the TPU.')
PROJECT = flags.DEFINE_string('project', '', "Of the cloud; '' for the one configured.")
ACCELERATOR = flags.DEFINE_string('accelerator', 'v5litepod-16', 'Type of the TPU.')
RUNTIME = flags.DEFINE_string('runtime', 'v2-alpha-tpuv5-lite', 'Software of the TPU VM.')
CREATE = flags.DEFINE_bool('create', False, 'Create the TPU VM before, and delete it after.')
CLUSTER = flags.DEFINE_string('cluster', '', 'Of xpk.')
IMAGE = flags.DEFINE_string('image', '', 'Container with this code, of GKE; base image of xpk.')
GKE_ACCELERATOR = flags.DEFINE_string(
  'gke_accelerator', 'tpu-v5-lite-podslice', 'Label of the node pool.'
)
TOPOLOGY = flags.DEFINE_string('topology', '4x4', 'Of the slice, of GKE: chips along each axis.')
CHIPS = flags.DEFINE_integer('chips', 4, 'On each host, of GKE.', lower_bound=1)
VOLUME = flags.DEFINE_string('volume', '', 'Persistent volume claim of the shared disk, of GKE.')
MOUNT = flags.DEFINE_string('mount', '/mnt/shared', 'Where it is mounted.')
DRY_RUN = flags.DEFINE_bool('dry_run', True, 'Print the commands and do nothing.')

INSTALL = 'pip install -q -r requirements.txt "jax[tpu]"'


def _need(**values: str) -> None:
  for name, value in values.items():
    if not value:
      raise UserError(f'--via={VIA.value} needs --{name}')


def gcloud(jobs: list[Job]) -> list[list[str]]:
  """The code copied to every worker of a TPU VM, and each run on all of them."""
  _need(name=NAME.value, zone=ZONE.value)
  place = [f'--zone={ZONE.value}'] + ([f'--project={PROJECT.value}'] if PROJECT.value else [])
  tpu = ['gcloud', 'compute', 'tpus', 'tpu-vm']

  def on_all(command: str) -> list[str]:
    line = f'cd perturb_code && {command}'
    return [*tpu, 'ssh', NAME.value, *place, '--worker=all', f'--command={line}']

  create = [
    *tpu, 'create', NAME.value, *place, f'--accelerator-type={ACCELERATOR.value}',
    f'--version={RUNTIME.value}',
  ]  # fmt: skip
  copy = [*tpu, 'scp', '--recurse', '.', f'{NAME.value}:perturb_code', *place, '--worker=all']
  delete = [*tpu, 'delete', NAME.value, *place, '--quiet']
  runs = [on_all(f'{job.shell} --distributed') for job in jobs]
  steps = [copy, on_all(INSTALL), *runs]
  return [create, *steps, delete] if CREATE.value else steps


def _workload(index: int) -> str:
  """A name that Kubernetes takes: letters, digits and dashes."""
  return f'{NAME.value}-{index}'


def xpk(jobs: list[Job]) -> list[list[str]]:
  """A workload for each run, queued by a cluster of xpk."""
  _need(cluster=CLUSTER.value, zone=ZONE.value, image=IMAGE.value)
  project = [f'--project={PROJECT.value}'] if PROJECT.value else []
  return [
    [
      'xpk', 'workload', 'create', f'--cluster={CLUSTER.value}', f'--zone={ZONE.value}', *project,
      f'--workload={_workload(i)}', f'--tpu-type={ACCELERATOR.value}', '--num-slices=1',
      f'--base-docker-image={IMAGE.value}', '--script-dir=.',
      f'--command={INSTALL} && {job.shell} --distributed',
    ]
    for i, job in enumerate(jobs)
  ]  # fmt: skip


def job_set(job: Job, index: int) -> dict[str, Any]:
  """A run on GKE: a pod on each host of a slice, started again together if one fails."""
  chips = math.prod(int(side) for side in TOPOLOGY.value.split('x'))
  hosts = max(1, chips // CHIPS.value)
  container: dict[str, Any] = {
    'name': 'perturb',
    'image': IMAGE.value,
    'command': ['bash', '-c', f'{job.shell} --distributed'],
    'resources': {'limits': {'google.com/tpu': min(CHIPS.value, chips)}},
  }
  pod: dict[str, Any] = {
    'restartPolicy': 'Never',
    'nodeSelector': {
      'cloud.google.com/gke-tpu-accelerator': GKE_ACCELERATOR.value,
      'cloud.google.com/gke-tpu-topology': TOPOLOGY.value,
    },
    'containers': [container],
  }
  if VOLUME.value:
    container['volumeMounts'] = [{'name': 'shared', 'mountPath': MOUNT.value}]
    claim = {'claimName': VOLUME.value}
    pod['volumes'] = [{'name': 'shared', 'persistentVolumeClaim': claim}]
  of_slice = {
    'parallelism': hosts,
    'completions': hosts,
    'backoffLimit': 0,
    'template': {'spec': pod},
  }
  return {
    'apiVersion': 'jobset.x-k8s.io/v1alpha2',
    'kind': 'JobSet',
    'metadata': {
      'name': _workload(index),
      'annotations': {
        'alpha.jobset.sigs.k8s.io/exclusive-topology': 'cloud.google.com/gke-nodepool'
      },
    },
    'spec': {
      'failurePolicy': {'maxRestarts': 10},  # A restarted run continues.
      'replicatedJobs': [{'name': 'slice', 'replicas': 1, 'template': {'spec': of_slice}}],
    },
  }


def gke(jobs: list[Job]) -> list[list[str]]:
  """A JobSet for each run."""
  _need(image=IMAGE.value)
  sets = [json.dumps(job_set(job, i)) for i, job in enumerate(jobs)]
  return [['bash', '-c', f'kubectl apply -f - <<< {shlex.quote(one)}'] for one in sets]


def tpu() -> int:
  """The command."""
  steps = {'gcloud': gcloud, 'xpk': xpk, 'gke': gke}[VIA.value](jobs_of_flags())
  for step in steps:
    print(shlex.join(step), flush=True)
    if not DRY_RUN.value and subprocess.run(step, check=False).returncode:
      raise UserError(f'this command failed: {shlex.join(step)}')
  return 0


if __name__ == '__main__':
  main(tpu)
