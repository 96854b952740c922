"""Checkpoints in PyTorch's formats, written instruction by instruction: no torch is needed.

A function that makes a part returns the instructions that leave it on the stack.
"""

import pickle
import struct
import zipfile

import numpy as np

from perturb.nets.weights.torch_files import LEGACY_MAGIC, LEGACY_PROTOCOL

START, STOP = pickle.PROTO + b'\x02', pickle.STOP
ARRAYS = {'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3), 'b': np.ones(4, np.float32)}


def value(obj):
  """Any object of Python, as protocol 2 pickles it."""
  return pickle.dumps(obj, 2)[2:-1]


def name(module, attribute):
  return pickle.GLOBAL + f'{module}\n{attribute}\n'.encode()


def group(*parts):
  """A tuple."""
  return pickle.MARK + b''.join(parts) + pickle.TUPLE


def call(function, *arguments):
  return function + group(*arguments) + pickle.REDUCE


def entries(pairs):
  """What fills the dict on the stack."""
  return pickle.MARK + b''.join(value(key) + part for key, part in pairs.items()) + pickle.SETITEMS


def mapping(pairs):
  return pickle.EMPTY_DICT + entries(pairs)


def ordered(pairs):
  return call(name('collections', 'OrderedDict')) + entries(pairs)


def storage(key, size, kind='FloatStorage', view=None, module='torch'):
  parts = value('storage'), name(module, kind), value(key), value('cpu'), value(size)
  return group(*parts, *([] if view is None else [view])) + pickle.BINPERSID


def tensor(key, array, *, size=None, shape=None, strides=None, offset=0, view=None):
  """As torch 0.4 and later write one."""
  elements = tuple(s // array.itemsize for s in array.strides)
  return call(
    name('torch._utils', '_rebuild_tensor_v2'),
    storage(key, array.size if size is None else size, view=view),
    value(offset),
    value(array.shape if shape is None else shape),
    value(elements if strides is None else strides),
    value(False),
    call(name('collections', 'OrderedDict')),
  )


def old_tensor(key, array):
  """As torch 0.1 to 0.3 write one."""
  shape, strides = array.shape, tuple(s // array.itemsize for s in array.strides)
  return call(
    name('torch._utils', '_rebuild_tensor'),
    storage(key, array.size, view=value(None)),
    value(0),
    value(shape),
    value(strides),
  )


def state(arrays=None, *, prefix='', first=0, legacy=False, make=ordered):
  """A state dict, whose storages are numbered from `first`."""
  view = value(None) if legacy else None
  named = ARRAYS if arrays is None else arrays
  return make(
    {
      prefix + key: tensor(str(first + i), array, view=view)
      for i, (key, array) in enumerate(named.items())
    }
  )


def module_object(parameters, modules=None):
  """A network that was pickled whole: an object of a class that is not here."""
  parts = {'training': value(False), '_parameters': ordered(parameters), '_buffers': ordered({})}
  parts['_modules'] = ordered(modules or {})
  made = name('mine', 'Net') + pickle.EMPTY_TUPLE + pickle.NEWOBJ
  return made + mapping(parts) + pickle.BUILD


def zip_file(path, root, arrays=None, *, data=None, compression=zipfile.ZIP_STORED, start=START):
  with zipfile.ZipFile(path, 'w', compression) as archive:
    archive.writestr('model/data.pkl', start + root + STOP)
    archive.writestr('model/byteorder', 'little')
    for i, array in enumerate((ARRAYS if arrays is None else arrays).values()):
      archive.writestr(f'model/data/{i}', array.tobytes() if data is None else data)
  return path


def legacy_file(path, root, arrays=None, *, start=START):
  arrays = (ARRAYS if arrays is None else arrays).values()
  system = {'protocol_version': LEGACY_PROTOCOL, 'little_endian': True}
  heads = [value(LEGACY_MAGIC), value(LEGACY_PROTOCOL), value(system), root]
  keys = value([str(i) for i in range(len(arrays))])
  storages = [struct.pack('<q', array.size) + array.tobytes() for array in arrays]
  path.write_bytes(b''.join(start + head + STOP for head in [*heads, keys]) + b''.join(storages))
  return path


def python2_text(text):
  return pickle.SHORT_BINSTRING + bytes([len(text)]) + text.encode()


def python2_state(arrays=None):
  """A state dict that Python 2 pickled: pairs in lists, and texts that are bytes."""
  pairs = b''
  for i, (key, array) in enumerate((ARRAYS if arrays is None else arrays).items()):
    parts = tensor(str(i), array, view=value(None))
    for text in ('storage', 'cpu', str(i)):
      parts = parts.replace(value(text).split(b'q')[0], python2_text(text))
    pair = python2_text(key) + parts
    pairs += pickle.EMPTY_LIST + pickle.MARK + pair + pickle.APPENDS
  listed = pickle.EMPTY_LIST + pickle.MARK + pairs + pickle.APPENDS
  return call(name('collections', 'OrderedDict'), listed)
