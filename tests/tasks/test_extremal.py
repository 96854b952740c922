import csv
import json
import os
import pathlib
import shutil

import jax
import numpy as np
from PIL import Image
import pytest

from configs import extremal, extremal_paper, extremal_robust, extremal_torchray
from perturb.data.digits import load_digits
from perturb.errors import UserError
from perturb.methods.extremal import settings_of
from perturb.store import files as store_files
from perturb.store.explanations import Explanations
from perturb.tasks.extremal import run
from tests import commands

FEW = ['--config.settings.iterations=3', '--config.areas=(0.1, 0.3)']


def command(*arguments):
  """Runs the README's command; returns the finished process."""
  cache = f'--compilation_cache={jax.config.jax_compilation_cache_dir}'
  return commands.run('perturb.main', cache, *arguments)


def files(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file() and not {'timings.zarr', 'metrics'} & set(path.parts)
  }


@pytest.fixture(scope='module')
def first(tmp_path_factory):
  """A short run of the README's command on a good, a missing and a broken picture."""
  folder = tmp_path_factory.mktemp('run')
  (folder / 'broken.jpg').write_bytes(b'\xff\xd8\xff nothing')
  done = command(
    '--config=configs/extremal.py',
    f'--workdir={folder}/out',
    *FEW,
    f'--config.images=chelsea, {folder}/broken.jpg, {folder}/none.png, coffee',
  )
  return folder, done


def test_a_broken_picture_is_named_and_the_others_are_finished(first):
  folder, done = first
  assert done.returncode == 1
  lines = done.stderr.splitlines()
  assert sum(f'error: {folder}/broken.jpg: not an image' in line for line in lines) == 1
  assert sum(f"error: images: '{folder}/none.png' does not exist" in line for line in lines) == 1
  assert 'Traceback' not in done.stderr
  assert '2 of 4 explained' in done.stdout
  with open(folder / 'out' / 'failures.csv') as file:
    assert len(list(csv.DictReader(file))) == 2


def test_the_table_has_a_row_for_each_image_and_area(first):
  rows = [
    line.split() for line in first[1].stdout.splitlines() if line.startswith(('chelsea', 'coffee'))
  ]
  assert [(row[0], row[-5]) for row in rows] == [
    ('chelsea', '0.1'),
    ('chelsea', '0.3'),
    ('coffee', '0.1'),
    ('coffee', '0.3'),
  ]
  assert all(abs(float(row[-4]) - float(row[-5])) <= 0.005 for row in rows)


def test_the_workdir_holds_what_other_tools_read(first):
  out = first[0] / 'out'
  config = json.loads((out / 'config.json').read_text())
  assert config['settings']['iterations'] == 3 and config['mode'] == 'fast'
  found = Explanations(out)
  result = found['chelsea']
  assert found.names == ['chelsea', 'coffee'] and found.field('chelsea', 'target') == 285
  assert list(found) == found.names == list(found.keys()) and 'coffee' in found
  assert 'broken' not in found and found.get('broken') is None
  assert {name: result.masks.shape[1] for name, result in found.items()} == dict.fromkeys(found, 2)
  with pytest.raises(KeyError, match="no image 'chelsae'; did you mean 'chelsea'"):
    found['chelsae']
  with pytest.raises(UserError, match="no field 'mean_aera'; did you mean 'mean_area'"):
    found.field('coffee', 'mean_aera')
  assert result.masks.shape == (1, 2, 224, 224)
  np.testing.assert_allclose(result.areas, [0.1, 0.3])
  np.testing.assert_allclose(result.masks.mean((2, 3)), result.mean_area, atol=1e-6)
  with open(out / 'scores.csv') as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 4 and rows[0]['class'] == 'Egyptian cat'
  assert float(rows[0]['score']) == pytest.approx(float(result.scores[0, 0]), rel=1e-5)
  for name in ('growth', 'chelsea_growth', 'chelsea_mask', 'coffee_scores'):
    with Image.open(out / 'figures' / f'{name}.png') as figure:
      assert min(figure.size) > 200


def test_the_report_stands_alone(first):
  page = (first[0] / 'out' / 'report.html').read_text()
  assert 'Egyptian cat' in page and 'espresso' in page
  assert page.count('data:image/png;base64,') == 4
  outside = [word for word in page.split('"') if word.startswith(('http', '//'))]
  assert not outside
  data = json.loads(page.split('id="data">')[1].split('</script>')[0])
  assert [item['name'] for item in data['items']] == ['chelsea', 'coffee']


def test_a_second_run_computes_nothing_and_changes_nothing(first):
  folder, _ = first
  before = files(folder / 'out')
  done = command(
    '--config=configs/extremal.py',
    f'--workdir={folder}/out',
    *FEW,
    f'--config.images=chelsea, {folder}/broken.jpg, {folder}/none.png, coffee',
  )
  assert '2 of 4 explained' in done.stdout
  table = [line for line in first[1].stdout.splitlines() if 'compilation' not in line]
  assert done.stdout.splitlines() == table
  assert files(folder / 'out') == before


