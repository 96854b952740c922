import collections
import contextlib
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from perturb.nets import load
from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.torch_files import LEGACY_MAGIC, LEGACY_PROTOCOL, read_checkpoint

# PyTorch's own classes, as far as a checkpoint shows them: pickled by reference to their names.


class FloatStorage:
  pass


def _rebuild_tensor_v2(*_):
  pass


FloatStorage.__module__, _rebuild_tensor_v2.__module__ = 'torch', 'torch._utils'


class Tensor:
  """Pickles as PyTorch's tensors do."""

  def __init__(self, key, array, size=None, stride=None):
    self.storage = ('storage', FloatStorage, key, 'cpu', array.size if size is None else size)
    strides = tuple(s // array.itemsize for s in array.strides)
    self.rest = (
      0,
      array.shape,
      strides if stride is None else stride,
      False,
      collections.OrderedDict(),
    )


class Pickler(pickle._Pickler):
  """The pure Python pickler, told what the names `torch.FloatStorage` ... are."""

  dispatch = dict(pickle._Pickler.dispatch)
  legacy = False

  def persistent_id(self, obj):
    if isinstance(obj, tuple) and obj and obj[0] == 'storage':
      return (*obj, None) if self.legacy else obj
    return None

  def save_global(self, obj, name=None):
    if obj in (FloatStorage, _rebuild_tensor_v2):
      self.write(pickle.GLOBAL + f'{obj.__module__}\n{obj.__name__}\n'.encode())
    else:
      super().save_global(obj, name)

  dispatch[type] = save_global
  dispatch[type(_rebuild_tensor_v2)] = save_global

  def save_tensor(self, tensor):
    self.save_reduce(_rebuild_tensor_v2, (tensor.storage, *tensor.rest), obj=tensor)

  dispatch[Tensor] = save_tensor


def pickled(obj, *, legacy=False):
  buffer = io.BytesIO()
  pickler = Pickler(buffer, 2)
  pickler.legacy = legacy
  pickler.dump(obj)
  return buffer.getvalue()


ARRAYS = {'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3), 'b': np.ones(4, np.float32)}


def state(**options):
  return collections.OrderedDict(
    (name, Tensor(str(i), array, **options)) for i, (name, array) in enumerate(ARRAYS.items())
  )


def zip_file(path, description, *, data=None):
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('model/data.pkl', description)
    archive.writestr('model/byteorder', 'little')
    for i, array in enumerate(ARRAYS.values()):
      archive.writestr(f'model/data/{i}', array.tobytes() if data is None else data)
  return path


def legacy_file(path, description):
  parts = [
    pickle.dumps(LEGACY_MAGIC, 2),
    pickle.dumps(LEGACY_PROTOCOL, 2),
    pickle.dumps({'little_endian': True}, 2),
    description,
    pickle.dumps([str(i) for i in range(len(ARRAYS))], 2),
  ]
  for array in ARRAYS.values():
    parts += [array.size.to_bytes(8, 'little'), array.tobytes()]
  path.write_bytes(b''.join(parts))
  return path


def check(read):
  assert list(read) == list(ARRAYS)
  for name, array in ARRAYS.items():
    np.testing.assert_array_equal(read[name], array)
    assert read[name].dtype == array.dtype


def test_reads_both_formats(tmp_path):
  check(read_checkpoint(zip_file(tmp_path / 'zip.pth', pickled(state()))))
  check(read_checkpoint(legacy_file(tmp_path / 'old.pth', pickled(state(), legacy=True))))


def test_reads_a_state_dict_inside_a_training_checkpoint(tmp_path):
  wrapped = {'epoch': 3, 'state_dict': state(), 'lr': 0.1, 'names': ['x', None, True]}
  check(read_checkpoint(zip_file(tmp_path / 'x.pth', pickled(wrapped))))


def test_reads_a_transposed_view(tmp_path):
  tensors = {'a.weight': Tensor('0', ARRAYS['a.weight'].T)}
  read = read_checkpoint(zip_file(tmp_path / 'x.pth', pickled(tensors)))
  np.testing.assert_array_equal(read['a.weight'], ARRAYS['a.weight'].T)


class Evil:
  def __init__(self, function, *arguments):
    self.reduced = (function, arguments)

  def __reduce__(self):
    return self.reduced


@pytest.mark.parametrize('make', [zip_file, legacy_file])
def test_a_pickle_that_calls_something_is_refused_by_name_and_not_run(tmp_path, make):
  target = tmp_path / 'made'
  path = make(tmp_path / 'x.pth', pickle.dumps({'a': Evil(os.mkdir, str(target))}, 2))
  with pytest.raises(CheckpointError, match=r"x\.pth: it holds no .* but 'a', which is a '(posix|nt|os)\.mkdir'"):
    read_checkpoint(path)
  assert not target.exists()


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_builtins_are_refused_in_every_protocol(tmp_path, protocol):
  path = zip_file(tmp_path / 'x.pth', pickle.dumps(Evil(eval, '1+1'), protocol))
  with pytest.raises(CheckpointError, match='eval'):
    read_checkpoint(path)


def test_an_object_stays_a_word(tmp_path):
  # NEWOBJ builds an object of a class: here of one that describes tensors.
  program = b'\x80\x02ctorch\nFloatStorage\n)\x81.'
  with pytest.raises(CheckpointError, match=r"it is a 'torch\.FloatStorage', not a plain tensor"):
    read_checkpoint(zip_file(tmp_path / 'x.pth', program))


@pytest.mark.parametrize('make', [zip_file, legacy_file])
def test_every_truncation_is_refused_with_the_files_name(tmp_path, make):
  whole = make(tmp_path / 'whole.pth', pickled(state(), legacy=make is legacy_file)).read_bytes()
  path = tmp_path / 'cut.pth'
  for length in range(0, len(whole), 7):
    path.write_bytes(whole[:length])
    with pytest.raises(CheckpointError, match=r'cut\.pth'):
      read_checkpoint(path)


def test_every_damaged_byte_is_refused_or_read(tmp_path):
  whole = legacy_file(tmp_path / 'whole.pth', pickled(state(), legacy=True)).read_bytes()
  path = tmp_path / 'x.pth'
  random = np.random.RandomState(0)
  for position in range(len(whole)):
    damaged = bytearray(whole)
    damaged[position] = random.randint(256)
    path.write_bytes(damaged)
    with contextlib.suppress(CheckpointError):
      read_checkpoint(path)


def test_a_tensor_that_reaches_past_its_storage_is_refused(tmp_path):
  with pytest.raises(CheckpointError, match="'a.weight' reaches past"):
    read_checkpoint(
      zip_file(
        tmp_path / 'x.pth', pickled({'a.weight': Tensor('0', ARRAYS['a.weight'], stride=(3, 100))})
      )
    )


def test_data_of_another_length_are_refused(tmp_path):
  with pytest.raises(CheckpointError, match='missing or truncated'):
    read_checkpoint(zip_file(tmp_path / 'x.pth', pickled(state()), data=b'1234'))


@pytest.mark.parametrize('content', [b'', b'hello', b'\x80\x02}q\x00.', b'PK\x03\x04junk'])
def test_other_files_are_refused(tmp_path, content):
  path = tmp_path / 'x.pth'
  path.write_bytes(content)
  with pytest.raises(CheckpointError, match=r'x\.pth'):
    read_checkpoint(path)


def test_reads_safetensors_whatever_the_files_name(tmp_path):
  for name in ('x.safetensors', 'x.bin'):
    save_file(ARRAYS, tmp_path / name)
    read = read_checkpoint(tmp_path / name)
    assert set(read) == set(ARRAYS)
    for key, array in ARRAYS.items():
      np.testing.assert_array_equal(read[key], array)


def test_every_truncated_or_damaged_safetensors_file_is_refused_or_read(tmp_path):
  save_file(ARRAYS, tmp_path / 'whole.safetensors')
  whole = (tmp_path / 'whole.safetensors').read_bytes()
  path, random = tmp_path / 'x.safetensors', np.random.RandomState(0)
  for length in range(0, len(whole), 5):
    path.write_bytes(whole[:length])
    with pytest.raises(CheckpointError, match=r'x\.safetensors'):
      read_checkpoint(path)
  for position in range(len(whole)):
    damaged = bytearray(whole)
    damaged[position] = random.randint(256)
    path.write_bytes(damaged)
    with contextlib.suppress(CheckpointError):
      read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(CheckpointError, match=r'none\.pth: No such file'):
    read_checkpoint(tmp_path / 'none.pth')


def test_weights_of_another_network_are_refused_by_tensor(tmp_path):
  path = zip_file(tmp_path / 'x.pth', pickled(state()))
  with pytest.raises(CheckpointError, match=r"x\.pth: tensor '_.*' .*is missing"):
    load('efficientnet_lite0', str(path))
