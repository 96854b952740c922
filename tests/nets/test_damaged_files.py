"""Damaged and hostile files: each is read, or refused in one line, within 2 s and 1 GB."""

import json
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest

from tests.nets import checkpoints as torch
from tests.nets.checkpoints import ARRAYS, call, legacy_file, mapping, name, value, zip_file
from tests.nets.mutations import damaged, seeds
from tests.nets.read_apart import MEMORY, SECONDS, Reader

LONGEST_LINE = 600  # Characters, the path included.


@pytest.fixture(scope='module')
def reader():
  with Reader() as reader:
    yield reader


def check(outcome, note=''):
  assert outcome.verdict in ('read', 'refused'), f'{note}: {outcome.verdict}\n{outcome.text}'
  assert outcome.memory < MEMORY and outcome.seconds < SECONDS, note
  assert outcome.text.isprintable() and len(outcome.text) < LONGEST_LINE, note
  assert outcome.verdict == 'read' or outcome.text.startswith('checkpoint /'), note


def fuzz(reader, folder, first, count):
  """Reads files with random damage; returns how many were read in spite of it."""
  sound, path, read = seeds(folder), folder / 'damaged.pth', 0
  for number in range(first, first + count):
    kind = damaged(np.random.RandomState(number), sound, path)
    outcome = reader.read(path)
    check(outcome, f'number {number}, {kind}')
    read += outcome.verdict == 'read'
  return read


def test_sound_files_are_read_in_a_process_of_their_own(reader, tmp_path):
  for kind, data in seeds(tmp_path).files.items():
    (tmp_path / 'x.pth').write_bytes(data)
    assert reader.read(tmp_path / 'x.pth').verdict == 'read', kind


def test_damaged_files_are_read_or_refused(reader, tmp_path):
  assert 0 < fuzz(reader, tmp_path, 0, 200) < 200


@pytest.mark.slow
def test_many_damaged_files_are_read_or_refused(reader, tmp_path):
  assert 0 < fuzz(reader, tmp_path, 10_000, 10_000) < 10_000


DEEP = 240_000
TUPLE = pickle.EMPTY_TUPLE


def doubled(times):
  """A tuple that holds another one twice, and so on: 2 to the `times` elements to hash."""
  return TUPLE + (pickle.DUP + pickle.TUPLE2) * times


def views(count, **options):
  return mapping({f'w{i}': torch.tensor('0', np.ones(4, 'f4'), **options) for i in range(count)})


def chain(length):
  """Lists, each put into the one before while it is empty: deep only when all are made."""
  again = pickle.EMPTY_LIST + pickle.DUP + b'q\1' + pickle.POP + pickle.APPEND + b'h\1'
  return pickle.EMPTY_LIST + again * length


