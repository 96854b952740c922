"""PyTorch's files and safetensors: what is read, of whatever age, and whatever stands beside."""

import argparse
import collections
import datetime
import decimal
import pathlib
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from perturb.nets import load
from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.torch_files import open_checkpoint, read_checkpoint
from tests.nets import checkpoints as torch
from tests.nets.checkpoints import ARRAYS, call, legacy_file, mapping, name, value, zip_file


def check(read, arrays=ARRAYS):
  assert list(read) == list(arrays)
  for key, array in arrays.items():
    np.testing.assert_array_equal(read[key], array)
    assert read[key].dtype == array.dtype


def test_reads_both_formats(tmp_path):
  check(read_checkpoint(zip_file(tmp_path / 'zip.pth', torch.state())))
  check(read_checkpoint(legacy_file(tmp_path / 'old.pth', torch.state(legacy=True))))


def test_reads_what_torch_wrote_before_0_4(tmp_path):
  tensors = {key: torch.old_tensor(str(i), a) for i, (key, a) in enumerate(ARRAYS.items())}
  check(read_checkpoint(legacy_file(tmp_path / 'x.pth', torch.ordered(tensors))))


def test_reads_what_python_2_wrote(tmp_path):
  check(read_checkpoint(legacy_file(tmp_path / 'x.pth', torch.python2_state())))


def test_the_tar_format_and_others_are_named(tmp_path):
  path = tmp_path / 'x.pth'
  path.write_bytes(b'storages'.ljust(257, b'\0') + b'ustar\x0000'.ljust(255, b'\0'))
  with pytest.raises(
    CheckpointError, match=r'x\.pth: the tar format of the first versions of torch'
  ):
    read_checkpoint(path)
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('net/data.pkl', torch.state())
    archive.writestr('net/constants.pkl', b'')
  with pytest.raises(CheckpointError, match='TorchScript'):
    read_checkpoint(path)


def test_a_whole_network_gives_the_state_dict_that_it_would_give(tmp_path):
  inner = torch.module_object({'weight': torch.tensor('0', ARRAYS['a.weight'])})
  outer = torch.module_object({'b': torch.tensor('1', ARRAYS['b'])}, {'a': inner})
  for root, where in ((outer, ''), (mapping({'net': outer}), 'net')):
    checkpoint = open_checkpoint(zip_file(tmp_path / 'x.pth', root))
    assert list(checkpoint.state_dicts) == [where]
    check(checkpoint.read(where, {key: key for key in ARRAYS}))


def test_parameters_and_tensors_of_a_class_are_tensors(tmp_path):
  tensor, none = torch.tensor('0', ARRAYS['a.weight']), value(None)
  plain = torch.storage('0', 6), value(0), value((2, 3)), value((3, 1)), value(False), none
  subclass = call(
    name('torch._tensor', '_rebuild_from_type_v2'),
    name('torch._utils', '_rebuild_tensor_v2'),
    name('mine', 'Tensor'),
    torch.group(*plain),
    mapping({}),
  )
  for made in (
    call(name('torch._utils', '_rebuild_parameter'), tensor, value(True), none),
    call(name('torch._utils', '_rebuild_parameter_with_state'), tensor, value(True), none, none),
    call(name('torch.nn.parameter', 'Parameter'), tensor) + value((True, False)) + pickle.BUILD,
    call(name('torch._utils', '_rebuild_parameter'), subclass, value(True), none),
  ):
    read = read_checkpoint(zip_file(tmp_path / 'x.pth', mapping({'w': made})))
    np.testing.assert_array_equal(read['w'], ARRAYS['a.weight'])


@pytest.mark.parametrize('legacy', [False, True])
def test_storages_without_a_type_take_the_tensors(tmp_path, legacy):
  array = np.arange(6).astype(ml_dtypes.float8_e4m3fn).reshape(2, 3)
  untyped = torch.storage('0', 6, 'UntypedStorage', module='torch.storage', view=value(None))
  rest = value(0), value((2, 3)), value((3, 1)), value(False), value(None)
  dtype = name('torch', 'float8_e4m3fn')
  made = call(name('torch._utils', '_rebuild_tensor_v3'), untyped, *rest, dtype)
  write = legacy_file if legacy else zip_file
  path = write(tmp_path / 'x.pth', mapping({'w': made}), {'w': array})
  check(read_checkpoint(path), {'w': array})