def test_the_same_config_elsewhere_gives_the_same_bytes(first, tmp_path):
  config = extremal.get_config()
  config.images, config.areas, config.settings.iterations = 'chelsea', (0.1, 0.3), 3
  assert run(config, str(tmp_path)) == 0
  for name in ('parameters', 'scores'):
    path = pathlib.Path('results.zarr', '224x224', name, 'c', '0')
    assert files(tmp_path / path) == files(first[0] / 'out' / path) != {}


def test_another_config_in_the_same_workdir_is_refused(first):
  done = command('--config=configs/extremal.py', f'--workdir={first[0]}/out', '--config.seed=1')
  assert done.returncode == 1
  assert 'another config: areas was [0.1, 0.3], is [0.05, 0.1' in done.stderr
  assert 'seed was 0, is 1; settings.iterations was 3, is 50; use another' in done.stderr


def test_images_that_are_not_there_are_said_before_another_config(first, capsys):
  config = extremal.get_config()
  config.images = 'nothing/*.jpg'
  with pytest.raises(UserError, match=r"config.images: 'nothing/\*.jpg' matches no file"):
    run(config, str(first[0] / 'out'))
  config.images = 'chelsea, nothing/*.jpg'
  with pytest.raises(UserError, match='another config'):
    run(config, str(first[0] / 'out'))
  assert "'nothing/*.jpg' matches no file" in capsys.readouterr().err


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (
      ['--config=configs/extremal.py', '--config.area=0.1'],
      "no field 'area'; did you mean 'areas'",
    ),
    (
      ['--config=configs/extremal.py', '--config.settings.iteration=1'],
      "mode 'fast' has no setting 'iteration'; did you mean 'iterations'",
    ),
    (
      ['--config=configs/extremal.py', '--config.settings.iterations=many'],
      "mode 'fast': iterations must be a whole number, at least 1, not 'many'",
    ),
    (
      ['--config=configs/heatmaps.py', '--config.options.layr=blocks.9'],
      "method 'grad_cam' has no option 'layr'; did you mean 'layer'",
    ),
    (
      ['--config=configs/compare.py', '--config.options.rise.masks=x'],
      "method 'rise': masks must be a whole number, at least 1, not 'x'",
    ),
    (
      ['--config=configs/compare.py', '--config.options.grad_camm.layer=head'],
      "method 'grad_camm' is not known; did you mean 'grad_cam'",
    ),
    (['--config=configs/compare.py', '--config.options.rise=3'], '3 is no option of a method'),
    (['--config=configs/box.py', '--config.options.size=3'], "no field 'options'"),
    (
      ['--config=configs/extremal.py', '--config.areas=(0.1, 1.5)'],
      'area 1.5: an area is a fraction',
    ),
    (['--config=configs/extremal.py', '--config.target=Egiptian cat'], "'Egyptian cat'"),
    (
      ['--config=configs/extremal.py', '--config.images=nothing/*.jpg'],
      "'nothing/*.jpg' matches no file",
    ),
    (['--config=configs/extremal.py', '--config.levels=x'], 'levels'),
    (['--config=configs/extremal.py', '--config.weights=README.md'], 'README.md: '),
    (['--config=configs/none.py'], 'configs/none.py'),
    (['--config=configs/common.py'], 'no experiment: it has no get_config()'),
    (['--config=configs/box.py', '--config.task=bix'], "no task 'bix'; did you mean 'box'"),
    ([], '--config is required'),
    (['--config=configs/extremal.py', '--nonsense'], 'nonsense'),
  ],
)
def test_a_mistake_on_the_command_line_is_one_line(arguments, message, tmp_path):
  done = command(f'--workdir={tmp_path}/out', *arguments)
  assert done.returncode == 1
  errors = [line for line in done.stderr.splitlines() if line.strip()]
  assert len(errors) == 1, done.stderr
  assert errors[0].startswith('error: ')
  assert message in errors[0]


def test_another_picture_of_the_same_name_is_refused(first, tmp_path):
  Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / 'chelsea.png')
  done = command(
    '--config=configs/extremal.py',
    f'--workdir={first[0]}/out',
    *FEW,
    f'--config.images={tmp_path}/chelsea.png',
  )
  assert done.returncode == 1
  assert "the workdir holds another picture named 'chelsea'" in done.stderr


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(UserError, match='workdir .*file/out: cannot be written'):
    run(extremal.get_config(), str(tmp_path / 'file' / 'out'))


def test_a_damaged_result_is_named(first, tmp_path):
  shutil.copytree(first[0] / 'out', tmp_path / 'out')
  path = tmp_path / 'out' / 'results.zarr' / '224x224' / 'parameters'
  for chunk in path.glob('c/*/*/*/*'):
    chunk.write_bytes(chunk.read_bytes()[:-40])
  with pytest.raises(
    UserError, match='224x224/parameters/c/0/0/0/0 is damaged; it held parameters of chelsea'
  ):
    Explanations(tmp_path / 'out')['chelsea']


