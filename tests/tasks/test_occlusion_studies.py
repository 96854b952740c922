"""Robustness to occlusion, augmentations, remove and retrain: of configs, end to end on digits."""

import csv
import dataclasses
import importlib
import json

import numpy as np
from PIL import Image
import pytest

from perturb.data.datasets import open_dataset
from perturb.data.digits import load_digits
from perturb.errors import UserError
from perturb.store.failures import Failures
from perturb.tasks.augmentations import rows_of
from perturb.tasks.augmentations import tests_of as names_of_tests
from perturb.tasks.in_memory import read_split
from perturb.tasks.registry import TASKS


def rows(path):
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


def config_of(name, **fields):
  config = importlib.import_module(f'configs.{name}').get_config()
  config.update(fields)
  return config


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
  """Twelve digits, four of each of three classes, and a file that is no picture."""
  folder, images = tmp_path_factory.mktemp('digits'), load_digits().images
  for digit in (0, 1, 7):
    (folder / str(digit)).mkdir()
    for i in range(4):
      Image.fromarray(images[500 * digit + i]).save(folder / str(digit) / f'{i}.png')
  (folder / '7' / 'damaged.png').write_bytes(b'no picture')
  return folder


def robustness(digits, **fields):
  given = {'network': 'mnist', 'weights': 'random', 'shares': (0.0, 0.5, 1.0), 'held_out': ''}
  return config_of('occlusion_robustness', images=f'classes:{digits}', **given | fields)


def test_robustness_to_occlusion(digits, tmp_path, capsys):
  held_out = tmp_path / 'training'
  held_out.mkdir()
  names = [f'{digit}_{i}' for digit in (0, 1, 7) for i in range(3)]
  lines = ''.join(f'{name},x,y\n' for name in names)
  (held_out / 'predictions.csv').write_text(f'image,class,predicted\n{lines}')
  config = robustness(digits, held_out=str(held_out), figures=1)
  assert TASKS[config.task](config, str(tmp_path / 'run')) == 0  # The damaged one is not asked for.
  table = rows(tmp_path / 'run' / 'occlusion_robustness.csv')
  orders = [(row['method'], row['order']) for row in table[::4]]
  assert orders == [('', 'random'), ('norm_grad', 'salient'), ('norm_grad', 'least_salient')]
  assert [row['share'] for row in table[:4]] == ['0', '0.5', '1', 'mean']
  assert {row['images'] for row in table} == {'9'}
  # Nothing is hidden, or everything: the order does not count.
  for at in (0, 2):
    assert len({(row['accuracy'], row['probability']) for row in table[at::4]}) == 1
  for start in range(0, 12, 4):
    each = [float(row['accuracy']) for row in table[start : start + 4]]
    assert each[3] == pytest.approx(np.mean(each[:3]), abs=1e-5)
  assert (tmp_path / 'run' / 'occlusion_robustness.png').exists()
  assert 'least salient' in capsys.readouterr().out
  assert json.loads((tmp_path / 'run' / 'summary.json').read_text())['done'] == 9


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'target': ''}, "config.target must be 'label'"),
    ({'shares': (0.5, 2.0)}, 'config.shares must be between 0 and 1'),
    ({'fill': 'grey'}, 'config.fill must be one of constant, blur, road'),
    ({'orders': ('most',)}, 'config.orders must be one of salient, least_salient'),
    ({'held_out': 'nowhere'}, r'config.held_out: nowhere/predictions.csv is not there'),
  ],
)
def test_a_robustness_that_cannot_be_measured(digits, tmp_path, fields, message):
  with pytest.raises(UserError, match=message):
    TASKS['occlusion_robustness'](robustness(digits, **fields), str(tmp_path))


def split_of(digits, tmp_path, **fields):
  given = {'folds': 4, 'train_count': 6, 'batch_size': 2, 'images': f'classes:{digits}'}
  config = config_of('roar', **given | fields)
  return read_split(config, open_dataset(config.images), 28, Failures(tmp_path))


def test_pictures_are_drawn_from_those_that_are_not_held_out(digits, tmp_path):
  split = split_of(digits, tmp_path)
  assert split.images.shape == (12, 28, 28, 3) and split.class_names == ('0', '1', '7')
  np.testing.assert_array_equal(np.bincount(split.labels[split.test]), [1, 1, 1])
  assert 'damaged' in rows(tmp_path / 'failures.csv')[0]['place']
  drawn = [split.drawn(6, seed) for seed in range(20)]
  for each in drawn:
    assert set(each) <= set(split.known) and len(set(each)) == 6
    np.testing.assert_array_equal(np.bincount(split.labels[each]), [2, 2, 2])
  assert {i for each in drawn for i in each} == set(split.known)
  np.testing.assert_array_equal(split.drawn(6, 3), drawn[3])
  np.testing.assert_array_equal(split.drawn(0, 3), split.known)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'train_count': 10}, 'config.train_count: 10, where 9 pictures are not held out'),
    ({'batch_size': 7}, 'config.batch_size: 7 for 6 pictures to train on'),
  ],
)
def test_too_few_pictures(digits, tmp_path, fields, message):
  with pytest.raises(UserError, match=message):
    split_of(digits, tmp_path, **fields)


