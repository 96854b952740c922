"""Converting checkpoints, our own folders, and the registry of networks."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from perturb import nets
from perturb.errors import UserError
from perturb.nets import zoo
from perturb.nets.convert import convert, recognise
from perturb.nets.preprocessing import PREPROCESSINGS
from perturb.nets.weights.saved import read_network, save
from perturb.nets.weights.torch_names import torch_shapes
from tests import fixtures


def shapes_of(name, classes=None):
  """The shapes of the tensors of a network in PyTorch."""
  architecture = zoo.NETWORKS[name]
  network = architecture.network.clone(classes=classes or architecture.network.classes)
  return {key: list(s[0]) for key, s in torch_shapes(network, architecture.shape).items()}


def state_of(name, classes=None):
  """A PyTorch state dict for a network, with made-up weights."""
  return fixtures.torch_like_state(shapes_of(name, classes))


def small(class_names=('a', 'b, bee', 'c')):
  """The digits' network with three classes."""
  net = zoo.fit(zoo.NETWORKS['mnist'], state_of('mnist', classes=3))
  return dataclasses.replace(net, class_names=class_names)


@pytest.mark.parametrize('name', zoo.NETWORKS)
def test_a_network_is_recognised_by_its_tensors(name):
  state = {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes_of(name, 7).items()}
  found = [*recognise({'': state})]
  assert name in found
  assert {other.removesuffix('_caffe') for other in found} == {name.removesuffix('_caffe')}


def test_convert_and_load(tmp_path):
  state = state_of('flower', classes=4)
  save_file(state, tmp_path / 'flower.safetensors')
  (tmp_path / 'names.txt').write_text('red\nblue\ngreen, lime\nwhite\n')
  command = [
    *(sys.executable, '-m', 'perturb.nets.convert'),
    *(tmp_path / 'flower.safetensors', tmp_path / 'out'),
    *('--class_names', tmp_path / 'names.txt', '--preprocessing', 'symmetric'),
  ]
  done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
  assert 'flower, 4 classes' in done.stdout
  assert done.stderr == ''
  net = nets.load(str(tmp_path / 'out'))
  assert net.class_index('lime') == 2
  assert net.preprocessing == nets.PREPROCESSINGS['symmetric']
  direct = nets.load('flower', str(tmp_path / 'flower.safetensors'))
  x = jnp.asarray(fixtures.noise_images(1, (112, 112, 3)))
  np.testing.assert_array_equal(net(x), direct(x))


def test_linear_layers_stored_as_convolutions_are_read(tmp_path):
  state = state_of('mnist')
  state['conv3.weight'] = state['conv3.weight'].reshape(500, 50, 4, 4)
  state['fc4.weight'] = state['fc4.weight'][:, :, None, None]
  save_file(state, tmp_path / 'x.safetensors')
  x = jnp.asarray(fixtures.noise_images(1, (28, 28, 1)))
  converted = nets.load('mnist', str(tmp_path / 'x.safetensors'))(x)
  np.testing.assert_array_equal(converted, zoo.fit(zoo.NETWORKS['mnist'], state_of('mnist'))(x))


def test_data_parallel_names_and_counters_are_understood():
  state = {f'module.{key}': value for key, value in state_of('resnet50_caffe').items()}
  state['module.bn1.num_batches_tracked'] = np.zeros((), np.int64)
  assert [*recognise({'': state})] == ['resnet50', 'resnet50_caffe']


def test_the_auxiliary_classifiers_of_googlenet_are_left_out():
  state = state_of('googlenet') | {'aux1.fc1.weight': np.zeros((2, 2), np.float32)}
  assert [*recognise({'': state})] == ['googlenet']


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      lambda s: s.update({'conv1.bias': np.zeros(7, np.float32)}),
      r"'conv1\.bias' has shape \(7,\); MNISTNet needs \(20,\)",
    ),
    (
      lambda s: s.pop('conv2.weight'),
      r"'conv2\.weight' of shape \(50, 20, 5, 5\) is missing for MNISTNet",
    ),
    (lambda s: s.update(extra=np.zeros(1)), "'extra' belongs to no layer of MNISTNet"),
  ],
)
def test_a_tensor_that_does_not_fit_is_named_with_what_is_expected(tmp_path, change, message):
  state = state_of('mnist')
  change(state)
  save_file(state, tmp_path / 'x.safetensors')
  with pytest.raises(nets.CheckpointError, match=rf'x\.safetensors: .*{message}'):
    nets.load('mnist', str(tmp_path / 'x.safetensors'))
  with pytest.raises(nets.CheckpointError, match=rf'nearest is mnist, but .*{message}'):
    convert(str(tmp_path / 'x.safetensors'), str(tmp_path / 'out'))


