"""The benchmark, end to end on small pictures with exact masks."""

import csv
import json
import shutil

import numpy as np
from PIL import Image
import pytest

from configs import benchmark as config_file
from configs import heatmaps as heatmaps_config
from perturb import evaluate
from perturb.data.datasets import open_dataset
from perturb.errors import UserError
from perturb.store.results import Results
from perturb.tasks import benchmark, heatmaps
from perturb.tasks.metrics import METRICS

SIDE, COUNT = 56, 6


@pytest.fixture(scope='module')
def annotated(tmp_path_factory):
  """Six pictures of 56 x 56 pixels, a bright blob in each, with its mask; as labelled digits."""
  folder = tmp_path_factory.mktemp('annotated')
  (folder / 'masks').mkdir()
  random, lines = np.random.RandomState(0), ['image,class,mask']
  for i in range(COUNT):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    row, column = random.randint(10, SIDE - 10, 2)
    mask = np.hypot(rows - row, columns - column) < 8
    picture = np.where(mask, 220, random.randint(0, 90, (SIDE, SIDE))).astype(np.uint8)
    Image.fromarray(picture).save(folder / f'{i}.png')
    Image.fromarray((mask * 255).astype(np.uint8)).save(folder / f'masks/{i}.png')
    lines.append(f'{i}.png,{i % 3},masks/{i}.png')
  (folder / 'labels.csv').write_text('\n'.join(lines) + '\n')
  return folder


def quick(annotated, **fields):
  config = config_file.get_config()
  config.images, config.network, config.weights = f'masks:{annotated}', 'mnist', 'random'
  config.methods, config.metrics = ('gradient',), ('pointing', 'overlap')
  config.steps, config.depths, config.resamples, config.tolerance = 7, 3, 50, 3
  config.figures, config.batch = 0, 3
  config.update(fields)
  return config


def rows(path):
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


def masks_of(annotated):
  return [np.asarray(Image.open(annotated / f'masks/{i}.png')) > 0 for i in range(COUNT)]


def numbers(work, method, column):
  return [float(r[column] or 'nan') for r in rows(work / 'metrics.csv') if r['method'] == method]


def mean(work, method, column):
  (one,) = (
    r for r in rows(work / 'benchmark.csv') if (r['method'], r['metric']) == (method, column)
  )
  return one


@pytest.fixture(scope='module')
def whole(annotated, tmp_path_factory):
  """A run of every metric of pictures whose parts are not known, and its config."""
  work = tmp_path_factory.mktemp('whole')
  config = quick(annotated, metrics=tuple(name for name, one in METRICS.items() if not one.parts))
  assert benchmark.run(config, str(work)) == 0
  return work, config


def test_every_metric_is_what_its_function_says_of_the_stored_heatmaps(annotated, whole):
  work, config = whole
  stored, masks = Results(work), masks_of(annotated)
  heat = np.stack([stored.field(name, 'gradient/heatmap') for name in stored.names])
  for column, expected in {
    'pointing_pairs': evaluate.pointing_game(heat, masks, tolerance=3),
    'iou_auc': evaluate.iou_curves(heat, masks).areas,
    'relevance_mass': evaluate.relevance_mass(heat, masks),
    'relevance_rank': evaluate.relevance_rank(heat, masks),
  }.items():
    np.testing.assert_allclose(numbers(work, 'gradient', column), expected, rtol=1e-5)
    assert float(mean(work, 'gradient', column)['mean']) == pytest.approx(
      np.mean(expected), rel=1e-5
    )
  classes = np.array([stored.field(name, 'target') for name in stored.names])
  hits = evaluate.pointing_game(heat, masks, tolerance=3)
  of_classes = evaluate.mean_over_classes(hits, classes, 10).over_classes
  assert float(mean(work, 'gradient', 'pointing')['mean']) == pytest.approx(of_classes, rel=1e-5)
  for column in ('deletion', 'insertion', 'box_occlusion', 'class_sensitivity', 'sanity'):
    assert np.isfinite(numbers(work, 'gradient', column)).all()
  curve = np.stack([stored.field(n, 'gradient_deletion/deletion_curve') for n in stored.names])
  np.testing.assert_allclose(
    numbers(work, 'gradient', 'deletion'), np.asarray(evaluate.area_under(curve)), rtol=1e-4
  )
  assert max(numbers(work, 'gradient', 'sanity')) < 0.9  # Other weights than the random ones.
  assert np.isnan(numbers(work, 'centre', 'sanity')).all()  # It has no method to ask.
  for name in ('benchmark', 'overlap', 'deletion', 'sanity'):
    assert Image.open(work / f'{name}.png').width > 300
  assert json.loads((work / 'config.json').read_text())['metrics'] == list(config.metrics)