def test_rows_are_recipes():
  config = config_of('augmentations')
  found = rows_of(config)
  assert list(found) == list(config.compared)
  assert found['hide_and_seek_batch'].copies == 2 and found['cutout_joint'].against == 'joint'
  assert found['salient_joint'].recipe.options['layer'] == 'conv2'
  assert dataclasses.replace(found['joint'].recipe, joint=False) == found['baseline'].recipe
  assert len(names_of_tests(config)) == 7


@pytest.mark.parametrize(
  ('row', 'message'),
  [
    ({'occlusoin': 'cutout'}, "config.rows.baseline: 'occlusoin' must be one of copies, against"),
    ({'occlusion': 'cut'}, 'config.rows.baseline: occlusion must be one of none, hide_and_seek'),
    ({'copies': 0}, 'config.rows.baseline.copies must be at least 1'),
    ({'against': 'nothing'}, 'config.rows.baseline.against must be one of'),
  ],
)
def test_a_row_that_is_none(row, message):
  config = config_of('augmentations')
  config.rows.baseline = row
  with pytest.raises(UserError, match=message):
    rows_of(config)
  with pytest.raises(UserError, match='config.compared must be one of'):
    rows_of(config_of('augmentations', compared=('base',)))
  with pytest.raises(UserError, match='config.reference must be one of'):
    rows_of(config_of('augmentations', reference='base'))


@pytest.mark.parametrize(
  ('name', 'fields', 'message'),
  [
    ('roar', {'shares': (0.0, 0.5)}, 'config.shares must be above 0 and at most 1'),
    ('roar', {'images': 'chelsea'}, "'chelsea' has 0 labelled classes"),
    ('roar', {'methods': ()}, 'config.methods: give at least one'),
    ('roar', {'target': '7'}, 'config.target must be one of'),
    ('augmentations', {'keeps': (2.0,)}, 'config.keeps must be between 0 and 1, not 2'),
    ('augmentations', {'layer': 'conv9'}, "no layer 'conv9'"),
  ],
)
def test_a_study_that_cannot_be_made(tmp_path, name, fields, message):
  with pytest.raises(UserError, match=message):
    TASKS[name](config_of(name, **fields), str(tmp_path))


@pytest.mark.slow
def test_what_was_trained_on_hidden_squares_is_better_at_them(tmp_path, monkeypatch):
  small = {'train_count': 300, 'epochs': 6, 'seeds': 2}
  compared = ('baseline', 'joint', 'salient_joint')
  config = config_of('augmentations', compared=compared, **small)
  assert TASKS['augmentations'](config, str(tmp_path / 'whole')) == 0
  found = {
    (row['row'], row['test'], row['against']): row
    for row in rows(tmp_path / 'whole' / 'augmentations_means.csv')
  }
  square = found['salient_joint', 'salient_square', 'joint']
  assert float(square['difference']) > 0.03
  # Without batch normalisation and dropout, two copies of a picture teach what one does.
  same = found['joint', 'plain', 'baseline']
  assert abs(float(same['difference'])) < 0.01

  # Begun with fewer rows and seeds, it comes to the same.
  first = config_of('augmentations', compared=compared[1:], **small | {'seeds': 1})
  TASKS['augmentations'](first, str(tmp_path / 'parts'))
  TASKS['augmentations'](config, str(tmp_path / 'parts'))
  for name in ('augmentations.csv', 'augmentations_means.csv', 'augmentations.png'):
    parts, whole = (tmp_path / folder / name for folder in ('parts', 'whole'))
    assert parts.read_bytes() == whole.read_bytes()

  # Nothing is trained again.
  monkeypatch.setattr('perturb.tasks.augmentations.initialised', None)
  TASKS['augmentations'](config, str(tmp_path / 'whole'))


@pytest.mark.slow
def test_what_a_gradient_marks_is_missed_more_than_random_pixels(tmp_path, monkeypatch):
  small = {'train_count': 300, 'epochs': 6, 'seeds': 2, 'shares': (0.7,)}
  config = config_of('roar', methods=('gradient',), **small)
  assert TASKS['roar'](config, str(tmp_path)) == 0
  whole, random, gradient = rows(tmp_path / 'roar_means.csv')
  assert (whole['method'], random['method'], gradient['method']) == ('', 'random', 'gradient')
  assert float(whole['accuracy']) > float(random['accuracy']) > float(gradient['accuracy']) + 0.1
  assert float(gradient['difference']) == pytest.approx(
    float(gradient['accuracy']) - float(random['accuracy']), abs=1e-5
  )
  assert len(rows(tmp_path / 'roar.csv')) == 6
  table = (tmp_path / 'roar.csv').read_bytes()
  monkeypatch.setattr('perturb.tasks.roar.initialised', None)  # Nothing is trained again.
  TASKS['roar'](config, str(tmp_path))
  assert (tmp_path / 'roar.csv').read_bytes() == table
