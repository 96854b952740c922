"""Workdirs that perturb 0.1 left when it was interrupted go on where they were.

tests/recorded/workdirs.zip holds one of each kind of store: three photographs, seen by the digits'
network with its random weights, of which the first, or the first two methods, were done.
"""

import csv
import importlib
import json
import pathlib
import zipfile

import ml_collections
import numpy as np
import pytest

from perturb.data.images import find_images
from perturb.store.arrays import DONE
from perturb.store.results import Results, results_group
from perturb.tasks.registry import TASKS

OLD = pathlib.Path(__file__).parents[1] / 'recorded' / 'workdirs.zip'
IMAGES = ('chelsea', 'coffee', 'rocket')

# Rounding leads ten steps of the solver elsewhere.
OPTIMISED = ('parameters', 'scores', 'deleted_scores', 'binary_scores', 'share_area')

YOUNGER = ('rank', 'grad_cam_value')  # Fields that perturb 0.1 began without.

CHANGES = {
  'extremal': {'areas': (0.1, 0.3), 'settings': {'iterations': 10}, 'batch': 1, 'figures': 0},
  'heatmaps': {'method': 'gradient', 'batch': 1, 'figures': 0},
  'compare': {'methods': ('gradient', 'lime', 'meta:gradient')},
  'minimal_boxes': {'methods': ('gradient', 'grad_cam')},
}


def config_of(task):
  config = importlib.import_module(f'configs.{task}').get_config()
  config.images, config.network, config.weights = ', '.join(IMAGES), 'mnist', 'random'
  config.update(CHANGES[task])
  if task == 'compare':
    config.options = ml_collections.ConfigDict({'lime': {'samples': 50}})
  return config


def resumed(task, tmp_path):
  """(the old workdir that has gone on, one of a run that was not interrupted)."""
  with zipfile.ZipFile(OLD) as archive:
    archive.extractall(tmp_path / 'old', [n for n in archive.namelist() if n.startswith(task)])
  folders = tmp_path / 'old' / task, tmp_path / 'new'
  for folder in folders:
    assert TASKS[task](config_of(task), str(folder)) == 0
  return folders


@pytest.mark.parametrize('task', ['extremal', 'heatmaps'])
def test_a_store_goes_on(task, tmp_path):
  with zipfile.ZipFile(OLD) as archive:
    before = {name: archive.read(name) for name in archive.namelist() if name.startswith(task)}
    archive.extractall(tmp_path / 'before', before)
  first = results_group(tmp_path / 'before' / task, '28x28')
  assert first.read('status').tolist() == [DONE, 0, 0]
  old, new = resumed(task, tmp_path)
  for name, content in before.items():  # What describes the store is as it was.
    if name.endswith(('zarr.json', 'config.json')):
      now = (tmp_path / 'old' / name).read_bytes()
      fresh = json.loads((new / pathlib.Path(name).relative_to(task)).read_bytes())
      if name.endswith('config.json'):
        now, content = ({**json.loads(text), 'labels': 'names'} for text in (now, content))
        assert fresh == now
      elif name.endswith('status/zarr.json'):  # Since then it says what its numbers mean.
        assert fresh.pop('attributes')['flag_meanings'] == 'pending done failed'
        assert fresh == json.loads(content)
      else:
        assert fresh == json.loads(content)
      assert now == content
  old, new = results_group(old, '28x28'), results_group(new, '28x28')
  assert old.fields() == new.fields()
  for field in set(old.fields()) - {'area'}:
    np.testing.assert_array_equal(old.read(field)[1:], new.read(field)[1:])
    if field not in first:  # It is stored since; of what was done before it is not known.
      assert field in YOUNGER
      continue
    np.testing.assert_array_equal(old.read(field)[0], first.read(field)[0])
    if field not in OPTIMISED:  # Recorded on one machine; another may round differently.
      np.testing.assert_allclose(old.read(field)[0], new.read(field)[0], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize('task', ['compare', 'minimal_boxes'])
def test_heatmaps_in_files_become_part_of_the_store(task, tmp_path, capsys):
  old, new = resumed(task, tmp_path)
  with zipfile.ZipFile(OLD) as archive:
    kept = [n for n in archive.namelist() if n.startswith(task) and n.endswith('.npy')]
    assert len(kept) >= 3
    for name in kept:  # Not computed again.
      assert (tmp_path / 'old' / name).read_bytes() == archive.read(name)
    timings = archive.read(f'{task}/timings.csv').decode().splitlines()
  known = {tuple(line.split(',')[:3]) for line in timings[1:]}
  with open(old / 'timings.csv', newline='') as file:
    assert known <= {(r['image'], r['method'], r['seconds']) for r in csv.DictReader(file)}
  found, fresh = Results(old), Results(new)
  assert found.names == fresh.names == list(IMAGES)
  methods = [method.replace(':', '_') for method in CHANGES[task]['methods']]
  for name in IMAGES:
    for method in methods:
      heat = found.field(name, f'{method}/heatmap')
      np.testing.assert_array_equal(heat, np.load(old / f'heatmaps/{name}/{method}.npy'))
      expected = fresh.field(name, f'{method}/heatmap')
      if method != 'lime':  # Its samples are drawn otherwise since.
        np.testing.assert_allclose(heat, expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max())
      if f'{task}/heatmaps/{name}/{method}.npy' not in kept:
        np.testing.assert_array_equal(heat, expected)
  assert '3 of 3 explained' in capsys.readouterr().out


def test_another_picture_under_an_old_name_is_refused(tmp_path):
  with zipfile.ZipFile(OLD) as archive:
    archive.extractall(tmp_path, [n for n in archive.namelist() if n.startswith('compare')])
  config = config_of('compare')
  sources, _ = find_images('rocket')
  other = tmp_path / 'chelsea.jpg'
  other.write_bytes(pathlib.Path(sources[0].path).read_bytes())
  config.images = str(other)
  with pytest.raises(ValueError, match="holds another picture named 'chelsea'"):
    TASKS['compare'](config, str(tmp_path / 'compare'))
