"""The comparison of methods, end to end on small jobs, and its pictures."""

import csv

import numpy as np
from PIL import Image
import pytest

from configs import compare as config_file
from perturb.errors import UserError
from perturb.figures import heatmaps as heatmap_figures
from perturb.methods.registry import METHODS, check_options, method_named
from perturb.store.results import Results, results_group
from perturb.tasks import compare
from tests.small_net import IMAGES, TARGETS, small_net


def quick(**fields):
  config = config_file.get_config()
  config.images, config.methods = 'coffee', ('gradient', 'meta:gradient', 'cam')
  config.update(fields)
  return config


def rows(path):
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


def test_a_comparison_resumes_names_failures_and_finishes_the_rest(tmp_path, capsys):
  damaged = tmp_path / 'damaged.png'
  damaged.write_bytes(b'not a picture')
  images = f'coffee, {damaged}'
  work = tmp_path / 'work'
  config = quick(images=images, methods=('gradient', 'cam'))
  assert compare.run(config, str(work)) == 1
  assert 'damaged.png' in capsys.readouterr().err
  (failure,) = rows(work / 'failures.csv')
  assert 'damaged.png' in failure['reason']
  heat = np.load(work / 'heatmaps/coffee/cam.npy', allow_pickle=False)
  np.testing.assert_array_equal(heat, Results(work).field('coffee', 'cam/heatmap'))
  assert heat.shape == (224, 224) and heat.dtype == np.float32
  row, column = np.unravel_index(heat.argmax(), heat.shape)
  assert 30 < row < 130 and 70 < column < 170  # On the cup.
  assert np.asarray(Image.open(work / 'heatmaps/coffee/cam.png')).shape == (448, 448, 3)
  assert {(r['image'], r['method']) for r in rows(work / 'timings.csv')} == {
    ('coffee', 'gradient'),
    ('coffee', 'cam'),
  }
  picture = (work / 'compare.png').read_bytes()
  results_group(work, '224x224').write(np.array([0]), {'cam/heatmap': 0.0})
  assert compare.run(config, str(work)) == 1
  assert not np.load(work / 'heatmaps/coffee/cam.npy').any()  # Not computed again.
  assert (work / 'compare.png').read_bytes() != picture
  with pytest.raises(UserError, match="target was '', is 'espresso'"):
    compare.run(quick(target='espresso'), str(work))


@pytest.mark.parametrize(
  ('fields', 'match'),
  [
    ({'methods': ('grad_can',)}, "'grad_can' is not known; did you mean 'grad_cam'"),
    ({'methods': ('meta:rise2',)}, "'meta:rise2' is not known"),
    ({'methods': ('twice:gradient',)}, "'twice' must be one of meta, layers"),
    ({'methods': ('meta:lime',)}, 'lime gives no plain heatmap'),
    ({'methods': ()}, 'give at least one'),
    ({'methods': ('layers:norm_grad',)}, "'layers:norm_grad' needs the option 'layers'"),
    ({'options': {'gradient': {'layr': 'head'}}}, "no option 'layr'; did you mean 'layer'"),
    ({'fit': 'aspect'}, 'config.fit must be one of crop, squash'),
    ({'target': 'catt'}, "target 'catt' is not a class"),
  ],
)
def test_mistakes_are_named_before_any_work(tmp_path, fields, match):
  with pytest.raises(UserError, match=match):
    compare.run(quick(**fields), str(tmp_path / 'work'))
  assert not (tmp_path / 'work').exists()


def test_a_method_that_the_network_does_not_allow_is_a_failure_of_its_own(monkeypatch, tmp_path):
  def refuse(*_):
    raise UserError('CAM needs a global mean')

  monkeypatch.setitem(METHODS, 'cam', METHODS['cam']._replace(function=refuse))
  assert compare.run(quick(methods=('gradient', 'cam')), str(tmp_path)) == 1
  (failure,) = rows(tmp_path / 'failures.csv')
  assert (failure['image'], failure['method']) == ('coffee', 'cam')
  assert (tmp_path / 'compare.png').exists()


def test_every_method_of_the_config_is_known_and_takes_its_options():
  config = config_file.get_config()
  for name in config.methods:
    assert method_named(name)[0]
  for name, options in config.options.items():
    check_options(name, options)


def test_wrapped_methods():
  net = small_net()
  _, combined, options = method_named('layers:norm_grad')
  assert {'layers', 'weights', 'how', 'window'} <= set(options)
  heat = combined(net, IMAGES, TARGETS, layers=('relu1', 'relu3'))
  assert heat.shape == (2, 32, 32)
  _, meta, options = method_named('meta:norm_grad')
  assert {'epsilon', 'mode', 'layer'} <= set(options)
  assert meta(net, IMAGES, TARGETS, epsilon=0.1).shape == (2, 32, 32)


def test_pictures_of_heatmaps():
  heat = np.linspace(0, 1, 64).reshape(8, 8)
  values, signed = heatmap_figures.scaled(heat)
  assert not signed and values.min() == 0 and values.max() == 1
  values, signed = heatmap_figures.scaled(heat - 0.25)
  assert signed
  np.testing.assert_allclose(values[heat.argmin() // 8, 16 % 8], 0.5 - 0.25 / (2 * 0.75), atol=0.02)
  assert (heatmap_figures.scaled(np.zeros((8, 8)))[0] == 0).all()
  spike = np.zeros((100, 100))
  spike[:10] = 1
  spike[50, 50] = 1000
  assert heatmap_figures.scaled(spike)[0][0, 0] == 1  # One pixel does not decide.
  picture = np.full((16, 16, 3), 100, np.uint8)
  assert heatmap_figures.colour(heat, picture).shape == (16, 16, 3)
  assert [heatmap_figures.duration(s) for s in (0.0123, 3.21, 45.6, np.nan)] == [
    '12 ms',
    '3.2 s',
    '46 s',
    '',
  ]
