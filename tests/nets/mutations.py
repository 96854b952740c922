"""Small sound checkpoints of every format, and damage to them."""

import itertools
import pickle
import pickletools
from typing import NamedTuple
import zipfile

import numpy as np
from safetensors.numpy import save_file

from tests.nets import checkpoints as torch
from tests.nets.checkpoints import ARRAYS, legacy_file, mapping, value, zip_file

_OPCODES = [op.code.encode('latin-1') for op in pickletools.opcodes]
_NUMBERS = [b'\0' * 4, b'\xff' * 4, b'\xff' * 8, b'\xff\xff\xff\x7f', b'\0' * 7 + b'@', b'\1']


class Seeds(NamedTuple):
  """What is damaged.

  Attributes:
    files: sound files, as bytes, by their kind.
    programs: the instructions of sound descriptions, by their kind.
  """

  files: dict[str, bytes]
  programs: dict[str, list[bytes]]


def _instructions(root):
  data = torch.START + root + torch.STOP
  starts = [position for _, _, position in pickletools.genops(data)]
  return [data[a:b] for a, b in itertools.pairwise(starts[1:])]


def seeds(folder):
  """Small sound files of every format."""
  old = {key: torch.old_tensor(str(i), a) for i, (key, a) in enumerate(ARRAYS.items())}
  extras = value({'a': [1, 2.5, None, {3}], 'b': (b'x', 'y', 2**80, len), 'c': np.arange(3)})
  training = mapping({'extra': extras, 'state_dict': torch.state(), 'more': extras})
  inner = torch.module_object({'weight': torch.tensor('0', ARRAYS['a.weight'])})
  whole = torch.module_object({'b': torch.tensor('1', ARRAYS['b'])}, {'a': inner})
  text = pickle.dumps({'a': [1, 2.5, None, True, 'x', 2**70], 'b': np.arange(3)}, 0)[:-1]
  mixed = mapping({'extra': text, 'model': torch.state(legacy=True)})
  ordered, python2 = torch.ordered(old), torch.python2_state()
  path = folder / 'seed'
  files = {
    'zip': zip_file(path, training).read_bytes(),
    'packed': zip_file(path, torch.state(), compression=zipfile.ZIP_DEFLATED).read_bytes(),
    'whole': zip_file(path, whole).read_bytes(),
    'legacy': legacy_file(path, mixed).read_bytes(),
    'old': legacy_file(path, ordered).read_bytes(),
    'python 2': legacy_file(path, python2).read_bytes(),
  }
  save_file(ARRAYS, path)
  files['safetensors'] = path.read_bytes()
  roots = {'training': training, 'whole': whole, 'mixed': mixed, 'old': ordered, 'py2': python2}
  return Seeds(files, {kind: _instructions(root) for kind, root in roots.items()})


def _flip(random, data, _):
  for _ in range(random.randint(1, 9)):
    data[random.randint(len(data))] = random.randint(256)


def _cut(random, data, _):
  del data[random.randint(len(data)) :]


def _remove(random, data, _):
  at = random.randint(len(data))
  del data[at : at + random.randint(1, 30)]


def _splice(random, data, others):
  other = others[random.randint(len(others))]
  data[random.randint(len(data)) :] = other[random.randint(len(other)) :]


def _insert_opcodes(random, data, _):
  at = random.randint(len(data))
  codes = [_OPCODES[random.randint(len(_OPCODES))] for _ in range(random.randint(1, 5))]
  data[at:at] = b''.join(codes)


def _swap_opcode(random, data, _):
  places = [i for i, byte in enumerate(data) if bytes([byte]) in _OPCODES]
  if places:
    at = places[random.randint(len(places))]
    data[at : at + 1] = _OPCODES[random.randint(len(_OPCODES))]


def _repeat(random, data, _):
  at, times = random.randint(len(data)), int(2 ** random.uniform(0, 12))
  data[at:at] = data[at : at + random.randint(1, 40)] * times


def _extreme_number(random, data, _):
  at, number = random.randint(len(data)), _NUMBERS[random.randint(len(_NUMBERS))]
  data[at : at + len(number)] = number


_DAMAGES = (
  _flip,
  _cut,
  _remove,
  _splice,
  _insert_opcodes,
  _swap_opcode,
  _repeat,
  _extreme_number,
)


def _damage_program(random, program, others):
  """Moves, repeats, removes or inserts whole instructions."""
  at, length = random.randint(len(program)), random.randint(1, 6)
  match random.randint(5):
    case 0:
      del program[at : at + length]
    case 1:
      program[at:at] = program[at : at + length] * int(2 ** random.uniform(0, 12))
    case 2:
      other = random.randint(len(program))
      program[at], program[other] = program[other], program[at]
    case 3:
      other = others[random.randint(len(others))]
      start = random.randint(len(other))
      program[at:at] = other[start : start + length]
    case _:
      program[at] = _OPCODES[random.randint(len(_OPCODES))]


def damaged(random, sound, path):
  """Writes one of the sound files with one to three damages; returns its kind."""
  times = random.randint(1, 4)
  if random.randint(2):
    kind = [*sound.programs][random.randint(len(sound.programs))]
    program, programs = [*sound.programs[kind]], [*sound.programs.values()]
    for _ in range(times):
      _damage_program(random, program or [torch.START], programs)
    (zip_file if random.randint(2) else legacy_file)(path, b''.join(program))
    return kind
  kind = [*sound.files][random.randint(len(sound.files))]
  data, others = bytearray(sound.files[kind]), [*sound.files.values()]
  for _ in range(times):
    if data:
      _DAMAGES[random.randint(len(_DAMAGES))](random, data, others)
  path.write_bytes(data)
  return kind
