"""The experiments of the configs, end to end on digits and an untrained network."""

import csv
import importlib

import numpy as np
from PIL import Image
import pytest

from perturb.data.digits import load_digits
from perturb.errors import UserError
from perturb.evaluate.parts import Keypoint, placed
from perturb.methods.channels import channel_attribution
from perturb.tasks.registry import TASKS


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  """Two digits, and a file that is no picture."""
  folder = tmp_path_factory.mktemp('digits')
  images = load_digits().images
  for name, index in (('five', 2600), ('seven', 3600)):
    Image.fromarray(images[index]).save(folder / f'{name}.png')
  (folder / 'damaged.png').write_bytes(b'no picture')
  return folder


def config_of(name, pictures, **fields):
  config = importlib.import_module(f'configs.{name}').get_config()
  config.images, config.network, config.weights = str(pictures), 'mnist', 'random'
  config.update(fields)
  return config


def rows(path):
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


MASK = {'meaningful_perturbation': {'iterations': 3, 'step': 4, 'sigma_max': 3.0}}


def test_representativeness(pictures, tmp_path):
  config = config_of('representativeness', pictures, options=MASK)
  assert TASKS[config.task](config, str(tmp_path)) == 1  # The damaged file.
  table = rows(tmp_path / 'representativeness.csv')
  assert len(table) == 2 * 3 * 20
  whole = [r for r in table if r['threshold'] == '0']
  assert all(float(r['deleted']) == 0 and abs(float(r['normalised']) - 1) < 1e-3 for r in whole)
  assert (tmp_path / 'representativeness.png').exists()
  assert 'damaged.png' in rows(tmp_path / 'failures.csv')[0]['reason']


def test_minimal_boxes(pictures, tmp_path, capsys):
  methods = ('gradient', 'grad_cam')
  config = config_of('minimal_boxes', pictures, methods=methods)
  assert TASKS[config.task](config, str(tmp_path)) == 1
  table = rows(tmp_path / 'boxes.csv')
  assert len(table) == 2 * 2 * 4
  for row in table:
    top, left, bottom, right = (int(row[k]) for k in ('top', 'left', 'bottom', 'right'))
    assert float(row['area']) == pytest.approx((bottom - top) * (right - left) / 784, rel=1e-4)
  assert 'Grad-CAM' in capsys.readouterr().out
  assert np.load(tmp_path / 'heatmaps/five/gradient.npy').shape == (28, 28)


def test_box(pictures, tmp_path):
  config = config_of('box', pictures, box=(4, 4, 20, 20))
  assert TASKS[config.task](config, str(tmp_path)) == 1
  table = rows(tmp_path / 'interrogation.csv')
  assert [r['image'] for r in table] == ['five', 'seven']
  assert all(0 <= float(r['box_blurred']) <= 1 for r in table)
  assert (tmp_path / 'pictures/five.png').exists()
  with pytest.raises(UserError, match=r'box \(4, 4, 200, 200\): give'):
    TASKS['box'](config_of('box', pictures, box=(4, 4, 200, 200)), str(tmp_path / 'other'))


def test_parts(pictures, tmp_path):
  keypoints = tmp_path / 'keypoints.csv'
  lines = ['image,class,part,x,y', 'five.png,five,top,14,6', 'five.png,five,foot,14,22']
  lines += ['none.png,five,top,1,1']
  keypoints.write_text('\n'.join(lines) + '\n')
  config = config_of(
    'parts', pictures, keypoints=str(keypoints), root=str(pictures), options=MASK, least_images=1
  )
  assert TASKS[config.task](config, str(tmp_path / 'work')) == 1
  heat = np.load(tmp_path / 'work/heatmaps/five/meaningful_perturbation.npy')
  (row,) = rows(tmp_path / 'work/parts.csv')
  assert float(row['top']) == pytest.approx(heat[4:9, 12:17].mean(), abs=1e-4)
  assert float(row['foot']) == pytest.approx(heat[20:25, 12:17].mean(), abs=1e-4)
  assert 'none.png' in rows(tmp_path / 'work/failures.csv')[0]['place']
  config.root = str(tmp_path)  # The pictures are gone; what was found of them is still there.
  (tmp_path / 'work/config.json').write_text(config.to_json())
  assert TASKS[config.task](config, str(tmp_path / 'work')) == 1
  assert rows(tmp_path / 'work/keypoints.csv') == []


