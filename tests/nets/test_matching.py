"""Which tensors of a checkpoint are a network's: wrappers, prefixes, averages, what is left."""

import argparse
import datetime
import pathlib
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from configs import heatmaps
from perturb import nets
from perturb.nets import zoo
from perturb.nets.convert import convert
from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.torch_names import torch_shapes
from perturb.run.subjects import load_network
from tests import fixtures
from tests.nets import checkpoints as torch
from tests.nets.checkpoints import legacy_file, mapping, value, zip_file

MNIST = zoo.NETWORKS['mnist']
SHAPES = {name: shapes[0] for name, shapes in torch_shapes(MNIST.network, MNIST.shape).items()}
WEIGHTS = {n: np.float32(a) for n, a in fixtures.torch_like_state(SHAPES).items()}
SMALL = {'a': np.zeros(3, np.float32)}


def zeros(prefix=''):
  """Other weights of the same network."""
  return {prefix + name: np.broadcast_to(np.float32(0), shape) for name, shape in SHAPES.items()}


def named(prefix):
  return {prefix + name: array for name, array in WEIGHTS.items()}


def written(path, parts, *, make=zip_file, beside=b''):
  """A file of several state dicts: place -> name -> array; '' for the top of the file."""
  arrays, root = {}, {}
  for place, state in parts.items():
    made = torch.state(state, first=len(arrays), legacy=make is legacy_file, make=mapping)
    arrays |= {f'{place}/{name}': array for name, array in state.items()}
    root[place] = made
  body = root[''] if '' in root else mapping(root)
  return make(path, body + beside, arrays)


def taken(path, network='mnist'):
  """(place, prefix) of what is taken; its numbers are checked."""
  checkpoint = nets.open_checkpoint(path)
  fit = zoo.find(zoo.NETWORKS[network], checkpoint.state_dicts)
  assert fit.wrong == []
  read = checkpoint.read(fit.where, fit.names)
  for name, array in WEIGHTS.items():
    np.testing.assert_array_equal(read[name], array)
  return fit.where, fit.prefix


@pytest.mark.parametrize(
  'prefix',
  ['', 'module.', '_orig_mod.', 'module._orig_mod.', 'model.', 'net.', 'backbone.', 'a.b.c.d.'],
)
@pytest.mark.parametrize('make', [zip_file, legacy_file])
def test_a_prefix_is_found(tmp_path, prefix, make):
  assert taken(written(tmp_path / 'x.pth', {'': named(prefix)}, make=make)) == ('', prefix)


WRAPPERS = [
  'state_dict', 'model', 'model_state_dict', 'net', 'ema', 'state_dict_ema', 'model_ema', 'weights',
  'params', 'anything',
]  # fmt: skip


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_a_wrapper_is_found(tmp_path, wrapper):
  epoch = value('epoch') + value(3) + torch.pickle.SETITEM
  path = written(tmp_path / 'x.pth', {wrapper: named('m.'), 'other': SMALL}, beside=epoch)
  assert taken(path) == (wrapper, 'm.')


def test_wrappers_in_wrappers_are_found(tmp_path):
  inner = mapping({'model': torch.state(WEIGHTS)})
  path = zip_file(tmp_path / 'x.pth', mapping({'checkpoint': mapping({'x': inner})}), WEIGHTS)
  assert taken(path) == ('checkpoint/x/model', '')


@pytest.mark.parametrize('first', ['state_dict_ema', 'model_ema', 'ema', 'averaged', 'shadow'])
def test_plain_weights_come_before_their_averages(tmp_path, first):
  both = {first: zeros(), 'state_dict': WEIGHTS}
  assert taken(written(tmp_path / 'x.pth', both)) == ('state_dict', '')


def test_averages_are_taken_where_only_they_fit(tmp_path):
  both = {'state_dict': {'conv1.weight': np.zeros(3, np.float32)}, 'model_ema': WEIGHTS}
  assert taken(written(tmp_path / 'x.pth', both)) == ('model_ema', '')


def test_plain_prefixes_come_before_averages_in_one_dict(tmp_path):
  both = zeros('teacher.') | named('student.')
  assert taken(written(tmp_path / 'x.pth', {'': both})) == ('', 'student.')
  both = named('encoder_q.') | zeros('encoder_k.')
  assert taken(written(tmp_path / 'x.pth', {'': both})) == ('', 'encoder_q.')


