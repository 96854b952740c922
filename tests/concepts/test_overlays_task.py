"""Similarity overlays from end to end, on a few pictures and a tiny network."""

import csv
import json

import numpy as np
from PIL import Image
import pytest

import concepts
from concepts.tasks import overlays
from configs import overlays as configs
from perturb.errors import UserError
from perturb.store.results import Results
from tests.concepts.test_relevant_task import contents, rows
from tests.small_net import small_net

CHANGES = {
  'layers': ('relu3', 'conv2'),
  'rotations': (0, 90, 45),
  'scales': (1, 4),
  'groups': 2,
  'measured': 2,
  'batch': 4,
}


@pytest.fixture(scope='module', autouse=True)
def network():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(overlays, 'named_network', lambda _: small_net())
    yield


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  """Three pictures, one with a name that is markup, and a broken one."""
  folder = tmp_path_factory.mktemp('pictures')
  random = np.random.default_rng(0)
  for name in ('a', '<script>"b"', 'c \N{SNOWMAN}'):
    pixels = random.integers(0, 256, (7, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((48, 32)).save(folder / f'{name}.png')
  (folder / 'broken.png').write_bytes(b'no picture')
  return folder


def config_of(pictures, **changes):
  config = configs.get_config()
  config.update({**CHANGES, 'images': f'{pictures}/*.png', **changes})
  return config


@pytest.fixture(scope='module')
def study(pictures, tmp_path_factory):
  folder = tmp_path_factory.mktemp('study')
  config = config_of(pictures, classes=('cat', 3), mode='article')
  assert overlays.run(config, str(folder)) == 1
  return folder


def test_it_leaves_a_page_tables_and_figures(study):
  for name in ('correspondence', 'sensitivity'):
    assert (study / f'{name}.png').read_bytes().startswith(b'\x89PNG')
  page = (study / 'overlays.html').read_text()
  assert 'c \\u2603' in page and '<script>"b"' not in page
  summary = json.loads((study / 'summary.json').read_text())
  assert (summary['images'], summary['done'], summary['failed']) == (4, 3, 1)
  assert 'broken.png' in (study / 'failures.csv').read_text()
  assert [(row['layer'], row['kind']) for row in rows(study / 'turning.csv')] == [
    (layer, kind) for layer in ('conv2', 'relu3') for kind in ('rotation', 'scale')
  ]
  assert len(rows(study / 'similarity.csv')) == 2 * 3


def test_its_numbers_are_those_of_the_library(study, pictures):
  """But for activations that the run keeps as float16."""
  net, stored = small_net(), Results(study)
  names = stored.names
  pixels = [np.asarray(Image.open(pictures / f'{name}.png'))[:, 8:40] for name in names]
  a, b = (
    np.asarray(net.activations(net.preprocess(one)[None], ['relu3'])['relu3'][0])
    for one in pixels[:2]
  )
  row = next(row for row in rows(study / 'similarity.csv') if row['layer'] == 'relu3')
  assert (row['first'], row['second']) == tuple(names[:2])
  cosines = concepts.similarity(a, b)
  assert float(row['mean']) == pytest.approx(cosines.mean(), abs=1e-3)
  assert float(row['nearest']) == pytest.approx(cosines.max((2, 3)).mean(), abs=1e-3)
  turned = net.activations(net.preprocess(concepts.rotated(pixels[0], 90))[None], ['relu3'])
  found = Results(study / 'sensitivity').field(names[0], 'relu3')
  places = concepts.rotation_places(a.shape[:2], (0, 90))[0, 1:]
  kept = concepts.kept_similarity(a, np.asarray(turned['relu3']), places)
  np.testing.assert_allclose(found[:, 1], np.ravel(kept), atol=1e-5)


def test_what_is_not_changed_is_wholly_alike(study):
  for row in rows(study / 'sensitivity.csv'):
    assert row['images'] == '2'
    if (row['kind'], row['amount']) in {('rotation', '0'), ('scale', '1')}:
      assert float(row['moved']) == pytest.approx(1, abs=1e-5)
      assert float(row['unmoved']) == pytest.approx(1, abs=1e-5)
    assert float(row['low']) <= float(row['moved']) <= float(row['high'])
    assert float(row['chance']) <= float(row['moved'])


def test_the_files_of_the_article(study):
  folder = study / 'article' / 'relu3'
  sprite = np.asarray(Image.open(folder / 'multi_0_0.png'))
  side = Results(study).field('a', 'relu3').shape[0]
  assert sprite.shape == (side**2, side**2, 3)
  assert ((sprite == (255, 255, 0)).all(-1)).sum() == side**2
  across, back = (
    np.asarray(Image.open(folder / f'multi_{name}.png'))[..., 0].reshape((side,) * 4)
    for name in ('0_1', '1_0')
  )
  np.testing.assert_array_equal(across, back.transpose(1, 0, 3, 2))
  first = rows(study / 'article' / 'pictures.csv')[0]['picture']
  with open(folder / f'rotation_{first}' / 'lines' / '0.csv', encoding='utf-8') as file:
    lines = list(csv.reader(file))
  assert len(lines) == side**2 and all(line[0] == '1.00' for line in lines)
  gone = concepts.rotation_places((side, side), (0, 90, 45))[0, 2] < 0
  assert [line[2] == 'nan' for line in lines] == gone.tolist()


def test_stopped_and_started_again_it_ends_with_the_same_bytes(
  study, pictures, tmp_path, monkeypatch
):
  def stop(*_, **__):
    raise KeyboardInterrupt

  config = config_of(pictures, classes=('cat', 3), mode='article')
  for part in ('record_transformed', 'measure', 'write_sensitivity', 'view_of', 'write_article'):
    monkeypatch.setattr(overlays, part, stop)
    with pytest.raises(KeyboardInterrupt):
      overlays.run(config, str(tmp_path))
    monkeypatch.undo()
  overlays.run(config, str(tmp_path))
  assert contents(tmp_path) == contents(study)


def test_pictures_of_different_shapes_are_on_one_page(pictures, tmp_path):
  """And what is drawn may change between two starts."""
  Image.open(pictures / 'a.png').crop((0, 0, 32, 32)).save(tmp_path / 'square.png')
  images = f'{pictures}/a.png, {tmp_path}/square.png'
  config = config_of(pictures, images=images, fit='aspect', multiple=8, transformed=2)
  assert overlays.run(config, str(tmp_path / 'run')) == 0
  wide = Results(tmp_path / 'run').field('a', 'relu3').shape
  assert wide == (8, 12, 10)
  page = (tmp_path / 'run' / 'overlays.html').read_bytes()
  config.groups, config.transformed, config.measured = 0, 0, 0
  assert overlays.run(config, str(tmp_path / 'run')) == 0
  assert (tmp_path / 'run' / 'overlays.html').read_bytes() != page


def test_no_file_of_earlier_pictures_is_left(pictures, tmp_path):
  """The article's files go by numbers, which are then those of other pictures."""
  changes = {'rotations': (), 'scales': (), 'groups': 0, 'mode': 'article'}
  config = config_of(pictures, **changes)
  overlays.run(config, str(tmp_path))
  config.images = f'{pictures}/a.png'
  overlays.run(config, str(tmp_path))
  left = [one.name for one in (tmp_path / 'article' / 'relu3').iterdir()]
  assert left == ['multi_0_0.png'] and len(rows(tmp_path / 'article' / 'pictures.csv')) == 1
  assert not (tmp_path / 'correspondence.png').exists()


def test_a_whole_turn_is_no_change(pictures, tmp_path):
  """It has no share in the verdict; and where no patch is left there is none."""
  changes = {'images': f'{pictures}/a.png', 'rotations': (0, 360), 'scales': (1e6,), 'groups': 0}
  config = config_of(pictures, layers=('relu3',), transformed=0, **changes)
  assert overlays.run(config, str(tmp_path)) == 0
  found = [(row['kind'], row['verdict']) for row in rows(tmp_path / 'turning.csv')]
  assert found == [('scale', 'not known')]


def test_it_says_what_it_counts_and_the_table_last(pictures, tmp_path, capsys):
  config = config_of(pictures, images=f'{pictures}/a.png', layers=('relu3',))
  assert overlays.run(config, str(tmp_path)) == 0
  out, said = capsys.readouterr()
  steps = [
    'activations of the pictures ...', 'activations of the turned and enlarged pictures ...',
    'sensitivity, of each picture turned and enlarged ...', 'writing the page, ',
  ]  # fmt: skip
  found = [said.index(one) for one in steps]
  assert found == sorted(found)
  assert out.split()[0] == 'layer' and 'overlays.html' in out.strip().splitlines()[-1]
  assert f'Similarity overlays: {config.network}' in (tmp_path / 'overlays.html').read_text()


def test_one_picture_without_transforms(pictures, tmp_path):
  config = config_of(pictures, images=f'{pictures}/a.png', rotations=(), scales=())
  assert overlays.run(config, str(tmp_path)) == 0
  assert (tmp_path / 'overlays.html').exists()
  assert not (tmp_path / 'correspondence.png').exists()
  assert not (tmp_path / 'sensitivity.csv').exists()


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('layers', ('mean',), "config.layers: 'mean' has one value a channel, and no positions"),
    ('layers', ('fc',), "config.layers: 'fc' has one value a channel"),
    ('layers', ('relu9',), "config.layers: SmallNet has no layer 'relu9'; did you mean 'relu"),
    ('layers', ('zzz',), "no layer 'zzz'; those with an extent are conv1, .*[a-z0-9]$"),
    ('layers', (), 'config.layers: give a list of at least one name'),
    ('layers', ('relu3', 'relu3'), "config.layers names 'relu3' twice"),
    ('classes', ('emu',), "config.classes: 'emu' is not a class"),
    ('groups', -1, 'config.groups must be at least 0'),
    ('groups', 11, 'config.groups: relu3 has 10 channels'),
    ('tolerance', 0.0, 'config.tolerance must be larger than 0'),
    ('mode', 'paper', 'config.mode must be one of page, article'),
    ('rotations', (0, 90, 90), 'config.rotations has 90 twice'),
    ('scales', (0.5, 1), 'config.scales are factors of the area from 1, not 0.5'),
    ('figures', 0, 'config.figures must be at least 1'),
    ('images', 'nowhere.png', 'does not exist'),
  ],
)
def test_what_cannot_be_is_refused_in_a_line(pictures, tmp_path, field, value, message):
  with pytest.raises(UserError, match=message):
    overlays.run(config_of(pictures, **{field: value}), str(tmp_path))
