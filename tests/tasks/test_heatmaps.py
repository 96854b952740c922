import csv
import json

import jax
import numpy as np
from PIL import Image
import pytest

from configs import heatmaps
import perturb
from perturb.data.digits import load_digits
from perturb.errors import UserError
from perturb.nets import load
from perturb.tasks.heatmaps import run


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