def test_the_weights_of_no_known_network_are_named_as_such():
  with pytest.raises(nets.CheckpointError, match=r"no known network; the names .* like 'w', 'v'$"):
    recognise({'': {'w': np.zeros(1), 'v': np.zeros(1)}})


def test_a_saved_network_is_the_same_network(tmp_path):
  net = small()
  nets.save(net, tmp_path / 'net')
  nets.save(net, tmp_path / 'net')  # Replaces what is there.
  again = read_network(tmp_path / 'net')
  assert again.network == net.network and again.class_names == net.class_names
  assert again.preprocessing == net.preprocessing and again.size == 28
  jax.tree.map(np.testing.assert_array_equal, again.variables, net.variables)


def test_a_folder_of_something_else_is_not_touched(tmp_path):
  (tmp_path / 'precious.txt').write_text('mine')
  with pytest.raises(nets.CheckpointError, match='not a folder of a network'):
    nets.save(small(), tmp_path)
  assert (tmp_path / 'precious.txt').read_text() == 'mine'


def test_damaged_and_mismatched_folders_are_refused_by_name(tmp_path):
  folder = tmp_path / 'net'
  nets.save(small(), folder)
  description = json.loads((folder / 'network.json').read_text())

  def refused(match):
    with pytest.raises(nets.CheckpointError, match=match):
      read_network(folder)

  for damage, match in (
    (
      {'attributes': {'classes': 4}, 'class_names': list('abcd')},
      r"'params/fc4/bias' is \(3,\) where \(4,\) is expected",
    ),
    ({'attributes': {'classes': 4}}, '3 names of classes for 4 logits'),
    ({'architecture': 'VGG'}, 'not the description|missing or damaged'),
    ({'architecture': 'os.system'}, r'network\.json: not the description'),
    ({'size': 'big'}, r'network\.json: not the description'),
  ):
    (folder / 'network.json').write_text(json.dumps(description | damage))
    refused(match)
  (folder / 'network.json').write_text('{')
  refused(r'network\.json: not the description')
  (folder / 'network.json').write_text(json.dumps(description))
  arrays = [p for p in (folder / 'weights').rglob('*') if p.is_file() and p.stat().st_size > 1000]
  for path in arrays:
    path.write_bytes(path.read_bytes()[:100])
  refused('weights: missing or damaged')
  (folder / 'network.json').unlink()
  refused(r'network\.json: No such file')


