"""The study of concept vectors from end to end, on a few generated scenes and a tiny network."""

import csv
import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

import concepts
from concepts.probes import open_probe
from concepts.tasks import learn, net2vec
from concepts.tasks.scenes import write_scenes
from configs import net2vec as configs
from perturb import nets
from perturb.errors import UserError
from tests import commands
from tests.concepts.test_relevant_survival import wait_for
from tests.concepts.test_relevant_task import contents, rows
from tests.run.test_survival import two_processes

CHANGES = {
  'network': 'mnist',
  'weights': 'random',
  'layers': ('pool1', 'pool2'),
  'epochs': 12,
  'batch_size': 8,
  'subsets': (1, 2),
  'examples': 1,
  'batch': 8,
}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
  """24 scenes of 64 x 64 pixels."""
  folder = tmp_path_factory.mktemp('scenes') / 'broden'
  write_scenes(folder, 24, 64, 0)
  return folder


def config_of(scenes, **changes):
  config = configs.get_config()
  config.update({**CHANGES, 'dataset': f'broden:{scenes}', **changes})
  return config


@pytest.fixture(scope='module')
def study(scenes, tmp_path_factory):
  """The workdir of a study."""
  folder = tmp_path_factory.mktemp('study')
  assert net2vec.run(config_of(scenes), str(folder)) == 0
  return folder


def test_it_leaves_tables_figures_and_a_page(study):
  for name in ('results', 'detectors', 'shared_filters', 'map', 'filters_needed', 'masks'):
    assert (study / f'{name}.png').read_bytes().startswith(b'\x89PNG')
  assert 'pool2' in (study / 'net2vec.html').read_text()
  summary = json.loads((study / 'summary.json').read_text())
  assert (summary['images'], summary['done'], summary['failed']) == (24, 24, 0)
  layers = rows(study / 'layers.csv')
  assert [(row['layer'], row['task']) for row in layers] == [
    (layer, task) for layer in ('pool1', 'pool2') for task in ('segmentation', 'classification')
  ]
  assert [row['filters'] for row in rows(study / 'subsets.csv')] == ['1', '2', '1', '2']


def test_its_numbers_are_those_of_a_notebook(study, scenes):
  """The same filters and vectors; but for activations that the study keeps as float16."""
  net, probe = nets.load('mnist', 'random'), open_probe(f'broden:{scenes}')
  found = concepts.dissect(net, 'pool1', probe)
  learned = concepts.segment_vectors(
    net, 'pool1', probe, epochs=12, batch_size=8, learning_rate=1e-2, key=0
  )
  table = {
    row['concept']: row
    for row in rows(study / 'concepts.csv')
    if (row['layer'], row['task']) == ('pool1', 'segmentation')
  }
  single = np.array([float(row['single']) for row in table.values()])
  learnable = np.isfinite(single)
  np.testing.assert_allclose(single[learnable], found.best.val[learnable], atol=0.02)
  assert single[learnable].max() > 0.05
  own = dict(zip(learned.names, learned.iou[1], strict=True))
  known = [name for name, row in table.items() if row['combined'] != 'nan']
  assert len(known) > 10 and set(known) <= set(own)
  combined = [float(table[name]['combined']) for name in known]
  np.testing.assert_allclose(combined, [own[name] for name in known], atol=0.03)


def test_stopped_between_its_parts_and_started_again_it_ends_with_the_same_bytes(
  study, scenes, tmp_path, monkeypatch
):
  def stop(*_, **__):
    raise KeyboardInterrupt

  for part in ('read_labels', 'learn', 'learn_subsets', 'report'):
    monkeypatch.setattr(net2vec, part, stop)
    with pytest.raises(KeyboardInterrupt):
      net2vec.run(config_of(scenes), str(tmp_path))
    monkeypatch.undo()
  assert net2vec.run(config_of(scenes), str(tmp_path)) == 0
  assert contents(tmp_path) == contents(study)


def test_vectors_half_learned_go_on_where_they_were(study, scenes, tmp_path, monkeypatch):
  """Stopped after the tenth epoch of twelve."""
  train, calls = learn.train_vectors, []

  def once(*given, **more):
    if calls:
      raise KeyboardInterrupt
    calls.append(1)
    return train(*given, **more)

  monkeypatch.setattr(learn, 'train_vectors', once)
  with pytest.raises(KeyboardInterrupt):
    net2vec.run(config_of(scenes), str(tmp_path))
  monkeypatch.undo()
  assert [p.name for p in (tmp_path / 'vectors').rglob('*.npz')] == ['pool1_segmentation.npz']
  assert net2vec.run(config_of(scenes), str(tmp_path)) == 0
  assert contents(tmp_path) == contents(study)