def test_another_start_writes_the_same_and_methods_and_metrics_can_be_added(annotated, whole):
  work, config = whole
  tables = ('metrics.csv', 'benchmark.csv', 'benchmark.md', 'differences.csv')
  before = {name: (work / name).read_bytes() for name in tables}
  assert benchmark.run(config, str(work)) == 0
  assert {name: (work / name).read_bytes() for name in tables} == before
  first = numbers(work, 'gradient', 'relevance_rank')
  assert benchmark.run(quick(annotated, methods=('gradient', 'guided_backprop')), str(work)) == 0
  assert numbers(work, 'gradient', 'relevance_rank') == first
  assert len(numbers(work, 'guided_backprop', 'pointing')) == COUNT
  assert {row['metric'] for row in rows(work / 'differences.csv')} == {
    'pointing', 'pointing_difficult', 'pointing_pairs',
    'iou_auc', 'relevance_mass', 'relevance_rank',
  }  # fmt: skip


def test_heatmaps_of_other_origin_score_as_they_should(annotated, tmp_path, capsys):
  folder = tmp_path / 'perfect'
  folder.mkdir()
  masks = masks_of(annotated)
  names = [source.name for source in open_dataset(f'masks:{annotated}').sources]
  for name, mask in zip(names[:-2], masks[:-2], strict=True):
    np.save(folder / f'{name}.npy', mask.astype(np.float32))
  np.save(folder / f'{names[-2]}.npy', np.zeros((0, 3), np.float32))
  np.save(folder / f'{names[0]}.npy', np.full((28, 28), np.nan, np.float32))
  config = quick(annotated, methods=(), heatmaps=str(folder), baselines=())
  assert benchmark.run(config, str(tmp_path / 'work')) == 3
  said = capsys.readouterr().err
  assert f'{folder}: {names[-2]} has the shape (0, 3); a heatmap is [h, w]' in said
  reasons = [row['reason'] for row in rows(tmp_path / 'work/failures.csv')]
  assert f'{folder}: {names[0]} has values that are not numbers' in reasons
  assert any(f'{folder}: has no heatmap of it' in reason for reason in reasons)
  work = tmp_path / 'work'
  assert numbers(work, 'perfect', 'pointing')[1:-2] == [1] * (COUNT - 3)
  assert np.isnan(numbers(work, 'perfect', 'pointing')[-2:]).all()
  assert min(numbers(work, 'perfect', 'relevance_rank')[1:-2]) > 0.9
  assert mean(work, 'perfect', 'pointing')['left_out'] == '3'


def test_it_reads_the_store_of_a_run_of_heatmaps(annotated, tmp_path):
  config = heatmaps_config.get_config()
  config.images, config.network, config.weights = f'masks:{annotated}', 'mnist', 'random'
  config.target, config.method, config.figures = 'label', 'gradient', 0
  assert heatmaps.run(config, str(tmp_path / 'run')) == 0
  adopted = quick(annotated, methods=(), heatmaps=str(tmp_path / 'run'))
  assert benchmark.run(adopted, str(tmp_path / 'work')) == 0
  stored, expected = Results(tmp_path / 'work'), Results(tmp_path / 'run')
  for name in expected.names:
    np.testing.assert_array_equal(
      stored.field(name, 'gradient/heatmap'), expected.field(name, 'heatmap')
    )


def test_only_classes_that_the_network_knows_count(whole):
  work, config = whole
  stored = Results(work)
  ranks = np.array([int(stored.field(name, 'rank')) for name in stored.names])
  config = config.copy_and_resolve_references()
  config.top = int(np.median(ranks))
  assert benchmark.run(config, str(work)) == 0
  known = ~np.isnan(numbers(work, 'gradient', 'pointing_pairs'))
  np.testing.assert_array_equal(known, ranks <= config.top)