def test_a_state_dict_that_fits_comes_before_one_that_nearly_does(tmp_path):
  near = {**zeros(), 'conv1.bias': np.zeros(7, np.float32)}
  both = {'state_dict': near, 'weights': named('model.')}
  assert taken(written(tmp_path / 'x.pth', both)) == ('weights', 'model.')


def test_what_is_outside_the_prefix_is_left_aside_and_said(tmp_path):
  head = {'projection_head.0.weight': np.zeros(3, np.float32), 'queue': np.zeros(2, np.float32)}
  path = written(tmp_path / 'x.pth', {'state_dict': named('encoder.') | head})
  assert taken(path) == ('state_dict', 'encoder.')
  said = convert(str(path), str(tmp_path / 'out'), network='mnist')
  assert "mnist, 10 classes (state dict 'state_dict', prefix 'encoder.', 2 left aside)" in said


def test_what_is_left_inside_the_prefix_is_an_error(tmp_path):
  extra = {'encoder.extra.weight': np.zeros(3, np.float32)}
  path = written(tmp_path / 'x.pth', {'': named('encoder.') | extra})
  with pytest.raises(CheckpointError, match="tensor 'extra.weight' belongs to no layer of MNISTN"):
    nets.load('mnist', str(path))


def test_convert_takes_the_place_that_is_asked_for(tmp_path):
  path = written(tmp_path / 'x.pth', {'model': WEIGHTS, 'model_ema': zeros()})
  assert "state dict 'model')" in convert(str(path), str(tmp_path / 'a'), network='mnist')
  said = convert(str(path), str(tmp_path / 'b'), network='mnist', state_dict='model_ema')
  assert "state dict 'model_ema'" in said
  assert not np.any(nets.load(str(tmp_path / 'b')).variables['params']['conv1']['kernel'])
  with pytest.raises(CheckpointError, match="no state dict at 'ema'; .* 'model', 'model_ema'"):
    convert(str(path), str(tmp_path / 'c'), state_dict='ema')


def test_a_network_takes_the_number_of_classes_behind_a_prefix(tmp_path):
  state = named('m.') | {
    'm.fc4.weight': np.zeros((4, 500), np.float32),
    'm.fc4.bias': np.zeros(4, np.float32),
  }
  net = nets.load('mnist', str(written(tmp_path / 'x.pth', {'': state})))
  assert net.network.classes == 4


def test_from_torch_finds_a_prefix_too():
  variables = nets.from_torch(MNIST.network, named('module.x.'), shape=MNIST.shape)
  np.testing.assert_array_equal(variables['params']['conv1']['bias'], WEIGHTS['conv1.bias'])


def test_where_nothing_fits_the_names_of_both_sides_are_shown(tmp_path):
  state = {f'blocks.{i}\n.weight': np.zeros(1, np.float32) for i in range(100)}
  path = str(written(tmp_path / 'x.pth', {'': state}))
  for run in (
    lambda: nets.load('mnist', path),
    lambda: convert(path, str(tmp_path / 'out'), network='mnist'),
  ):
    with pytest.raises(CheckpointError) as raised:
      run()
    message = str(raised.value)
    assert '; 0 of 8 names are there; ' in message
    assert re.search(r"like 'blocks\.0\\n\.weight', .* those needed like '\w+\.bias', ", message)
    assert message.isprintable() and len(message) < 700


def test_how_many_names_are_there_is_said_with_the_prefix(tmp_path):
  state = named('module.')
  del state['module.conv2.weight'], state['module.conv2.bias']
  path = str(written(tmp_path / 'x.pth', {'net': state}))
  wanted = r"'conv2\.\w+' of shape .* is missing for MNISTNet \(and 1 more\); 6 of 8 names are the"
  with pytest.raises(CheckpointError, match=wanted + r"re \(state dict 'net', prefix 'module\.'\)"):
    nets.load('mnist', path)


def test_hostile_names_cost_little():
  dots = {'.' * 10_000 + str(i): np.zeros(1) for i in range(1000)}
  many = {str(i): {f'p{i}.conv1.weight': np.zeros(1)} for i in range(5000)}
  for states in ({'': dots}, many, {'': {f'p{i}.conv1.bias': np.zeros(1) for i in range(20_000)}}):
    assert zoo.find(MNIST, states).wrong


def test_complex_tensors_are_refused():
  state = WEIGHTS | {'conv1.bias': np.zeros(20, np.complex64)}
  with pytest.raises(CheckpointError, match=r"'conv1\.bias' has complex numbers"):
    nets.from_torch(MNIST.network, state, shape=MNIST.shape)