def test_reads_views_of_storages_and_parts_of_them(tmp_path):
  whole = np.arange(12, dtype=np.float32)
  part = value(('7', 3, 6))  # The legacy format's: a key, an offset, a size.
  tensors = {
    'transposed': torch.tensor('0', whole.reshape(3, 4).T, size=12),
    'row': torch.tensor('0', whole[4:8], size=12, offset=4, view=value(None)),
    'part': torch.tensor('0', whole[4:6], size=12, offset=1, view=part),
  }
  read = read_checkpoint(legacy_file(tmp_path / 'x.pth', mapping(tensors), {'0': whole}))
  np.testing.assert_array_equal(read['transposed'], whole.reshape(3, 4).T)
  np.testing.assert_array_equal(read['row'], whole[4:8])
  np.testing.assert_array_equal(read['part'], whole[4:6])


def test_storages_of_other_tensors_are_passed_over(tmp_path):
  arrays = {'step': np.arange(3), 'moment': np.ones((2, 3), np.float32), **ARRAYS}
  view = {'view': value(None)}
  step = call(
    name('torch._utils', '_rebuild_tensor_v2'),
    torch.storage('0', 3, 'LongStorage', **view),
    *(value(0), value((3,)), value((1,)), value(False), value(None)),
  )
  moment = torch.tensor('1', arrays['moment'], **view)
  optimizer = mapping({'state': mapping({0: mapping({'step': step, 'exp_avg': moment})})})
  root = mapping({'optimizer': optimizer, 'model': torch.state(first=2, legacy=True)})
  path = legacy_file(tmp_path / 'x.pth', root, arrays)
  check(read_checkpoint(path))
  assert list(open_checkpoint(path).state_dicts) == ['model', 'optimizer/state/0']


class Thing:
  """Has a class that a reader may not import."""

  def __init__(self):
    self.anything = {'a': 1}


class Dict(dict):
  pass


BESIDE = {
  'a namespace': argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath('x')),
  'numbers': [1, 0.5, True, None, 2**700, -(2**70), 1j, decimal.Decimal(1), np.float64(2)],
  'arrays': [np.arange(3), np.dtype('f4'), np.random.RandomState(0)],
  'times': [datetime.datetime(2020, 1, 1), datetime.timedelta(1)],
  'containers': [{1, 2}, frozenset('a'), (), (1,), (1, 2, 3, 4), slice(1, 2), range(3)],
  'dicts': [collections.Counter('aab'), collections.defaultdict(list, a=[1]), Dict(a=1)],
  'bytes': [b'abc', b'x' * 300, bytearray(b'abc')],
  'texts': ['x' * 300, 'y' * 20_000, 'é\n\\"', '\ud800'],
  'objects': [Thing(), Thing, len],
  'keys': {(1, 2): 1, 1.5: 2, None: 3, b'x': 4, frozenset(): 5},
}


@pytest.mark.parametrize('protocol', range(6))
def test_whatever_is_beside_the_weights_does_not_matter(tmp_path, protocol):
  for i, (kind, beside) in enumerate(BESIDE.items()):
    # The text before the weights: what is written here may not disturb the machine.
    body = pickle.dumps(beside, protocol)
    body = body[2:-1] if protocol >= 2 else body[:-1]
    root = pickle.EMPTY_DICT + body.join([value('extra'), pickle.SETITEM])
    root += value('state_dict') + torch.state() + pickle.SETITEM
    path = zip_file(tmp_path / f'{i}.pth', root)
    read = read_checkpoint(path)
    assert list(read) == list(ARRAYS), kind