RESNET = {'architecture': 'ResNet', 'size': 224}
HOSTILE = {
  'an attribute of Flax': {'attributes': {'parent': None}},
  'a dict as an attribute': {'attributes': {'classes': {}}},
  'a text as an attribute': {'attributes': {'classes': 'x\ny' * 10_000}},
  'a name with line breaks': {'attributes': {'x\nerror: fake\x1b[31m' * 1000: 1}},
  'classes below zero': {'attributes': {'classes': -1}},
  'more classes than memory': {'attributes': {'classes': 10**12}},
  'infinitely many classes': {'attributes': {'classes': float('inf')}},
  'a deep network': RESNET | {'attributes': {'classes': 3, 'depths': [10**6] * 4}},
  'a network of no stage': RESNET | {'attributes': {'classes': 3, 'depths': [[]]}},
  'a wide network': RESNET | {'attributes': {'classes': 3, 'width': 10**6}},
  'a size of no pixel': {'size': 0},
  'a size beyond any': {'size': 10**30},
  'a size that is infinite': {'size': float('inf')},
  'a size that is too small for the layers': {'size': 1},
  'names that are numbers': {'class_names': [1, 2, 3]},
  'a name too few': {'class_names': ['a', 'b']},
  'names that are a number': {'class_names': 3},
  'a preprocessing of texts': {'preprocessing': {'mean': ['a'], 'std': ['b'], 'gray': True}},
  'a preprocessing of two channels': {'preprocessing': {'mean': [0, 0], 'std': [1, 1]}},
  'a preprocessing without a mean': {'preprocessing': {}},
  'an architecture of 5 MB': {'architecture': 'x\n' * 2_500_000},
  'an architecture that is a list': {'architecture': []},
}


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A folder of a sound network, and its description."""
  folder = tmp_path_factory.mktemp('saved') / 'net'
  nets.save(small(), folder)
  return folder, (folder / 'network.json').read_text()


def refused_in_a_line(folder):
  with pytest.raises(nets.CheckpointError) as raised:
    read_network(folder)
  message = str(raised.value)
  assert message.isprintable() and len(message) < 600 and str(folder) in message


@pytest.mark.parametrize('kind', HOSTILE)
def test_a_hostile_description_is_refused_in_a_line(saved, kind):
  folder, sound = saved
  (folder / 'network.json').write_text(json.dumps(json.loads(sound) | HOSTILE[kind]))
  refused_in_a_line(folder)


def test_a_damaged_description_is_refused_in_a_line(saved):
  folder, sound = saved
  for text in (
    b'',
    b'[' * 100_000,
    b'{"a":' * 100_000,
    b'\xff\xfe',
    b'null',
    b'9' * 10_000,
    b'[1]',
  ):
    (folder / 'network.json').write_bytes(text)
    refused_in_a_line(folder)
  for length in range(0, len(sound) - 1, 40):
    (folder / 'network.json').write_text(sound[:length])
    refused_in_a_line(folder)


def test_load_says_what_is_wrong(tmp_path):
  for arguments, match in (
    (('resnet_50',), "'resnet50'"),
    (('resnet50',), "comes without weights.*'random'"),
    (('efficientnet_lite0', '', 'imagnet'), "'imagenet'"),
    (('mnist', 'random', '', str(tmp_path / 'none.txt')), r'none\.txt: No such file'),
    (('flower', str(tmp_path / 'none.pth')), r'none\.pth: No such file'),
    ((str(tmp_path), 'x.pth'), 'leave weights empty'),
  ):
    with pytest.raises(UserError, match=match):
      nets.load(*arguments)
  (tmp_path / 'names.txt').write_text('one\ntwo\n')
  with pytest.raises(UserError, match='2 names for the 10 logits'):
    nets.load('mnist', 'random', '', str(tmp_path / 'names.txt'))


def test_random_weights_are_those_of_their_seed():
  one, same, other = (nets.load('mnist', 'random', seed=seed) for seed in (0, 0, 1))
  kernels = [net.variables['params']['conv1']['kernel'] for net in (one, same, other)]
  np.testing.assert_array_equal(kernels[0], kernels[1])
  assert not np.array_equal(kernels[0], kernels[2])


def test_an_untrained_network_has_the_classes_that_it_is_given(tmp_path):
  names = ('red', 'blue', 'pink, rose', 'white', 'orange', 'cyan')
  net = zoo.untrained('flower', names, 'symmetric', seed=3)
  save(net, tmp_path / 'flower')
  again = nets.load(str(tmp_path / 'flower'))
  assert again.network.classes == 6 and again.class_names == names
  assert again.preprocessing == net.preprocessing == PREPROCESSINGS['symmetric']
  jax.tree.map(np.testing.assert_array_equal, again.variables, net.variables)
  assert net.variables['params']['fc4']['bias'].shape == (6,)
  with pytest.raises(UserError, match="network 'flowr' is not known; did you mean 'flower'"):
    zoo.untrained('flowr', names)


def test_an_untrained_network_of_the_usual_classes_is_the_random_one():
  net, usual = (
    zoo.untrained('mnist', tuple('0123456789'), seed=5),
    nets.load('mnist', 'random', seed=5),
  )
  jax.tree.map(np.testing.assert_array_equal, net.variables, usual.variables)
  assert (net.network, net.class_names, net.size) == (usual.network, usual.class_names, usual.size)
