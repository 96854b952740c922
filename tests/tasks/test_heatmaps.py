"""One method's heatmaps of a dataset, its options, and labels."""

import csv
import json
from typing import Any

import jax
import numpy as np
from PIL import Image
import pytest

from configs import heatmaps
import perturb
from perturb.data.digits import load_digits
from perturb.errors import UserError
from perturb.methods.registry import METHODS, check_options, method_named
from perturb.nets import load
from perturb.options import describe
from perturb.tasks.heatmaps import run
from tests import commands


@pytest.fixture
def config(tmp_path):
  """Grad-CAM of three digits."""
  for i in range(3):
    Image.fromarray(load_digits().images[700 * i]).save(tmp_path / f'{i}.png')
  config = heatmaps.get_config()
  config.network, config.weights, config.images = 'mnist', 'random', f'{tmp_path}/*.png'
  config.batch, config.figures, config.target = 2, 2, '4'
  return config


def test_the_heatmaps_are_those_of_the_method(config, tmp_path):
  assert run(config, str(tmp_path / 'out')) == 0
  net = load('mnist', 'random', '', '')
  x = net.preprocess(load_digits().images[[0, 700, 1400]])
  found = perturb.Results(tmp_path / 'out')
  assert found.names == ['0', '1', '2'] and len(found) == 3
  expected = perturb.grad_cam(net, x, 4)
  heat = np.stack([found.field(name, 'heatmap') for name in found.names])
  np.testing.assert_allclose(heat, expected, atol=1e-5 * np.abs(expected).max())
  scores = np.asarray(net(x))[:, 4]
  np.testing.assert_allclose([found.field(n, 'score') for n in found.names], scores, rtol=1e-5)
  with open(tmp_path / 'out' / 'scores.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['target'] for row in rows] == ['4'] * 3
  summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
  assert summary['rows'][0]['score'] == pytest.approx(scores.mean(), rel=1e-4)
  drawn = {path.name for path in (tmp_path / 'out' / 'figures').iterdir()}
  assert drawn == {'0.png', '1.png', 'heatmaps.png'}
  with pytest.raises(UserError, match="no image '3'"):
    found.field('3', 'heatmap')


def test_options_are_set_on_the_command_line_with_their_types(config, tmp_path):
  """What a config does not name, as the comment of configs/heatmaps.py has it."""
  arguments = [
    '--config=configs/heatmaps.py',
    f'--config.images={config.images}',
    '--config.network=mnist',
    '--config.weights=random',
    '--config.target=4',
    '--config.figures=0',
    f'--workdir={tmp_path}/out',
    '--config.method=layers:linear_approximation',
    "--config.options.layers=('conv1', 'conv2')",
    '--config.options.how=product',
  ]
  done = commands.run('perturb.main', *arguments)
  assert done.returncode == 0, done.stderr
  stored = json.loads((tmp_path / 'out' / 'config.json').read_text())['options']
  assert stored == {'how': 'product', 'layers': ['conv1', 'conv2']}
  net = load('mnist', 'random', '', '')
  x = net.preprocess(load_digits().images[[0]])
  layers = ('conv1', 'conv2')
  expected = perturb.combine_layers(perturb.linear_approximation, net, x, 4, layers, how='product')
  found = perturb.Results(tmp_path / 'out').field('0', 'heatmap')
  np.testing.assert_allclose(found, expected[0], atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize('name', METHODS)
def test_every_option_of_every_method_has_a_type_that_is_held(name):
  _, method, options = method_named(name)
  x = np.zeros((1, 16, 16, 3), np.float32)
  for option, known in options.items():
    assert known.hint is not Any
    wrong = 'none of these' if 'text' not in describe(known.hint) else 3.5
    given = {'references': x, **({'areas': (0.1,)} if 'areas' in options else {}), option: wrong}
    if 'references' not in options:
      del given['references']
    with pytest.raises(UserError, match=f'{option} must be'):
      check_options(name, given)
    # Some settings of extremal perturbations belong to one mode.
    with pytest.raises(UserError, match=f'{option} must be|no setting {option!r}'):
      method(lambda x: x.mean((1, 2)), x, 0, **given)


def test_labels_at_chance_are_a_warning(config, tmp_path, capsys):
  """Digits that go by rank under names in alphabetical order: 'eight' is no 0."""
  names = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
  for digit, name in enumerate(names):
    (tmp_path / 'named' / name).mkdir(parents=True)
    Image.fromarray(load_digits().images[500 * digit]).save(tmp_path / 'named' / name / 'a.png')
  config.images, config.target = f'classes:{tmp_path}/named', 'label'
  with pytest.raises(UserError, match="'eight' is not a class"):
    run(config, str(tmp_path / 'refused'))
  config.labels = 'rank'
  assert run(config, str(tmp_path / 'out')) == 0
  said = capsys.readouterr()
  assert 'labels by rank: eight is 0 (0)' in said.out
  assert (
    'warning: the labels have a mean probability of' in said.err and 'chance is 0.1' in said.err
  )


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'method': 'grad_camm'}, "'grad_cam'"),
    ({'options': {'layr': 'input'}}, "no option 'layr'; did you mean 'layer'"),
    ({'method': 'layers:grad_cam'}, "needs the option 'layers'"),
    ({'workers': 0}, 'config.workers must be at least 1'),
    ({'target': 'label'}, 'have no labels'),
  ],
)
def test_mistakes_are_found_first(config, tmp_path, changes, message):
  with config.unlocked():
    config.update(changes)
  with pytest.raises(UserError, match=message):
    run(config, str(tmp_path / 'out'))
  assert not (tmp_path / 'out').exists()


def test_a_method_with_masks_of_its_own_can_be_compiled():
  """Its discs do not become part of what is traced."""
  x = np.zeros((1, 224, 224, 3), np.float32)

  def call(x):
    return perturb.variable_occlusion(lambda x: x.mean((1, 2)), x, 0, sizes=(60,), stride=112)

  assert jax.eval_shape(jax.jit(call), x).shape == (1, 224, 224)
