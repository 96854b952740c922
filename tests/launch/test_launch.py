"""Sweeps: their runs, here and on the schedulers, and their summary."""

import csv
import json
import os
import shlex

import jax
import numpy as np
from PIL import Image
import pytest

from launch.collect import Finished, groups, read_runs, table, varied
from launch.processes import environment
from launch.sweep import jobs_of
from perturb.data.digits import load_digits
from perturb.errors import UserError
from tests import commands

SWEEP = """
from configs import extremal

def get_config():
  config = extremal.get_config()
  config.network, config.weights, config.images = 'mnist', 'random', {images!r}
  config.areas, config.settings.iterations, config.figures = (0.1, 0.3), 5, 0
  return config

def sweep():
  yield {{'seed': 0}}
  yield {{'seed': 1}}
  yield {{'seed': 2, 'target': 'ten'}}
"""


def launch(module, *arguments, **changes):
  cache = {'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir}
  return commands.run(f'launch.{module}', *arguments, **cache, **changes)


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  """A sweep of three runs over two digits; the last one asks for a class that is not there."""
  folder = tmp_path_factory.mktemp('sweep')
  for i in (0, 1):
    Image.fromarray(load_digits().images[600 * i]).save(folder / f'{i}.png')
  path = folder / 'sweep.py'
  path.write_text(SWEEP.format(images=f'{folder}/*.png'))
  return str(path)


def test_the_runs_of_a_sweep():
  jobs = jobs_of('configs/extremal_sweep.py', 'out', ['areas=(0.1, 0.2)'])
  assert [job.name for job in jobs][:3] == [
    'iterations=10,seed=0', 'iterations=10,seed=1', 'iterations=25,seed=0',
  ]  # fmt: skip
  assert jobs[0].arguments == (
    '--config=configs/extremal_sweep.py',
    '--workdir=out/iterations=10,seed=0',
    '--config.areas=(0.1, 0.2)',
    '--config.settings.iterations=10',
    '--config.seed=0',
  )
  assert tuple(shlex.split(jobs[0].shell)[3:]) == jobs[0].arguments
  (one,) = jobs_of('configs/extremal.py', 'out')  # Without a sweep, a single run.
  assert one.name == 'run'


def test_mistakes_are_found_before_anything_runs(tmp_path):
  with pytest.raises(UserError, match="no field 'sede'; did you mean 'seed'"):
    jobs_of('configs/extremal_sweep.py', 'out', ['sede=1'])
  with pytest.raises(UserError, match='no such file'):
    jobs_of('configs/none.py', 'out')
  text = SWEEP.format(images='').replace("'seed': 1", "'seed': 0")
  (tmp_path / 'twice.py').write_text(text)
  with pytest.raises(UserError, match="two runs of the sweep are named 'seed=0'"):
    jobs_of(str(tmp_path / 'twice.py'), 'out')
  done = launch('local', '--config=configs/extremal_sweep.py')
  assert done.returncode == 1 and done.stderr.startswith('error: --workdir is required')


def test_a_sweep_runs_here_and_is_summed_up(config, tmp_path):
  done = launch('local', f'--config={config}', f'--workdir={tmp_path}', '--devices=2')
  assert done.returncode == 1
  assert "seed=2,target=ten failed: error: target 'ten' is not a class" in done.stdout, done
  assert done.stdout.count(' done\n') == 2 and '1 of 3 failed' in done.stderr
  asked = launch('summary', f'--workdir={tmp_path}')
  assert asked.returncode == 0, asked.stderr
  with open(tmp_path / 'summary.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [(row['run'], row['seed'], row['area'], row['done']) for row in rows] == [
    (f'seed={seed}', str(seed), area, '2') for seed in (0, 1) for area in ('0.1', '0.3')
  ]
  with open(tmp_path / 'seed=0' / 'scores.csv', newline='') as file:
    scores = [float(row['score']) for row in csv.DictReader(file) if row['area'] == '0.1']
  assert float(rows[0]['score']) == pytest.approx(sum(scores) / 2, rel=1e-5)
  with Image.open(tmp_path / 'summary.png') as figure:
    assert min(figure.size) > 300
  wrong = launch('summary', f'--workdir={tmp_path}', '--value=kepd')
  assert wrong.returncode == 1 and 'is not one of' in wrong.stderr


def test_a_run_that_is_not_finished_is_named(tmp_path):
  summary = {'images': 1, 'done': 1, 'failed': 0, 'rows': [{'area': 0.1, 'score': 2.0}]}
  for seed, settings in ((10, 3), (9, 3), (8, 3)):
    folder = tmp_path / f'seed={seed}'
    folder.mkdir()
    config = {'seed': seed, 'settings': {'iterations': settings}, 'areas': [0.1]}
    (folder / 'config.json').write_text(json.dumps(config))
    if seed > 8:
      (folder / 'summary.json').write_text(json.dumps(summary))
  runs, others = read_runs(tmp_path)
  assert [run.name for run in runs] == ['seed=9', 'seed=10'] and others == ['seed=8']
  assert varied(runs) == ['seed']
  header, rows = table(runs)
  assert header == ['run', 'seed', 'images', 'done', 'failed', 'area', 'score']
  assert rows[0] == ['seed=9', 9, 1, 1, 0, '0.1', '2']
  with pytest.raises(UserError, match='holds no runs'):
    read_runs(tmp_path / 'seed=8')


def test_a_process_sees_one_device():
  assert environment('gpu', 3)['CUDA_VISIBLE_DEVICES'] == '3'
  assert environment('tpu', 1)['TPU_VISIBLE_CHIPS'] == '1'
  assert environment('cpu', 1) == {}


def test_slurm_is_given_an_array(config, tmp_path):
  """With a scheduler that only keeps what it is given."""
  (tmp_path / 'srun').write_text('#!/bin/sh\n')
  (tmp_path / 'sbatch').write_text(
    f'#!/bin/sh\nfor last; do :; done\ncp "$last" {tmp_path}/script\necho Submitted batch job 12\n'
  )
  for name in ('srun', 'sbatch'):
    (tmp_path / name).chmod(0o755)
  done = launch(
    'slurm', f'--config={config}', f'--workdir={tmp_path}/out', '--partition=gpu', '--gpus=2',
    '--nodes=2', '--hours=1.5', '--parallel=2', PATH=f'{tmp_path}:{os.environ["PATH"]}',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == ['12_0: seed=0', '12_1: seed=1', '12_2: seed=2,target=ten']
  script = (tmp_path / 'script').read_text()
  for line in (
    '--array=0-2%2', '--gpus-per-node=2', '--nodes=2', '--ntasks-per-node=2', '--partition=gpu',
    '--time=90',
  ):  # fmt: skip
    assert f'#SBATCH {line}\n' in script


def test_submitit_runs_what_is_submitted(config, tmp_path):
  done = launch(
    'slurm', f'--config={config}', f'--workdir={tmp_path}/out', '--cluster=local', '--wait',
    '--set=split=[:1]',
  )  # fmt: skip
  assert done.returncode == 1
  assert 'seed=2,target=ten failed' in done.stderr and done.stderr.count('failed') == 1
  summary = json.loads((tmp_path / 'out' / 'seed=1' / 'summary.json').read_text())
  assert summary['done'] == 1


def steps(*arguments):
  done = launch(
    'tpu', '--config=configs/extremal_sweep.py', '--workdir=/mnt/shared/out', *arguments
  )
  assert done.returncode == 0, done.stderr
  return [shlex.split(line) for line in done.stdout.splitlines()]


def test_the_commands_of_a_tpu_pod():
  job = jobs_of('configs/extremal_sweep.py', '/mnt/shared/out', ['images=a b/*.png'])[0]
  place = ['--zone=z', '--set=images=a b/*.png']
  created, copied, installed, *runs, deleted = steps(*place, '--create')
  assert created[4] == 'create' and '--accelerator-type=v5litepod-16' in created
  assert copied[4] == 'scp' and deleted[4] == 'delete' and 'jax[tpu]' in installed[-1]
  assert all('--worker=all' in step for step in (copied, installed, *runs)) and len(runs) == 8
  command = runs[0][-1].removeprefix('--command=cd perturb_code && ')
  assert shlex.split(command) == ['python3', '-m', 'perturb.main', *job.arguments, '--distributed']
  assert len(steps(*place)) == 10

  first, *others = steps(*place, '--via=xpk', '--cluster=c', '--image=i')
  assert first[:3] == ['xpk', 'workload', 'create'] and len(others) == 7
  assert '--workload=perturb-0' in first and first[-1].endswith(f'{job.shell} --distributed')


def test_the_manifest_of_gke():
  (shell, _, apply), *_ = steps('--via=gke', '--image=i', '--volume=v', '--topology=4x8')
  assert shell == 'bash' and apply.startswith('kubectl apply -f - <<< ')
  manifest = json.loads(shlex.split(apply)[-1])
  (of_slice,) = manifest['spec']['replicatedJobs']
  job = of_slice['template']['spec']
  assert job['parallelism'] == job['completions'] == 8  # Hosts of four chips.
  (container,) = job['template']['spec']['containers']
  assert container['resources']['limits'] == {'google.com/tpu': 4}
  assert container['command'][-1].endswith('--distributed')
  missing = launch('tpu', '--config=configs/extremal_sweep.py', '--workdir=w', '--via=gke')
  assert missing.returncode == 1 and missing.stderr == 'error: --via=gke needs --image\n'


def test_runs_that_differ_in_their_seed_alone_are_one_group():
  def finished(iterations, seed, kept):
    rows = [{'area': 0.1, 'kept': kept}, {'area': 0.2, 'kept': None}]
    config = {'seed': seed, 'settings.iterations': iterations}
    return Finished(f'{iterations},{seed}', config, {'rows': rows, 'images': 1, 'done': 1})

  runs = [finished(10, 0, 1.0), finished(10, 1, 3.0), finished(20, 0, 5.0)]
  first, second = groups(runs)
  assert (first.name, second.name) == ('iterations=10', 'iterations=20')
  np.testing.assert_array_equal(first.values('kept'), [[1, np.nan], [3, np.nan]])
  np.testing.assert_array_equal(second.values('kept'), [[5, np.nan]])
  (alone,) = groups(runs[:2])
  assert alone.name == 'all' and len(alone.runs) == 2


def test_a_sweep_starts_the_command_that_has_the_task():
  for name, entry in (('heatmaps', 'perturb.main'), ('net2vec', 'concepts.main')):
    (job,) = jobs_of(f'configs/{name}.py', 'runs/x')
    assert job.command[1:3] == ['-m', entry] and f'-m {entry} ' in job.shell