def whole_model():
  parts, order = {}, [*WEIGHTS]
  for layer in ('conv1', 'conv2', 'conv3', 'fc4'):
    keys = {leaf: f'{layer}.{leaf}' for leaf in ('bias', 'weight')}
    parts[layer] = torch.module_object(
      {leaf: torch.tensor(str(order.index(key)), WEIGHTS[key]) for leaf, key in keys.items()}
    )
  return torch.module_object({}, parts)


def old_state():
  return mapping({n: torch.old_tensor(str(i), a) for i, (n, a) in enumerate(WEIGHTS.items())})


def safetensors_file(path):
  save_file(WEIGHTS, path)
  return path


def training(path, **options):
  """As PyTorch's own example for ImageNet writes one."""
  arguments = value(argparse.Namespace(lr=0.1, data=datetime.date(2020, 1, 1)))
  beside = value('args') + arguments + torch.pickle.SETITEM
  moments = {f'{i}': np.zeros(3, np.float32) for i in range(9)}
  return written(path, {'optimizer': moments, 'state_dict': WEIGHTS}, beside=beside, **options)


# The first words of a row of the table in docs/networks.md: files, and what is taken of them.
FORMS = {
  '`torch.save(model.state_dict(), path)`, in either': [
    (lambda path: zip_file(path, torch.state(WEIGHTS), WEIGHTS), ('', '')),
    (lambda path: legacy_file(path, torch.state(WEIGHTS, legacy=True), WEIGHTS), ('', '')),
  ],
  'the same by torch 0.1 to 0.3, or under Python 2': [
    (lambda path: legacy_file(path, old_state(), WEIGHTS), ('', '')),
    (lambda path: legacy_file(path, torch.python2_state(WEIGHTS), WEIGHTS), ('', '')),
  ],
  'of a model in `DataParallel`': [
    (lambda path: written(path, {'': named('module.')}), ('', 'module.')),
  ],
  'of a model after `torch.compile`': [
    (lambda path: written(path, {'': named('_orig_mod.')}), ('', '_orig_mod.')),
  ],
  'of a training script': [
    (training, ('state_dict', '')),
    (lambda path: training(path, make=legacy_file), ('state_dict', '')),
  ],
  'of PyTorch Lightning': [
    (lambda path: written(path, {'state_dict': named('model.')}), ('state_dict', 'model.')),
  ],
  'with running averages beside': [
    (lambda path: written(path, {'model_ema': zeros(), 'model': WEIGHTS}), ('model', '')),
    (lambda path: written(path, {'state_dict_ema': WEIGHTS}), ('state_dict_ema', '')),
  ],
  'of self-supervised training': [
    (lambda path: written(path, {'': named('encoder.') | SMALL}), ('', 'encoder.')),
  ],
  '`torch.save(model, path)`': [(lambda path: zip_file(path, whole_model(), WEIGHTS), ('', ''))],
  '`.safetensors`': [(safetensors_file, ('', ''))],
}


def test_the_table_of_forms_is_this_one():
  text = (pathlib.Path(__file__).parents[2] / 'docs/networks.md').read_text()
  rows = text.split('| checkpoint | what is taken |\n|---|---|\n')[1].split('\n\n')[0].splitlines()
  assert len(rows) == len(FORMS)
  for row, start in zip(rows, FORMS, strict=True):
    assert row.startswith(f'| {start}'), start


@pytest.mark.parametrize('form', FORMS)
def test_the_common_forms_are_read(tmp_path, form):
  for write, place in FORMS[form]:
    assert taken(write(tmp_path / 'x.pth')) == place


def test_a_file_that_is_written_again_is_read_again(tmp_path, capsys):
  path = tmp_path / 'w.pth'
  written(path, {'model': named('module.')})
  first = nets.load('mnist', str(path))
  assert nets.load('mnist', str(path)) is first
  written(path, {'model': zeros('module.')})
  again = nets.load('mnist', str(path))
  layer = next(iter(again.variables['params']))
  assert np.abs(first.variables['params'][layer]['kernel']).max() > 0
  assert np.abs(again.variables['params'][layer]['kernel']).max() == 0

  config = heatmaps.get_config()
  config.network, config.weights, config.target = 'mnist', str(path), ''
  load_network(config)
  assert capsys.readouterr().out == f"weights of {path}: state dict 'model', prefix 'module.'\n"