def test_keypoints_follow_the_picture_into_the_crop():
  middle = Keypoint('', '', '', x=149.5, y=99.5)  # Of a picture of 300 x 200.
  for fit in ('crop', 'squash'):
    point = placed(middle, (300, 200), (100, 100), fit)
    assert (point.x, point.y) == (49.5, 49.5)
  corner = Keypoint('', '', '', x=50, y=0)
  point = placed(corner, (300, 200), (100, 100), 'crop')  # Half the size, 25 pixels cut off.
  assert (point.x, point.y) == (-0.25, -0.25)
  point = placed(corner, (300, 200), (100, 100), 'squash')
  assert point.x == pytest.approx(50.5 / 3 - 0.5)


def test_adversarial(tmp_path):
  config = config_of('adversarial', 'none', count=40, epochs=2, seed=0)
  config.methods = ('meaningful_perturbation', 'gradient')
  config.options.meaningful_perturbation.iterations = 3
  assert TASKS[config.task](config, str(tmp_path)) == 0
  with np.load(tmp_path / 'study/adversarial.npz') as arrays:
    assert arrays['images'].shape == (40, 28, 28, 1)
    assert np.abs(arrays['images'] - arrays['clean']).max() <= 64 / 255 + 1e-6
  with np.load(tmp_path / 'study/gradient.npz') as arrays:
    assert arrays['adversarial'].shape == (40, 28, 28)
  assert [r['method'] for r in rows(tmp_path / 'detection.csv')] == list(config.methods)
  (row,) = rows(tmp_path / 'recovery.csv')
  assert 0 <= float(row['recovered_top1']) <= float(row['recovered_top5']) <= 1
  assert (tmp_path / 'pairs.png').exists()

  # A method that this network refuses, and too few images to hold any out, cost only their own.
  few = config_of('adversarial', 'none', count=6, epochs=2, seed=0)
  few.methods, few.mask_method = ('gradient', 'occlusion'), 'gradient'
  few.options.occlusion = {'size': 100}
  assert TASKS[few.task](few, str(tmp_path / 'few')) == 6
  assert [(r['method'], r['accuracy']) for r in rows(tmp_path / 'few/detection.csv')] == [
    ('gradient', 'nan')
  ]
  assert (tmp_path / 'few/recovery.csv').exists() and (tmp_path / 'few/pairs.png').exists()
  assert (tmp_path / 'few/summary.json').exists()
  with pytest.raises(UserError, match="config.mask_method 'cam' must be one of"):
    TASKS['adversarial'](config_of('adversarial', 'none', mask_method='cam'), str(tmp_path / 'b'))


def test_channels(pictures, tmp_path, monkeypatch):
  config = config_of('channels', pictures, layer='conv2', areas=(5, 50), steps=4)
  config.preprocessing = ''
  assert TASKS[config.task](config, str(tmp_path)) == 1
  with np.load(tmp_path / 'channels/five.npz') as arrays:
    assert arrays['masks'].shape == (1, 2, 50)
    assert arrays['inversions'].shape == (2, 28, 28, 3)
  table = rows(tmp_path / 'scores.csv')
  assert [r['channels'] for r in table] == ['5', '50'] * 2
  assert sum(r['best'] == 'yes' for r in table) == 2
  assert rows(tmp_path / 'classes.csv')
  paper = config_of('channels_paper', pictures, layer='conv2', areas=(5,), steps=4)
  paper.settings.area_weight = float('inf')
  with pytest.raises(UserError, match='area_weight must be a number, at least 0, not inf'):
    TASKS[paper.task](paper, str(tmp_path / 'inf'))
  paper.mode = 'elimination'
  with pytest.raises(UserError, match="mode 'elimination' has no setting"):
    TASKS[paper.task](paper, str(tmp_path / 'other'))

  def broken(*arguments, **options):
    result = channel_attribution(*arguments, **options)
    return result._replace(masks=result.masks * np.nan)

  monkeypatch.setattr('perturb.tasks.channels.channel_attribution', broken)
  assert TASKS[config.task](config, str(tmp_path / 'nan')) == 3
  reasons = [row['reason'] for row in rows(tmp_path / 'nan' / 'failures.csv')]
  assert sum('masks' in reason and 'not numbers' in reason for reason in reasons) == 2
  with pytest.raises(UserError, match="no layer 'conv9'"):
    TASKS['channels'](config_of('channels', pictures, layer='conv9'), str(tmp_path / 'b'))