def test_labels_that_cannot_be_read_leave_their_picture_out(scenes, tmp_path, capsys):
  shutil.copytree(scenes, tmp_path / 'broden')
  with open(tmp_path / 'broden' / 'index.csv', newline='', encoding='utf-8') as file:
    index = list(csv.DictReader(file))
  gone = tmp_path / 'broden' / 'images' / index[0]['object'].split(';')[0]
  gone.unlink()
  config = config_of(tmp_path / 'broden', learned=('classification',), subsets=(), epochs=1)
  assert net2vec.run(config, str(tmp_path / 'run')) == 1
  assert str(gone) in capsys.readouterr().err
  assert json.loads((tmp_path / 'run' / 'summary.json').read_text())['failed'] == 1
  assert str(gone) in (tmp_path / 'run' / 'failures.csv').read_text()


def test_a_picture_that_can_be_read_again_is_taken_in(scenes, tmp_path, capsys):
  """Its vectors are learned anew, from all pictures."""
  shutil.copytree(scenes, tmp_path / 'broden')
  picture = next((tmp_path / 'broden' / 'images').rglob('*.jpg'))
  good = picture.read_bytes()
  picture.write_bytes(b'damaged')
  config = config_of(tmp_path / 'broden', learned=('classification',), subsets=(), epochs=1)
  assert net2vec.run(config, str(tmp_path / 'run')) == 1
  picture.write_bytes(good)
  assert net2vec.run(config, str(tmp_path / 'run')) == 0
  assert json.loads((tmp_path / 'run' / 'summary.json').read_text())['done'] == 24
  assert len(list((tmp_path / 'run' / 'vectors').iterdir())) == 2
  assert 'vectors are nearly as they were drawn' in capsys.readouterr().err


def test_scenes_of_another_config_are_not_taken(tmp_path):
  config = configs.get_config()
  config.update({**CHANGES, 'learned': ('classification',), 'epochs': 1})
  config.scenes.update({'pictures': 12, 'size': 64})
  config.layers = ('pool9',)
  with pytest.raises(UserError, match='pool9'):
    net2vec.run(config, str(tmp_path))
  assert not (tmp_path / 'broden').exists()
  config.layers = ('pool1',)
  assert net2vec.run(config, str(tmp_path)) == 0
  config.scenes.seed = 5
  with pytest.raises(UserError, match='another config: scenes.seed was 0, is 5'):
    net2vec.run(config, str(tmp_path))


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('dataset', 'brodem:here', 'config.dataset must be broden:FOLDER or labels:FOLDER'),
    ('layers', ('fc4',), "layer 'fc4' is that of the classes"),
    ('layers', ('relu3',), "config.layers: 'relu3' has one value a filter"),
    ('layers', ('pool9',), "no layer 'pool9'"),
    ('tau', 1.0, 'config.tau must be between 0 and 1'),
    ('loss', 'l2', 'config.loss must be one of overlap, bce'),
    ('classifier_rate', 0.0, 'config.classifier_rate must be larger than 0'),
    ('learned', ('segment',), 'config.learned must be one of segmentation, classification'),
    ('subsets', (0,), 'config.subsets must be numbers of filters from 1'),
    ('wordnet', '/nowhere', 'WordNet has index.noun'),
  ],
)
def test_what_cannot_be_studied_is_refused_in_a_line(
  scenes, study, tmp_path, field, value, message
):
  folder = tmp_path
  if field == 'wordnet':
    folder = tmp_path / 'copy'
    shutil.copytree(study, folder)
  with pytest.raises(UserError, match=message):
    net2vec.run(config_of(scenes, **{field: value}), str(folder))


@pytest.mark.slow
def test_killed_or_shared_by_two_processes_it_ends_with_the_same_bytes(scenes, tmp_path):
  def arguments(name):
    return [
      '--config=configs/net2vec.py',
      f'--compilation_cache={jax.config.jax_compilation_cache_dir}',
      f'--config.dataset=broden:{scenes}',
      *(f'--config.{field}={value}' for field, value in CHANGES.items()),
      f'--workdir={tmp_path / name}',
    ]

  assert commands.run('concepts.main', *arguments('one')).returncode == 0
  server = commands.server()
  both = [*two_processes(tmp_path / 'two'), *arguments('two')]
  started = [server.start('concepts.main', [*both, f'--process={p}'], {}) for p in (0, 1)]
  said = [server.wait(process) for process in started]
  assert [process.returncode for process in said] == [0, 0], said
  assert contents(tmp_path / 'two') == contents(tmp_path / 'one')

  (vectors,) = (tmp_path / 'one' / 'vectors').iterdir()
  for part in (
    'activations/results.zarr/28x28/status/c',
    f'vectors/{vectors.name}/pool1_segmentation.npz',
    f'vectors/{vectors.name}/pool1_classification.npz',
    f'vectors/{vectors.name}/pool2_segmentation_1.npz',
  ):
    number, *_ = started = server.start('concepts.main', arguments('killed'), {})
    wait_for(tmp_path / 'killed' / part)
    os.kill(number, signal.SIGKILL)
    assert server.wait(started).returncode == -signal.SIGKILL
  assert not (tmp_path / 'killed' / 'net2vec.html').exists()
  assert commands.run('concepts.main', *arguments('killed')).returncode == 0
  assert contents(tmp_path / 'killed') == contents(tmp_path / 'one')
