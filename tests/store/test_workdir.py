"""A workdir belongs to one config; the message for another one begins with what decides."""

import ml_collections
import pytest

from configs import compare, extremal, heatmaps
from perturb.errors import UserError
from perturb.store.workdir import Workdir


def refusal(path, config):
  with pytest.raises(UserError) as refused:
    Workdir(str(path), config, ['results.zarr'])
  return str(refused.value).removeprefix(f'workdir {path} holds a run with another config: ')


def test_another_config_is_refused_in_few_words(tmp_path):
  config = extremal.get_config()
  (Workdir(str(tmp_path), config, ['results.zarr']).results / '224x224').mkdir()
  Workdir(str(tmp_path), config, ['results.zarr'])  # The same one is not refused.

  for other in (heatmaps.get_config(), compare.get_config()):
    message = refusal(tmp_path, other)
    assert message.startswith(f"task was 'extremal', is {other.task!r}; and ")
    assert len(message) < 100

  config.seed, config.network, config.levels, config.chunk = 1, 'vgg16', 3, 2
  assert refusal(tmp_path, config) == (
    "network was 'efficientnet_lite0', is 'vgg16'; chunk was 0, is 2; levels was 8, is 3; "
    'and 1 more; use another workdir, or remove it'
  )


def test_a_long_value_is_cut(tmp_path):
  config = compare.get_config()
  (Workdir(str(tmp_path), config, ['results.zarr']).results / '224x224').mkdir()
  config.methods = ('cam',)
  message = refusal(tmp_path, config)
  assert message.startswith("methods was ['gradient', 'smooth_grad', ") and len(message) < 130
  assert "..., is ['cam']; use another" in message


def test_a_method_that_is_added_brings_its_options(tmp_path):
  def begin(methods, **options):
    config = compare.get_config()
    config.methods, config.options = methods, ml_collections.ConfigDict(options)
    return Workdir(str(tmp_path), config, ['results.zarr'], free=('methods',))

  group = begin(('cam',), cam={'resize': False}).results / '224x224' / 'cam'
  group.mkdir(parents=True)
  (group / 'zarr.json').write_text('{}')
  begin(('cam', 'rise'), cam={'resize': False}, rise={'masks': 5})
  begin(('cam', 'rise'), cam={'resize': False}, rise={'masks': 7})  # Nothing of it is stored yet.
  with pytest.raises(UserError, match=r'options\.cam\.resize was False, is True'):
    begin(('rise',), cam={'resize': True})