def test_heatmaps_of_the_size_of_their_pictures_are_fitted_as_these(tmp_path):
  """Wide pictures, of which the crop keeps the middle: a heatmap equal to the mask is perfect."""
  random = np.random.RandomState(2)
  for folder in ('masks', 'perfect'):
    (tmp_path / folder).mkdir()
  lines = ['image,class,mask']
  for i in range(3):
    mask = np.zeros((56, 112), bool)
    mask[20:34, 50 + i : 64 + i] = True
    Image.fromarray(random.randint(0, 255, mask.shape).astype(np.uint8)).save(tmp_path / f'{i}.png')
    Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / f'masks/{i}.png')
    np.save(tmp_path / f'perfect/{i}_{i}.npy', mask.astype(np.float32))
    lines.append(f'{i}.png,{i},masks/{i}.png')
  (tmp_path / 'labels.csv').write_text('\n'.join(lines) + '\n')
  config = quick(tmp_path, methods=(), heatmaps=str(tmp_path / 'perfect'), tolerance=0)
  assert benchmark.run(config, str(tmp_path / 'work')) == 0
  assert numbers(tmp_path / 'work', 'perfect', 'pointing') == [1, 1, 1]
  assert min(numbers(tmp_path / 'work', 'perfect', 'relevance_mass')) > 0.75


def test_the_tolerance_is_in_pixels_of_the_picture_whether_it_is_cropped_or_not(tmp_path):
  (tmp_path / 'point').mkdir()
  (tmp_path / 'masks').mkdir()
  lines = ['image,class,mask']
  for i, shape in enumerate([(280, 280), (280, 300)]):
    mask, heat = np.zeros(shape, bool), np.zeros(shape, np.float32)
    mask[100:160, 100:160], heat[130:140, 200:210] = True, 1
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / f'{i}.png')
    Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / f'masks/{i}.png')
    np.save(tmp_path / f'point/{i}_{i}.npy', heat)
    lines.append(f'{i}.png,{i},masks/{i}.png')
  (tmp_path / 'labels.csv').write_text('\n'.join(lines) + '\n')
  config = quick(tmp_path, methods=(), heatmaps=str(tmp_path / 'point'), metrics=('pointing',))
  for tolerance, hits in ((30, [0, 0]), (60, [1, 1])):
    config.tolerance = tolerance
    assert benchmark.run(config, str(tmp_path / 'work')) == 0
    assert numbers(tmp_path / 'work', 'point', 'pointing') == hits


def test_heatmaps_of_another_class_or_place_are_refused(annotated, tmp_path, capsys):
  config = heatmaps_config.get_config()
  config.images, config.network, config.weights = f'masks:{annotated}', 'mnist', 'random'
  config.method, config.figures = 'gradient', 0  # Of the class predicted.
  assert heatmaps.run(config, str(tmp_path / 'run')) == 0
  adopted = quick(annotated, methods=(), heatmaps=str(tmp_path / 'run'))
  asked = [int(i) % 3 for i in range(COUNT)]
  predicted = [int(Results(tmp_path / 'run').field(n, 'target')) for n in Results(tmp_path / 'run')]
  wrong = sum(a != p for a, p in zip(asked, predicted, strict=True))
  assert wrong and benchmark.run(adopted, str(tmp_path / 'work')) == wrong
  assert 'set config.target alike' in capsys.readouterr().err
  with pytest.raises(
    UserError, match=r"holds heatmaps of 'gradient' from .*run, and these are comp"
  ):
    benchmark.run(quick(annotated), str(tmp_path / 'work'))