HOSTILE = {
  'a deep tuple as a key': lambda: pickle.EMPTY_DICT + TUPLE + pickle.TUPLE1 * DEEP + value(1)
  + pickle.SETITEM,
  'a deep tuple': lambda: TUPLE + pickle.TUPLE1 * DEEP,
  'a deep list of lists': lambda: (pickle.EMPTY_LIST + pickle.MARK) * DEEP + pickle.APPENDS * DEEP,
  'a deep nest of calls': lambda: name('a', 'b') + TUPLE + (pickle.REDUCE + pickle.TUPLE1
  + name('a', 'b') + pickle.DUP + pickle.POP) * 1000,
  'a deep nest of parameters': lambda: name('torch._utils', '_rebuild_parameter') * DEEP
  + torch.tensor('0', ARRAYS['b']) + (pickle.TUPLE1 + pickle.REDUCE) * DEEP,
  'lists that are filled late': lambda: chain(100_000),
  'a doubled tuple as a key': lambda: pickle.EMPTY_DICT + doubled(40) + value(1) + pickle.SETITEM,
  'a doubled tuple as a size': lambda: call(name('torch', 'Size'), doubled(40)),
  'a doubled tuple in a set': lambda: pickle.EMPTY_SET + pickle.MARK + doubled(40)
  + pickle.ADDITEMS,
  'a doubled tuple as a name': lambda: mapping({'w': doubled(40) + TUPLE + pickle.STACK_GLOBAL}),
  'a list that is copied often': lambda: pickle.EMPTY_LIST + pickle.MARK + value(1) * 30_000
  + pickle.APPENDS + b'q\1' + (name('torch', 'Size') + b'h\1' + pickle.TUPLE1 + pickle.REDUCE)
  * 30_000,
  'pairs that are shared': lambda: pickle.EMPTY_LIST + pickle.MARK + value(1) * 50_000
  + pickle.APPENDS
  + b'q\1' + pickle.POP + pickle.EMPTY_LIST + pickle.MARK + (name('collections', 'OrderedDict')
  + b'h\1' + pickle.TUPLE1 + pickle.REDUCE) * 20_000 + pickle.APPENDS,
  'a reference of many parts': lambda: pickle.MARK + value('storage')
  + name('torch', 'FloatStorage')
  + value('0') + value('cpu') + value(1) * 100_000 + pickle.TUPLE + b'q\1' + pickle.POP
  + pickle.EMPTY_DICT + pickle.MARK + b''.join(
    value(i) + name('torch._utils', '_rebuild_tensor_v2') + pickle.MARK + b'h\1'
    + pickle.BINPERSID + value(0) + TUPLE + TUPLE + pickle.TUPLE + pickle.REDUCE
    for i in range(20_000)
  ) + pickle.SETITEMS,
  'networks that hold one twice': lambda: torch.module_object({}) + b''.join(
    [b'q\1' + pickle.POP + torch.module_object({}, {'a': b'h\1', 'b': b'h\1'})] * 40
  ),
  'a network that holds itself': lambda: torch.module_object({}) + b'q\1' + pickle.MARK
  + value('_modules') + mapping({'a': b'h\1', 'b': b'h\1'}) + value('_parameters')
  + mapping({}) + pickle.DICT + pickle.BUILD,
  'a dict that holds itself': lambda: pickle.EMPTY_DICT + b'q\1' + value('a') + b'h\1'
  + pickle.SETITEM,
  'many marks': lambda: pickle.MARK * 500_000,
  'many lists': lambda: pickle.EMPTY_LIST * 250_000,
  'more instructions than any': lambda: value(1) * 2_000_000,
  'many memos': lambda: value(1) + b''.join(b'r' + struct.pack('<I', i) for i in range(500_000)),
  'a long number': lambda: pickle.LONG4 + struct.pack('<i', 5_000_000) + b'\xff' * 5_000_000,
  'a long number in digits': lambda: pickle.LONG + b'9' * 5_000_000 + b'L\n',
  'a text of a negative length': lambda: pickle.BINSTRING + struct.pack('<i', -5),
  'a text longer than the file': lambda: pickle.BINUNICODE8 + struct.pack('<Q', 2**63),
  'bytes longer than the file': lambda: pickle.BINBYTES8 + struct.pack('<Q', 2**62),
  'a name of 5 MB': lambda: mapping({'w': name('a' * 5_000_000, 'b')}),
  'a name with line breaks': lambda: value('os\nerror: fake') + value('sys\ntem')
  + pickle.STACK_GLOBAL,
  'a key with line breaks': lambda: mapping({'a\nerror: fake\x1b[31m\u202e': value(1)}),
  'a key of 5 MB': lambda: mapping({'a' * 5_000_000: torch.tensor('0', ARRAYS['b'])}),
  'a place with line breaks': lambda: mapping(
    {'a\nb' * 90: mapping({'w\n': torch.tensor('9', ARRAYS['b'])})}
  ),
  'keys of many kinds': lambda: pickle.EMPTY_DICT + pickle.MARK + b''.join(
    key + value(1) for key in (TUPLE, pickle.EMPTY_LIST, pickle.EMPTY_DICT, value(None))
  ) + pickle.SETITEMS,
  'odd entries': lambda: pickle.EMPTY_DICT + pickle.MARK + value(1) + pickle.SETITEMS,
  'an empty stack': lambda: pickle.TUPLE3 + pickle.REDUCE,
  'entries of a number': lambda: value(1) + value('a') + value(1) + pickle.SETITEM,
  'a state of a number': lambda: value(1) + value(1) + pickle.BUILD,
  'a stride of 0': lambda: views(1, shape=(10**6, 10**6), strides=(0, 0)),
  'many views of one storage': lambda: views(1500, shape=(2**20,), strides=(0,)),
  'a hundred dimensions': lambda: views(1, shape=(1,) * 100, strides=(1,) * 100),
  'a size of 2 to the 62': lambda: views(1, shape=(2**62,), strides=(0,)),
  'an empty tensor of great size': lambda: views(1, shape=(0, 2**62), strides=(1, 1)),
  'a size of a thousand bits': lambda: views(1, shape=(2**400,) * 30, strides=(1,) * 30),
  'a negative size': lambda: views(1, shape=(-1,), strides=(1,)),
  'a great offset': lambda: views(1, offset=2**63),
  'a storage of great size': lambda: views(1, size=2**70),
  'a persistent nothing': lambda: mapping({'w': value(None) + pickle.BINPERSID}),
  'a tensor without arguments': lambda: mapping(
    {'w': call(name('torch._utils', '_rebuild_tensor_v2'))}
  ),
}  # fmt: skip


# Others of the same kind are in the default run.
LONG = {
  'a deep list of lists',
  'a deep tuple',
  'lists that are filled late',
  'many lists',
  'many marks',
  'many memos',
  'more instructions than any',
}


def slow_if(long, kind):
  return pytest.param(kind, marks=pytest.mark.slow) if long else kind


@pytest.mark.parametrize('kind', [slow_if(kind in LONG, kind) for kind in HOSTILE])
@pytest.mark.parametrize('make', [zip_file, slow_if(True, legacy_file)])
def test_hostile_descriptions_are_refused_in_a_line(reader, tmp_path, make, kind):
  outcome = reader.read(make(tmp_path / 'x.pth', HOSTILE[kind]()))
  check(outcome)
  assert outcome.verdict == 'refused'


