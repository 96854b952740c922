"""The sweeps of the occlusion paper's tables: their runs are those of the paper, and can begin."""

import collections
import importlib

import jax
import numpy as np
import pytest

from configs import train_imagenet
from perturb import nets
from perturb.nets.layers import BatchNorm, Conv, MaxPool, Relu
from perturb.nets.zoo import NETWORKS
from perturb.tasks.train_setup import check_training, first_network, recipe_of, setup
from perturb.training.recipe import sites_of

RATES = {'resnet50': 0.1, 'vgg16_bn': 0.1, 'vgg16': 0.01, 'alexnet': 0.01}
# Table -> (runs, of how many ways of training, which networks).
TABLES = {
  'table1': (84, 28, {*RATES}),
  'table2': (17, 17, {'resnet50'}),
  'table3': (34, 17, {'alexnet'}),
  'table4': (27, 9, {'alexnet', 'vgg16', 'vgg16_bn'}),
  'table5': (4, 4, {'resnet50'}),
  'table6': (32, 32, {'resnet50'}),
  'table7': (12, 6, {'resnet50'}),
  'figure5': (55, 55, {'resnet50'}),
}


def runs_of(table):
  module = importlib.import_module(f'configs.train_occlude_{table}')
  for changes in module.sweep():
    config = module.get_config()
    config.update(changes)
    yield config


@pytest.mark.parametrize('table', TABLES)
def test_the_runs_of_a_table(table):
  count, ways, networks = TABLES[table]
  runs = list(runs_of(table))
  assert len(runs) == len({run.to_json() for run in runs}) == count
  seeds = collections.defaultdict(set)
  for run in runs:
    check_training(run)
    network = NETWORKS[run.network].network
    recipe, way = recipe_of(run), run.copy_and_resolve_references()
    del way['seed']
    seeds[way.to_json()].add(run.seed)
    sites_of(recipe, network)
    assert run.learning_rate == RATES[run.network]
    assert NETWORKS[run.network].preprocessing == 'imagenet'  # Zero is the mean colour.
    assert run.batch_size == 256 and run.epochs == 100 and run.schedule == 'steps'
    if run.occlusion == 'salient':
      assert (run.joint, run.side, run.jitter) == (True, 56, 16)
      _check_layer(run, network)
  assert len(seeds) == ways and {len(each) for each in seeds.values()} == {count // ways}
  assert {run.network for run in runs} == networks


def _check_layer(run, network):
  """After a ReLU and before the pooling, as the paper has it; of ResNet before normalisation."""
  layers = network.layers()
  kinds = [type(layer.build(parent=None)) for layer in layers]
  at = [layer.name for layer in layers].index(network.resolve(run.layer))
  if run.network == 'resnet50':
    assert kinds[at] is MaxPool or kinds[at : at + 2] == [Conv, BatchNorm]
  elif run.network == 'alexnet' and run.layer != 'relu5':
    assert kinds[at : at + 2] == [Relu, Conv]  # No pooling follows these two.
  else:
    assert kinds[at : at + 2] == [Relu, MaxPool]


def test_the_rate_falls_after_30_60_and_90_epochs_whatever_is_joint_or_copied():
  config = train_imagenet.get_config()
  net = nets.load('mnist', weights='random')
  for fields in ({}, {'joint': True}, {'copies': 4}):
    config.update(fields)
    made = setup(config, net, 5004)
    for epoch, rate in ((30, 0.1), (60, 0.01), (90, 0.001), (100, 0.0001)):
      assert made.rate(epoch * 5004) == pytest.approx(rate)
      assert epoch == 100 or made.rate(epoch * 5004 + 1) == pytest.approx(rate / 10)


def test_the_weights_have_a_key_that_no_step_has(monkeypatch):
  """A step folds its number into the seed's key; so did the weights with the number of a layer."""
  config, keys = train_imagenet.get_config(), []
  config.network = 'small_resnet'

  def seen(net, key):
    keys.append(key)
    return net

  monkeypatch.setattr('perturb.tasks.train_setup.initialised', seen)
  first_network(config, ('a', 'b'))
  (own,) = keys
  layers = [jax.random.fold_in(own, i) for i in range(40)]
  steps = [jax.random.fold_in(jax.random.key(config.seed), i) for i in range(2000)]
  drawn = [np.asarray(jax.random.key_data(key)).tobytes() for key in (*layers, *steps)]
  assert len(set(drawn)) == len(drawn)