RARE = {
  'EXT1': pickle.EXT1 + b'\1',
  'EXT2': pickle.EXT2 + b'\1\0',
  'EXT4': pickle.EXT4 + b'\1\0\0\0',
  'OBJ': pickle.MARK + name('mine', 'Class') + value(1) + pickle.OBJ,
  'INST': pickle.MARK + value(1) + pickle.INST + b'mine\nClass\n',
  'NEWOBJ_EX': name('mine', 'Class') + pickle.EMPTY_TUPLE + mapping({}) + pickle.NEWOBJ_EX,
  'DUP': value(1) + pickle.DUP + pickle.TUPLE2,
  'POP': value(1) + value(2) + pickle.POP,
  'POP_MARK': value(1) + pickle.MARK + value(2) + value(3) + pickle.POP_MARK,
  'POP of a mark': value(1) + pickle.MARK + pickle.POP,
  'PERSID': pickle.PERSID + b'anything\n',
  'BINPERSID': value(('module', 'source')) + pickle.BINPERSID,
  'LONG_BINPUT': value(1) + pickle.LONG_BINPUT + b'\0\1\0\0' + pickle.LONG_BINGET + b'\0\1\0\0'
  + pickle.TUPLE2,
  'BYTEARRAY8': pickle.BYTEARRAY8 + struct.pack('<Q', 3) + b'abc',
  'NEXT_BUFFER': pickle.NEXT_BUFFER + pickle.READONLY_BUFFER,
  'BINSTRING': pickle.BINSTRING + b'\2\0\0\0\xff\xfe',
  'STRING': pickle.STRING + b"'a\\n'\n",
  'LIST': pickle.MARK + value(1) + pickle.LIST,
  'DICT': pickle.MARK + value('a') + value(1) + pickle.DICT,
  'BUILD': name('mine', 'Class') + pickle.EMPTY_TUPLE + pickle.NEWOBJ + value((1, 2))
  + pickle.BUILD,
  'a long line': pickle.STRING + b"'" + b'x' * 30_000 + b"'\n",
}  # fmt: skip


@pytest.mark.parametrize('rare', RARE)
def test_every_instruction_is_understood(tmp_path, rare):
  root = mapping({'extra': RARE[rare], 'state_dict': torch.state()})
  check(read_checkpoint(zip_file(tmp_path / 'x.pth', root)))


class Evil:
  """Calls something where it is unpickled."""

  def __init__(self, function, *arguments):
    self.reduced = (function, arguments)

  def __reduce__(self):
    return self.reduced


@pytest.mark.parametrize('make', [zip_file, legacy_file])
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_a_call_is_never_made(tmp_path, make, protocol):
  target = tmp_path / 'made'
  body = pickle.dumps(Evil(pathlib.Path.mkdir, target), protocol)
  body = body[:-1] if protocol == 0 else body[2:-1]
  legacy = make is legacy_file
  path = make(tmp_path / 'x.pth', mapping({'a': body}))
  with pytest.raises(CheckpointError, match=r"x\.pth: it holds no state dict .* 'a', which is a '"):
    read_checkpoint(path)
  path = make(tmp_path / 'x.pth', mapping({'beside': body, 'model': torch.state(legacy=legacy)}))
  check(read_checkpoint(path))
  assert not target.exists()


def test_a_needed_tensor_that_is_none_is_named_with_what_it_is(tmp_path):
  tensors = {'b': torch.tensor('1', ARRAYS['b']), 'conv1.weight': value(np.ones(3))}
  path = zip_file(tmp_path / 'x.pth', mapping(tensors))
  assert list(read_checkpoint(path)) == ['b']
  with pytest.raises(CheckpointError, match=r"'conv1\.weight' is a 'numpy.*_reconstruct', not a"):
    load('mnist', str(path))
  quantized = call(name('torch._utils', '_rebuild_qtensor'), torch.storage('0', 6, 'QInt8Storage'))
  path = zip_file(tmp_path / 'x.pth', mapping({'b': tensors['b'], 'w': quantized}))
  with pytest.raises(CheckpointError, match=r"'w' is a 'torch\._utils\._rebuild_qtensor', not a"):
    read_checkpoint(path)


def test_archives_may_be_packed_and_may_have_no_checksums(tmp_path):
  check(
    read_checkpoint(zip_file(tmp_path / 'x.pth', torch.state(), compression=zipfile.ZIP_DEFLATED))
  )
  whole = bytearray(zip_file(tmp_path / 'x.pth', torch.state()).read_bytes())
  at = -1
  while (at := whole.find(b'PK\1\2', at + 1)) >= 0:
    whole[at + 16 : at + 20] = b'\xff' * 4
  (tmp_path / 'x.pth').write_bytes(whole)
  check(read_checkpoint(tmp_path / 'x.pth'))


def test_large_archives_have_64_bit_directories(tmp_path):
  with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as archive:
    for entry, data in (('data.pkl', torch.START + torch.state() + torch.STOP), *[
      (f'data/{i}', array.tobytes()) for i, array in enumerate(ARRAYS.values())
    ]):  # fmt: skip
      with archive.open(zipfile.ZipInfo(f'x/{entry}'), 'w', force_zip64=True) as file:
        file.write(data)
  check(read_checkpoint(tmp_path / 'x.pth'))


