"""The study of relevant features from end to end, on a few rendered flowers and a tiny network."""

import csv
import dataclasses
import json
import pathlib
import shutil

import numpy as np
from PIL import Image
import pytest

from concepts.tasks import explain, relevant
from configs import an8flower, relevant_an8flower
from configs import relevant as configs
from perturb.data.digits import load_digits
from perturb.data.records import Parts
from perturb.errors import UserError
from perturb.run import subjects
from perturb.store.results import Results
from perturb.tasks.an8flower import run as render
from tests.tasks.test_extremal import files


@pytest.fixture(scope='module')
def flowers(tmp_path_factory):
  """Eight pictures, of four viewpoints, of each of two classes."""
  folder = tmp_path_factory.mktemp('flowers')
  config = an8flower.get_config()
  config.update({'variant': 'part-2c', 'viewpoints': 4, 'crops': 1, 'rotations': 2})
  render(config, str(folder))
  return f'an8flower:{folder / "an8Flower_part_2c"}'


@pytest.fixture(scope='module', autouse=True)
def halves():
  """Each half of a picture is a part of it; without it, it is grey there."""

  def dataset_of(config):
    dataset = subjects.dataset_of(config)

    def parts(index):
      picture = np.asarray(dataset.picture(index)[0])
      top = np.arange(len(picture))[:, None] < np.full(picture.shape[1], len(picture) // 2)
      masks = np.stack([top, ~top])
      without = [np.where(mask[..., None], np.uint8(200), picture) for mask in masks]
      return Parts(('top', 'bottom'), masks, without.__getitem__)

    return dataclasses.replace(dataset, parts=parts)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(relevant, 'dataset_of', dataset_of)
    yield


def config_of(flowers, **changes):
  config = relevant_an8flower.get_config()
  config.update({
    'images': flowers, 'folds': 2, 'explained': 3, 'methods': ('gradient',), 'averaged': 3,
    'removed': (1, 2), 'repeats': 2, 'ablated': 6, 'batch': 4, 'figures': 4,
  })  # fmt: skip
  config.training.update({'network': 'mnist', 'epochs': 2, 'batch_size': 4})
  config.update(changes)
  return config


@pytest.fixture(scope='module')
def study(flowers, tmp_path_factory):
  """(the workdir of a study, its config)."""
  folder, config = tmp_path_factory.mktemp('study'), config_of(flowers)
  assert relevant.run(config, str(folder)) == 0
  return folder, config


def rows(path):
  with open(path, newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


def test_it_leaves_tables_figures_and_a_page(study):
  folder, _ = study
  for name in ('average_images', 'explanations', 'ablation', 'overlap', 'parts'):
    assert (folder / f'{name}.png').read_bytes().startswith(b'\x89PNG')
  page = (folder / 'relevant.html').read_text()
  assert 'class1_img0_p1_r1' in page and 'thorns' in page
  assert [row['class'] for row in rows(folder / 'classes.csv')] == ['balls', 'thorns']
  summary = json.loads((folder / 'summary.json').read_text())
  assert (summary['images'], summary['done'], summary['failed']) == (16, 16, 0)


def test_the_weights_are_sparse_inside_the_ball_and_of_each_fold(study):
  folder, config = study
  found = rows(folder / 'weights.csv')
  assert {(row['features'], row['held_out']) for row in found} == {
    ('all', '-1'), ('all', '0'), ('all', '1'), ('conv', '0'),
  }  # fmt: skip
  norms = {}
  for row in found:
    key = row['features'], row['held_out'], row['class']
    norms[key] = norms.get(key, 0) + abs(float(row['weight']))
    if row['features'] == 'conv':
      assert row['layer'] in ('conv1', 'pool1', 'conv2', 'pool2')
  assert max(norms.values()) <= config.mu * (1 + 1e-6)
  for row in rows(folder / 'lasso.csv'):
    assert float(row['gap']) <= config.tolerance * float(row['images'])


def test_an_image_is_explained_by_the_features_of_the_folds_that_it_is_not_in(study):
  """The contributions in the results are w * x of that fold's weights, worked out apart."""
  folder, config = study
  responses, found = Results(folder / 'responses'), Results(folder / explain.PART)
  table = rows(folder / 'weights.csv')
  folds = {row['image']: row['fold'] for row in rows(folder / 'overlap_images.csv')}
  assert len(folds) == 6 and set(folds.values()) == {'0', '1'}
  for name, fold in folds.items():
    x, target = responses.field(name, 'responses'), int(responses.field(name, 'target'))
    products = {
      int(row['feature']): float(row['weight']) * x[int(row['feature'])]
      for row in table
      if (row['features'], row['held_out'], int(row['target'])) == ('all', fold, target)
    }
    speaking = sorted((one for one in products.values() if one > 0), reverse=True)[: config.top]
    each = found.field(name, 'relevant/each')
    assert each.shape == (config.top, 28, 28)
    assert [bool(one.any()) for one in each][len(speaking) :] == [False] * (
      config.top - len(speaking)
    )
    np.testing.assert_array_equal(found.field(name, 'relevant/heatmap'), each.max(0))


def test_the_table_is_the_mean_of_the_images_by_fold(study):
  folder, _ = study
  images = rows(folder / 'overlap_images.csv')
  for row in rows(folder / 'overlap.csv'):
    for fold in ('0', '1'):
      classes = [
        np.mean(
          [float(i[row['method']]) for i in images if (i['fold'], i['class']) == (fold, name)]
        )
        for name in ('balls', 'thorns')
      ]
      assert float(row[f'fold_{fold}']) == pytest.approx(100 * np.mean(classes), abs=0.006)
    both = [float(row['fold_0']), float(row['fold_1'])]
    assert float(row['deviation']) == pytest.approx(np.std(both), abs=0.01)


def test_of_two_parts_a_method_ranks_each_image_rightly_or_not(study):
  """The correlations are 1 and -1: of one image of a class, and the mean of two of the other."""
  folder, _ = study
  found = rows(folder / 'parts.csv')
  assert {row['method'] for row in found} == {row['method'] for row in rows(folder / 'overlap.csv')}
  gradient = [row for row in found if row['method'] == 'gradient']
  assert [row['evidence'] for row in gradient] == ['sum', 'mean']
  for row in gradient:
    for fold in ('fold_0', 'fold_1'):
      assert float(row[fold]) in (-1, -0.5, 0, 0.5, 1)
  whole = Results(folder / explain.PART)
  for name in Results(folder / explain.PART / 'parts'):
    assert Results(folder / explain.PART / 'parts').field(name, 'target') == whole.field(
      name.split(' ')[0], 'target'
    )


def test_the_ablation_begins_at_the_accuracy_of_the_network(study):
  folder, _ = study
  found = rows(folder / 'ablation.csv')
  assert {row['features'] for row in found} == {'All', 'OnlyConv', 'Random', 'Top activations'}
  whole = {row['accuracy'] for row in found if row['removed'] == '0'}
  assert len(whole) == 1
  assert all(0 <= float(row['accuracy']) <= 1 for row in found)


def contents(folder):
  """What a study computes, but for times, and the network, whose files have names of their own."""
  skipped = ('training/', 'timings', 'metrics/', 'versions.json', '.lock')
  return {n: data for n, data in files(folder).items() if not any(s in n for s in skipped)}


def test_stopped_between_its_parts_and_started_again_it_ends_with_the_same_bytes(
  study, flowers, tmp_path, monkeypatch
):
  folder, _ = study

  def stop(*_):
    raise KeyboardInterrupt

  for part in ('respond', 'explain', 'show'):
    monkeypatch.setattr(relevant, part, stop)
    with pytest.raises(KeyboardInterrupt):
      relevant.run(config_of(flowers), str(tmp_path))
    monkeypatch.undo()
  assert relevant.run(config_of(flowers), str(tmp_path)) == 0
  assert contents(tmp_path) == contents(folder)
  written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('results.zarr/**/c/*')}
  assert written
  assert relevant.run(config_of(flowers, figures=2), str(tmp_path)) == 0
  assert {path: path.stat().st_mtime_ns for path in written} == written  # Nothing is computed.


def test_a_mask_of_another_size_is_named_and_the_others_are_measured(flowers, tmp_path, capsys):
  shutil.copytree(pathlib.Path(flowers.removeprefix('an8flower:')).parent, tmp_path / 'data')
  folder = tmp_path / 'data' / 'an8Flower_part_2c'
  config = config_of(f'an8flower:{folder}', network='mnist', weights='random', labels='rank')
  assert relevant.run(config, str(tmp_path / 'whole')) == 0
  name = rows(tmp_path / 'whole' / 'overlap_images.csv')[0]['image']
  (mask,) = pathlib.Path(f'{folder}_MASK').rglob(f'{name}.png')
  Image.new('L', (90, 90), 255).save(mask)
  capsys.readouterr()
  assert relevant.run(config, str(tmp_path / 'whole')) == 1
  assert f'{name}.png: has 250 x 250 pixels, but its mask has 90 x 90' in capsys.readouterr().err
  found = {row['image']: row['gradient'] for row in rows(tmp_path / 'whole' / 'overlap_images.csv')}
  assert found.pop(name) == 'nan' and all(float(area) >= 0 for area in found.values())


def test_other_images_are_not_explained_by_weights_that_were_found_with_them(tmp_path):
  """The folds are dealt anew: what was held out no longer is."""
  config = configs.get_config()
  config.update({
    'network': 'mnist', 'weights': 'random', 'folds': 2, 'explained': 2, 'averaged': 2,
    'ablated': 4, 'removed': (1,), 'repeats': 1, 'batch': 4, 'figures': 1, 'labels': 'rank',
  })  # fmt: skip
  digits = load_digits()
  for index in [0, 1, 2, 3, 500, 501, 502, 503]:
    place = tmp_path / 'data' / str(digits.labels[index]) / f'{index}.png'
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(digits.images[index]).save(place)
  config.images = f'classes:{tmp_path / "data"}'
  assert relevant.run(config, str(tmp_path / 'run')) == 0
  Image.fromarray(digits.images[4]).save(tmp_path / 'data' / '0' / '4.png')
  with pytest.raises(UserError, match='the set of images is not that of its results'):
    relevant.run(config, str(tmp_path / 'run'))


def test_layers_without_extent_alone_and_a_class_that_no_image_has(flowers, tmp_path, capsys):
  """No feature with extent can be chosen; what is called otherwise has no features, and is said."""
  config = config_of(flowers, network='mnist', weights='random', labels='rank', layers=('relu3',))
  assert relevant.run(config, str(tmp_path)) == 0
  assert 'images are taken for classes that none of the images has' in capsys.readouterr().err
  assert {row['features'] for row in rows(tmp_path / 'weights.csv')} == {'all'}
  table = {row['method']: float(row['mean']) for row in rows(tmp_path / 'overlap.csv')}
  assert table['relevant_upsampled'] == 0 < table['gradient']


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('mu', 0.0, 'config.mu must be larger than 0, not 0.0'),
    ('mode', 'papers', 'config.mode must be one of paper, released'),
    ('images', 'chelsea, coffee', 'must have labels'),
    ('layers', ('conv9',), "MNISTNet has no layer 'conv9'"),
    ('layers', ('fc4',), "layer 'fc4' is that of the classes"),
    ('methods', ('gradiant',), "'gradiant'"),
    ('removed', (0, 1), 'config.removed must be numbers of features from 1'),
    ('folds', 0, 'config.folds must be at least 1'),
  ],
)
def test_what_cannot_be_studied_is_refused_in_a_line(flowers, tmp_path, field, value, message):
  config = config_of(flowers, network='mnist', weights='random', labels='rank')
  if field == 'images':
    config.network = ''
  config[field] = value
  with pytest.raises(UserError, match=message):
    relevant.run(config, str(tmp_path))


def test_one_class_alone_and_images_without_labels_are_refused(tmp_path):
  config = configs.get_config()
  config.update({'network': 'mnist', 'weights': 'random', 'split': '[:20]', 'folds': 2})
  with pytest.raises(UserError, match="all images are of one class, '0'"):
    relevant.run(config, str(tmp_path / 'one'))
  config.update({'images': 'chelsea, coffee', 'split': ''})
  with pytest.raises(UserError, match="'chelsea, coffee' has no labels"):
    relevant.run(config, str(tmp_path / 'none'))
