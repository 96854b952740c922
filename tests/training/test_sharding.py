"""One batch on one, two and four devices: the same step."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.training import sharding

ROOT = pathlib.Path(__file__).parents[2]
TRAIN = """
import sys
import jax, numpy as np
from perturb import nets
from perturb.nets.initialisation import initialised
from perturb.training import sharding, steps
from perturb.training.optimisers import sgd
from perturb.training.recipe import Recipe
from perturb.training.state import start

assert jax.device_count() == int(sys.argv[1])
network = nets.ResNet(classes=5, depths=(1, 1), width=4, basic=True, small=True)
net = nets.Pretrained(network, {}, 16, nets.PREPROCESSINGS['symmetric'], tuple('abcde'))
net = initialised(net, jax.random.key(0))
options = {'layer': 'layer1', 'side': 5, 'jitter': 2}
recipe = Recipe('salient', options, joint=True, pad=2, flip=True, dropout='dropout', average=0.9)
rule = sgd(0.01)
random = np.random.default_rng(0)
images = random.integers(0, 256, (3, 8, 16, 16, 3), dtype=np.uint8)
labels = random.integers(0, 5, (3, 8)).astype(np.int32)
step, state = steps.make_step(net, rule, recipe), sharding.replicated(start(net, rule, recipe))
losses = []
for batch in zip(images, labels):
  state, measured = step(state, *sharding.spread(batch), jax.random.key(1))
  losses.append(float(measured.loss))
assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(state))
found = {jax.tree_util.keystr(path): np.asarray(leaf)
         for path, leaf in jax.tree_util.tree_leaves_with_path(state)}
np.savez(sys.argv[2], losses=losses, **found)
"""


def test_a_batch_that_the_devices_do_not_divide_names_them(monkeypatch):
  monkeypatch.setattr(jax, 'device_count', lambda: 8)
  sharding.check_batch(256)
  with pytest.raises(UserError, match='config.batch_size: 100 images .* 8 devices; take 96 or 104'):
    sharding.check_batch(100)
  with pytest.raises(UserError, match='take 8 or 16'):
    sharding.spread({'images': np.zeros((5, 2, 2, 3), np.uint8)})


def test_what_is_spread_and_replicated_keeps_its_values():
  batch = np.arange(12).reshape(4, 3)
  np.testing.assert_array_equal(sharding.spread((batch,))[0], batch)
  np.testing.assert_array_equal(sharding.replicated({'a': batch})['a'], batch)


@pytest.mark.slow
def test_a_training_is_the_same_on_one_two_and_four_devices(tmp_path):
  """Up to rounding: sums over the batch are made in another order."""
  found = []
  for devices in (1, 2, 4):
    file = tmp_path / f'{devices}.npz'
    flags = f'--xla_force_host_platform_device_count={devices}'
    command = [sys.executable, '-c', TRAIN, str(devices), str(file)]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {'XLA_FLAGS': flags})
    found.append(dict(np.load(file)))
  for other in found[1:]:
    assert set(other) == set(found[0]) and len(other) > 30
    for name, value in found[0].items():
      np.testing.assert_allclose(other[name], value, rtol=1e-3, atol=2e-4, err_msg=name)