def test_a_place_in_the_file_may_be_asked_for(tmp_path):
  other = {'a.weight': np.zeros((2, 3), np.float32), 'b': np.zeros(4, np.float32)}
  arrays = {**{f'ema.{key}': one for key, one in other.items()}, **ARRAYS}
  root = mapping({'model_ema': torch.state(other), 'net': torch.state(first=2)})
  path = zip_file(tmp_path / 'x.pth', root, arrays)
  check(read_checkpoint(path))
  check(read_checkpoint(path, 'model_ema'), other)
  with pytest.raises(CheckpointError, match="'ema'; there are some at 'model_ema', 'net'"):
    read_checkpoint(path, 'ema')


@pytest.mark.parametrize('make', [zip_file, legacy_file])
def test_every_truncation_is_refused_with_the_files_name(tmp_path, make):
  root = torch.state(legacy=make is legacy_file)
  whole = make(tmp_path / 'whole.pth', root).read_bytes()
  path = tmp_path / 'cut.pth'
  for length in range(0, len(whole), 7):
    path.write_bytes(whole[:length])
    with pytest.raises(CheckpointError, match=r'cut\.pth'):
      read_checkpoint(path)


def test_a_tensor_that_reaches_past_its_storage_is_refused(tmp_path):
  reaching = torch.tensor('0', ARRAYS['a.weight'], strides=(3, 100))
  with pytest.raises(CheckpointError, match="'a.weight' reaches past"):
    read_checkpoint(zip_file(tmp_path / 'x.pth', mapping({'a.weight': reaching})))


def test_data_of_another_length_are_refused(tmp_path):
  with pytest.raises(CheckpointError, match='missing or truncated'):
    read_checkpoint(zip_file(tmp_path / 'x.pth', torch.state(), data=b'1234'))


@pytest.mark.parametrize('content', [b'', b'hello', b'\x80\x02}q\x00.', b'PK\x03\x04junk'])
def test_other_files_are_refused(tmp_path, content):
  path = tmp_path / 'x.pth'
  path.write_bytes(content)
  with pytest.raises(CheckpointError, match=r'x\.pth'):
    read_checkpoint(path)


def test_reads_safetensors_whatever_the_files_name(tmp_path):
  kinds = ['f8', 'f4', 'f2', 'i8', 'i4', 'i2', 'i1', 'u8', 'u4', 'u2', 'u1', '?']
  arrays = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in kinds}
  arrays |= {'empty': np.zeros((0, 3), 'f4'), 'scalar': np.array(3, 'f4')}
  arrays['bfloat16'] = np.arange(3).astype(ml_dtypes.bfloat16)
  for file in ('x.safetensors', 'x.bin'):
    save_file(arrays, tmp_path / file, metadata={'format': 'pt'})
    read = read_checkpoint(tmp_path / file)
    check({key: read[key] for key in arrays}, arrays)


def test_every_truncated_safetensors_file_is_refused(tmp_path):
  save_file(ARRAYS, tmp_path / 'whole.safetensors')
  whole = (tmp_path / 'whole.safetensors').read_bytes()
  path = tmp_path / 'x.safetensors'
  for length in range(0, len(whole), 5):
    path.write_bytes(whole[:length])
    with pytest.raises(CheckpointError, match=r'x\.safetensors'):
      read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(CheckpointError, match=r'none\.pth: No such file'):
    read_checkpoint(tmp_path / 'none.pth')


def test_weights_of_another_network_are_refused_by_tensor(tmp_path):
  path = zip_file(tmp_path / 'x.pth', torch.state())
  with pytest.raises(CheckpointError, match=r"x\.pth: tensor '_.*' .*is missing"):
    load('efficientnet_lite0', str(path))


def test_a_module_whose_buffers_are_no_dict_is_read_without_them(tmp_path):
  """Found by damaging files at random."""
  whole = torch.module_object(
    {key: torch.tensor(str(i), a) for i, (key, a) in enumerate(torch.ARRAYS.items())}
  )
  damaged = whole.replace(torch.ordered({}), torch.value('text'), 1)  # The buffers come first.
  assert damaged != whole
  assert list(read_checkpoint(torch.zip_file(tmp_path / 'w.pth', damaged))) == list(torch.ARRAYS)