def zip_bomb(path):
  zeros = zlib.compressobj(9, wbits=-15)
  packed = b''.join(zeros.compress(bytes(1 << 20)) for _ in range(300)) + zeros.flush()
  array = np.broadcast_to(np.float32(0), (75 << 20,))
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('x/data.pkl', torch.START + mapping({'w': torch.tensor('0', array)}) + b'.')
    archive.writestr('x/data/0', packed)
  # The member is said to be packed, and to be as long as what it unpacks to.
  data = bytearray(path.read_bytes())
  at = data.rfind(b'PK\1\2')
  data[at + 10 : at + 12], data[at + 24 : at + 28] = b'\x08\0', struct.pack('<I', 300 << 20)
  path.write_bytes(data)


def description_bomb(path):
  body = torch.START + TUPLE + pickle.TUPLE1 * (70 << 20)
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('x/data.pkl', body)


def archive_of(count, extra=0):
  """An archive that is nothing but a directory."""

  def write(path):
    sizes = [0] * 12 + [extra] + [0] * 5
    record = struct.pack('<4s4B4HL2L5H2L', b'PK\1\2', *sizes) + bytes(extra)
    end = struct.pack('<4s4H2LH', b'PK\5\6', 0, 0, 0, 0, len(record) * count, 4, 0)
    path.write_bytes(b'PK\3\4' + record * count + end)

  return write


def altered(offset, new):
  """A sound archive, with other bytes in each record of its directory."""

  def write(path):
    data = bytearray(zip_file(path, torch.state()).read_bytes())
    at = -1
    while (at := data.find(b'PK\1\2', at + 1)) >= 0:
      data[at + offset : at + offset + len(new)] = new
    path.write_bytes(data)

  return write


def json_header(header):
  def write(path):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack('<Q', len(text)) + text + bytes(64))

  return write


def one(**changes):
  return json_header({'w': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16]} | changes})


FILES = {
  'a zip bomb': zip_bomb,
  'a description that is a zip bomb': description_bomb,
  'an archive of 400 000 members': archive_of(400_000),
  'an archive of as many members as may be': archive_of(90_000),
  'members with many extra fields': archive_of(60, extra=65_532),
  'an encrypted archive': altered(8, b'\1\0'),
  'an unknown compression': altered(10, b'\x0c\0'),
  'stored data that are said to be packed': altered(10, b'\x08\0'),
  'members of great size': altered(20, b'\xfe' * 8),
  'members past the end': altered(42, b'\xfe' * 4),
  'a header that is no JSON': json_header(b'{"w": '),
  'a header that is no object': json_header([1]),
  'a deep header': json_header(b'{"w":' + b'[' * 2_000_000),
  'a header of many lists': json_header(b'{"w":[' + b'[],' * 2_000_000 + b'[]]}'),
  'a header that is not UTF-8': json_header(b'{"w\xff": 1}'),
  'an unknown type': one(dtype='F4'),
  'a type that is no text': one(dtype=[1]),
  'another number of bytes': one(shape=[3]),
  'an empty tensor that is huge': one(shape=[0, 2**62], data_offsets=[0, 0]),
  'a huge shape': one(shape=[2**62, 2**62]),
  'a number of a million digits': json_header(b'{"w":' + b'9' * 1_000_000 + b'}'),
  'a thousand dimensions': one(shape=[1] * 1000),
  'a shape of texts': one(shape=['4']),
  'offsets in the wrong order': one(data_offsets=[16, 0]),
  'offsets past the end': one(data_offsets=[64, 80]),
  'three offsets': one(data_offsets=[0, 8, 16]),
  'tensors that overlap': json_header(
    {
      n: {'dtype': 'F32', 'shape': [4], 'data_offsets': [at, at + 16]}
      for n, at in (('a', 0), ('b\n', 8))
    }
  ),
  'a name with line breaks': json_header(
    {'a\nerror: fake': {'dtype': 'X\nY', 'shape': [4], 'data_offsets': [0, 16]}}
  ),
}


@pytest.mark.parametrize('kind', FILES)
def test_hostile_containers_are_refused_in_a_line(reader, tmp_path, kind):
  path = tmp_path / 'x.safetensors'
  FILES[kind](path)
  outcome = reader.read(path)
  check(outcome)
  assert outcome.verdict == 'refused'


def test_what_the_file_says_of_its_storages_is_not_believed(reader, tmp_path):
  """The number of elements before a storage of the legacy format."""
  data = bytearray(legacy_file(tmp_path / 'x.pth', torch.state(legacy=True)).read_bytes())
  at = len(data) - ARRAYS['b'].nbytes - 8
  for number in (0, 3, 5, 2**31, 2**62, 2**64 - 1):
    data[at : at + 8] = struct.pack('<Q', number)
    (tmp_path / 'x.pth').write_bytes(data)
    outcome = reader.read(tmp_path / 'x.pth')
    check(outcome, str(number))
    assert outcome.verdict == 'refused'