def test_means_over_classes_and_their_differences_agree(annotated, tmp_path):
  """The pairs of one class are many; those of the others few."""
  for name, hits in (('a', [1, 1, 1, 1, 0, 0]), ('b', [0, 0, 0, 0, 1, 1])):
    (tmp_path / name).mkdir()
    for i, (mask, hit) in enumerate(zip(masks_of(annotated), hits, strict=True)):
      np.save(tmp_path / f'{name}/{i}_{i % 3}.npy', (mask if hit else ~mask).astype(np.float32))
  places = f'{tmp_path}/a, {tmp_path}/b'
  for mode, count in (('paper', 3), ('torchray', 3)):
    config = quick(annotated, methods=(), heatmaps=places, mode=mode, tolerance=1)
    assert benchmark.run(config, str(tmp_path / 'work')) == 0
    work = tmp_path / 'work'
    means = {one: float(mean(work, one, 'pointing')['mean']) for one in ('a', 'b')}
    assert means['a'] == pytest.approx((1 + 0.5 + 0.5) / count)
    (difference,) = (
      row for row in rows(work / 'differences.csv')
      if (row['metric'], row['method'], row['other']) == ('pointing', 'a', 'b')
    )  # fmt: skip
    assert float(difference['difference']) == pytest.approx(means['a'] - means['b'], abs=3e-6)


@pytest.mark.parametrize(('mode', 'expected'), [('paper', 1), ('torchray', 2 / 3)])
def test_a_class_without_pairs_counts_in_torchrays_mode_alone(annotated, tmp_path, mode, expected):
  """Of three classes the first two pictures show two, and both are hits."""
  (tmp_path / 'a').mkdir()
  for i, mask in enumerate(masks_of(annotated)[:2]):
    np.save(tmp_path / f'a/{i}_{i}.npy', mask.astype(np.float32))
  config = quick(annotated, methods=(), heatmaps=str(tmp_path / 'a'), mode=mode, split='[:2]')
  assert benchmark.run(config, str(tmp_path / 'work')) == 0
  assert float(mean(tmp_path / 'work', 'a', 'pointing')['mean']) == pytest.approx(
    expected, abs=1e-5
  )


def test_a_metric_that_no_method_has_leaves_the_others(annotated, tmp_path):
  (tmp_path / 'a').mkdir()
  for i, mask in enumerate(masks_of(annotated)):
    np.save(tmp_path / f'a/{i}_{i % 3}.npy', mask.astype(np.int64))
  config = quick(
    annotated, methods=(), heatmaps=str(tmp_path / 'a'), metrics=('pointing', 'sanity')
  )
  assert benchmark.run(config, str(tmp_path / 'work')) == 0
  assert numbers(tmp_path / 'work', 'a', 'pointing') == [1] * COUNT


def test_methods_that_cannot_be_compiled_are_measured_too(annotated, tmp_path):
  config = quick(annotated, metrics=('class_sensitivity', 'sanity'), methods=('minimal_image',))
  config.split = '[:2]'
  assert benchmark.run(config, str(tmp_path / 'work')) == 0
  assert len(numbers(tmp_path / 'work', 'minimal_image', 'sanity')) == 2


@pytest.mark.parametrize(
  ('fields', 'match'),
  [
    ({'metrics': ()}, 'config.metrics: give at least one'),
    ({'metrics': ('pointng',)}, "config.metrics .*'pointng'"),
    ({'images': 'coffee', 'target': ''}, "'pointing' needs to know where the objects are"),
    ({'metrics': ('parts',)}, "config.metrics: 'parts' needs the pictures without each"),
    ({'heatmaps': '/no/such'}, "config.heatmaps: the folder '/no/such' does not exist"),
    ({'baselines': ('middle',)}, "config.baselines .*'middle'"),
    ({'threshold': 'values'}, "config.threshold .*'values'"),
    ({'steps': 1}, 'config.steps must be at least 2'),
  ],
)
def test_a_config_that_does_not_fit_is_refused(annotated, tmp_path, fields, match):
  with pytest.raises(UserError, match=match):
    benchmark.run(quick(annotated, **fields), str(tmp_path / 'work'))


def test_a_mask_that_cannot_be_read_is_named_and_the_rest_is_measured(annotated, tmp_path, capsys):
  copy = tmp_path / 'copy'
  shutil.copytree(annotated, copy)
  (copy / 'masks/2.png').write_bytes(b'no picture')
  assert benchmark.run(quick(copy), str(tmp_path / 'work')) == 1
  assert 'masks/2.png' in capsys.readouterr().err
  (failure,) = rows(tmp_path / 'work/failures.csv')
  assert failure['method'] == 'annotation' and 'masks/2.png' in failure['reason']
  hits = numbers(tmp_path / 'work', 'gradient', 'pointing')
  assert np.isnan(hits).sum() == 1
