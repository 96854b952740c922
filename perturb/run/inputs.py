"""What results depend on beside the config: weights, references, labels; a workdir has one of each.

The files that a config names by their paths may change between two starts of a run.
"""

from collections.abc import Mapping, Sequence
import json
import pathlib
from typing import Any
import zlib

import jax
import numpy as np

from perturb.data.datasets import Dataset
from perturb.errors import UserError, printable
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment
from perturb.store import files

INPUTS, LABELS = 'inputs.json', 'labels.csv'
HEADER = ('label', 'target', 'class')


def digest_of(tree: Any) -> str:
  """A checksum of the arrays of a pytree, whatever device they are on."""
  total = 0
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    array = np.ascontiguousarray(leaf)
    described = f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'
    content = array.reshape(-1).view(np.uint8)  # Of any type, bfloat16 too.
    total = zlib.crc32(content.data, zlib.crc32(described.encode(), total))
  return f'{total:08x}'


def _of_network(net: Pretrained) -> str:
  described = repr((net.network, net.size, net.preprocessing))
  return f'{digest_of(net.variables)}-{zlib.crc32(described.encode()):08x}'


def check_inputs(workdir: pathlib.Path, experiment: Experiment, dataset: Dataset) -> None:
  """Writes `inputs.json` and `labels.csv`, or refuses what is not as in the starts before.

  Raises:
    UserError: names what has changed.
  """
  found = {'network': _of_network(experiment.net)}
  found |= {name: digest_of(value) for name, value in experiment.inputs.items()}
  check_digests(workdir, found)
  _check_labels(workdir, experiment, dataset)


def check_digests(workdir: pathlib.Path, found: Mapping[str, str]) -> None:
  """Writes `inputs.json`, or refuses what is not as in the starts before.

  Args:
    workdir: made if missing.
    found: what results depend on -> its `digest_of`.

  Raises:
    UserError: names what has changed.
  """
  before = _read_inputs(workdir / INPUTS)
  for name, digest in found.items():
    if before.get(name, digest) != digest:
      raise UserError(
        f'workdir {workdir}: the {name} is not that of its results, though the config is the same: '
        'a file that it names has changed; use another workdir'
      )
  workdir.mkdir(parents=True, exist_ok=True)
  files.write_atomically(
    workdir / INPUTS, (json.dumps(before | dict(found), indent=2) + '\n').encode()
  )


def _read_inputs(path: pathlib.Path) -> dict[str, str]:
  if not path.exists():
    return {}
  try:
    return dict(json.loads(path.read_text()))
  except (OSError, ValueError) as error:
    raise UserError(f'{path}: cannot be read ({error}); use another workdir') from error


def _check_labels(workdir: pathlib.Path, experiment: Experiment, dataset: Dataset) -> None:
  explained: Mapping[str, tuple[str, ...]] = {
    name: (str(target), title) for name, target, title in experiment.targets.labels
  }
  rows = [
    tuple(map(printable, (name, *explained.get(name, ('', ''))))) for name in dataset.class_names
  ]
  path = workdir / LABELS
  if path.exists():
    for i, row in enumerate(files.read_table(path)):
      if i >= len(rows) or row != rows[i]:
        now = f'is {_in_words(rows[i])}' if i < len(rows) else 'is not there'
        raise UserError(
          f'workdir {workdir}: label {i} of its images was {_in_words(row)}, and {now}; labels are '
          'stored by their place: use another workdir for another list of classes'
        )
  if rows:
    files.write_table(path, HEADER, rows)


def _in_words(row: Sequence[str]) -> str:
  label, target, title = row
  return f'{label!r}' + (f' (class {target}, {title})' if target else '')