def test_an_aspect_of_a_grey_photograph_is_kept(tmp_path):
  Image.fromarray((np.indices((40, 60)).sum(0) * 2).astype(np.uint8)).save(tmp_path / 'grey.png')
  config = extremal.get_config()
  config.images, config.fit, config.areas = str(tmp_path / 'grey.png'), 'aspect', (0.2,)
  config.settings.iterations = 2
  assert run(config, str(tmp_path / 'out')) == 0
  assert Explanations(tmp_path / 'out')['grey'].masks.shape == (1, 1, 224, 336)


@pytest.mark.parametrize('module', [extremal, extremal_paper, extremal_robust, extremal_torchray])
def test_every_config_names_settings_of_its_mode(module):
  config = module.get_config()
  resolved = settings_of(config.mode, **config.settings)
  assert resolved == settings_of(config.mode)  # The files show the defaults.


def test_what_the_searches_of_the_robust_mode_found_is_stored(tmp_path):
  for i in (0, 1):
    Image.fromarray(load_digits().images[500 * i]).save(tmp_path / f'{i}.png')
  config = extremal_robust.get_config()
  config.network, config.weights, config.target = 'mnist', 'random', '3'
  config.images, config.areas = f'{tmp_path}/*.png', (0.1, 0.3)
  config.settings.iterations, config.figures = 2, 1
  out = tmp_path / 'out'
  assert run(config, str(out)) == 0
  result = Explanations(out)['1']
  assert result.candidates.shape[:3] == (1, 2, 2) and result.alternatives.shape == (1, 2, 2)
  assert result.candidates.shape[3:] == result.consensus.shape[2:] == result.parameters.shape[2:]
  assert ((result.agreement >= 0) & (result.agreement <= 1)).all()
  with open(out / 'scores.csv') as file:
    stored = [float(row['agreement']) for row in csv.DictReader(file) if row['image'] == '1']
  np.testing.assert_allclose(stored, result.agreement[0], rtol=1e-5)


def test_nothing_is_left_of_a_write_that_failed(tmp_path, monkeypatch):
  def fail(*_):
    raise OSError(28, os.strerror(28))

  monkeypatch.setattr(os, 'replace', fail)
  with pytest.raises(UserError, match=r'x\.npz: cannot be written \(No space left'):
    store_files.write_atomically(tmp_path / 'x.npz', b'data')
  assert not list(tmp_path.iterdir())


def test_a_channel_of_a_layer_fading_to_black(tmp_path):
  config = extremal.get_config()
  config.images, config.areas, config.settings.iterations = 'chelsea', (0.2,), 2
  config.layer, config.target, config.perturbation = 'blocks.2', '7', 'fade'
  assert run(config, str(tmp_path)) == 0
  with open(tmp_path / 'scores.csv') as file:
    assert {row['class'] for row in csv.DictReader(file)} == {'blocks.2, channel 7'}
  found = Explanations(tmp_path)
  assert found.field('chelsea', 'target') == 7 and np.isnan(found.field('chelsea', 'probability'))
  config.target = 'Egyptian cat'
  with pytest.raises(UserError, match='a channel of blocks.2 is a number'):
    run(config, str(tmp_path / 'other'))
  config.layer = 'block.2'
  with pytest.raises(UserError, match="'blocks.2'"):
    run(config, str(tmp_path / 'other'))


def test_labels_are_explained_and_what_is_lost_is_said(tmp_path, capsys):
  """Digits in folders named by class: one cannot be read, one changes afterwards."""
  for digit in (3, 7):
    (tmp_path / 'data' / str(digit)).mkdir(parents=True)
    for i in (0, 1):
      path = tmp_path / 'data' / str(digit) / f'{i}.png'
      Image.fromarray(load_digits().images[500 * digit + i]).save(path)
  (tmp_path / 'data' / '7' / '1.png').write_bytes(b'damaged')
  config = extremal.get_config()
  config.network, config.weights, config.target = 'mnist', 'random', 'label'
  config.images, config.areas = f'classes:{tmp_path}/data', (0.2,)
  config.settings.iterations, config.figures = 3, 2
  out = tmp_path / 'out'
  assert run(config, str(out)) == 1
  with open(out / 'scores.csv') as file:
    rows = {row['image']: (row['target'], row['label']) for row in csv.DictReader(file)}
  assert rows == {'3_0': ('3', '0'), '3_1': ('3', '0'), '7_0': ('7', '1')}
  summary = json.loads((out / 'summary.json').read_text())
  assert (summary['images'], summary['done'], summary['failed']) == (4, 3, 1)
  assert (out / 'figures' / '3_0_mask.png').exists()

  Image.fromarray(load_digits().images[0]).save(tmp_path / 'data' / '3' / '0.png')
  assert run(config, str(out)) == 1
  assert '3/0.png: has changed since it was explained' in capsys.readouterr().err
  page = (out / 'report.html').read_text()
  items = json.loads(page.split('id="data">')[1].split('</script>')[0])['items']
  assert [item['name'] for item in items] == ['3_1']
