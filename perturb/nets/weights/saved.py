"""A network in a folder of our own: its weights by orbax, the rest as JSON.

`network.json` holds the architecture and its attributes, the size, the preprocessing and the class
names; `weights/` is an orbax checkpoint of the variables.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import json
import logging
import math
import os
import pathlib
import shutil
from typing import Any

import jax
import orbax.checkpoint as ocp

from perturb.nets.architectures.alexnet import AlexNet
from perturb.nets.architectures.efficientnet import EfficientNetLite
from perturb.nets.architectures.googlenet import GoogLeNet
from perturb.nets.architectures.matconvnet import VGGF, FlowerNet, MNISTNet
from perturb.nets.architectures.resnet import ResNet
from perturb.nets.architectures.vgg import VGG
from perturb.nets.network import Network, Variables
from perturb.nets.preprocessing import Preprocessing
from perturb.nets.pretrained import Pretrained
from perturb.nets.weights.errors import CheckpointError, in_a_line, shown
from perturb.nets.weights.torch_names import abstract_variables

DESCRIPTION = 'network.json'
WEIGHTS = 'weights'

_MAX_DESCRIPTION = 1 << 24  # bytes
_MAX_SIDE = 10_000  # pixels
_MAX_NUMBER = 1_000_000  # of classes, for example
# Weights may take so many bytes, or so many times the size of their files if that is more.
_MAX_WEIGHTS = 1 << 28
_MAX_GROWTH = 8

ARCHITECTURES: dict[str, type[Network]] = {
  kind.__name__: kind
  for kind in (AlexNet, VGG, ResNet, GoogLeNet, EfficientNetLite, VGGF, MNISTNet, FlowerNet)
}


def _attributes(network: Network) -> dict[str, Any]:
  return {
    field.name: getattr(network, field.name)
    for field in dataclasses.fields(network)
    if field.name not in ('parent', 'name')
  }


def _tuples(value: Any) -> Any:
  """JSON's lists as the tuples that they were."""
  return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def save(net: Pretrained, folder: str | os.PathLike[str]) -> None:
  """Writes a network: `load(folder)` reads it. What the folder held of one before is replaced.

  Of several processes one saves it, and its weights are arrays that it has whole.

  Raises:
    CheckpointError: for a folder that holds something else, or cannot be written.
  """
  path = pathlib.Path(folder).absolute()
  if path.exists() and (not path.is_dir() or set(os.listdir(path)) - {DESCRIPTION, WEIGHTS}):
    raise CheckpointError(f'{folder}: not a folder of a network; choose a new one')
  description = {
    'architecture': type(net.network).__name__,
    'attributes': _attributes(net.network),
    'size': net.size,
    'preprocessing': dataclasses.asdict(net.preprocessing),
    'class_names': net.class_names,
  }
  try:
    path.mkdir(parents=True, exist_ok=True)
    # The description goes last: a folder without one is a save that was cut short.
    (path / DESCRIPTION).unlink(missing_ok=True)
    shutil.rmtree(path / WEIGHTS, ignore_errors=True)
    with _checkpointer() as checkpointer:
      checkpointer.save(path / WEIGHTS, net.variables)
    (path / DESCRIPTION).write_text(json.dumps(description, indent=1) + '\n', encoding='utf-8')
  except OSError as error:
    raise CheckpointError(f'{folder}: {error.strerror or error}') from error


def _checkpointer() -> ocp.StandardCheckpointer:
  """One that waits for no other process of a run: whoever saves a network has it whole."""
  if jax.process_count() == 1:
    return ocp.StandardCheckpointer()
  this = jax.process_index()
  alone = ocp.options.MultiprocessingOptions(
    primary_host=this, active_processes={this}, barrier_sync_key_prefix=f'process_{this}'
  )
  return ocp.StandardCheckpointer(multiprocessing_options=alone)


def read_network(folder: str | os.PathLike[str]) -> Pretrained:
  """Reads a network that `save` wrote.

  Raises:
    CheckpointError: names the file that is missing or damaged, or the variable that does not fit.
  """
  path = pathlib.Path(folder).absolute()
  file = path / DESCRIPTION
  try:
    if file.stat().st_size > _MAX_DESCRIPTION:
      raise ValueError('too long')
    description = json.loads(file.read_text(encoding='utf-8'))
    kind = ARCHITECTURES[description['architecture']]
    network = kind(**_like(description['attributes'], _attributes(kind())))
    preprocessing = _preprocessing(description['preprocessing'])
    size, names = description['size'], tuple(description['class_names'])
    if not (type(size) is int and 0 < size <= _MAX_SIDE):
      raise ValueError('its size is not a number of pixels')
    if len(names) != network.classes or not all(isinstance(name, str) for name in names):
      raise ValueError(f'it has {len(names)} names of classes for {network.classes} logits')
    shape = size, size, len(preprocessing.mean)
    expected = abstract_variables(network, shape)
  except OSError as error:
    raise CheckpointError(f'{file}: {error.strerror or error}') from error
  except Exception as error:  # The layers raise what they like for attributes that make no sense.
    line = in_a_line(error) or type(error).__name__
    raise CheckpointError(f'{file}: not the description of a network ({line})') from error
  return Pretrained(network, _restore(path / WEIGHTS, expected), size, preprocessing, names)


def _like(found: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
  """The attributes of a network that was saved, of the types that they usually have."""
  for name, value in found.items():
    if name not in usual or not _is_like(value, usual[name]):
      raise ValueError(f'attribute {shown(name)} is none of {", ".join(usual)}, or of a wrong type')
  return {name: _tuples(value) for name, value in found.items()}


def _is_like(value: Any, usual: Any) -> bool:
  if isinstance(usual, tuple):
    return isinstance(value, list) and all(_is_like(one, usual[0]) for one in value)
  if isinstance(usual, bool) or isinstance(value, bool):
    return isinstance(value, int)  # A row of numbers may hold truth values.
  return isinstance(value, int) and 0 <= value <= _MAX_NUMBER


def _preprocessing(found: dict[str, Any]) -> Preprocessing:
  preprocessing = Preprocessing(**{name: _tuples(value) for name, value in found.items()})
  channels = 1 if preprocessing.gray else 3
  for values in (preprocessing.mean, preprocessing.std):
    if len(values) != channels or not all(map(math.isfinite, values)):
      raise ValueError(f'its preprocessing is not of {channels} numbers')
  return preprocessing


@contextlib.contextmanager
def _unreported() -> Iterator[None]:
  """Keeps Orbax from reporting, over many lines, what the error says in one."""
  logger = logging.getLogger('absl')
  level = logger.level
  logger.setLevel(logging.CRITICAL)
  try:
    yield
  finally:
    logger.setLevel(level)


def _restore(path: pathlib.Path, expected: Variables) -> Variables:
  try:
    with _unreported(), ocp.StandardCheckpointer() as checkpointer:
      found = checkpointer.metadata(path).item_metadata
      if found is None:
        raise CheckpointError(f'{path}: missing or damaged (it lists no variables)')
      _check(path, expected, dict(found))
      return checkpointer.restore(path, expected)
  except CheckpointError:
    raise
  except Exception as error:  # Orbax and tensorstore raise what they like for a damaged file.
    raise CheckpointError(f'{path}: missing or damaged ({in_a_line(error)})') from error


def _check(path: pathlib.Path, expected: Variables, found: Variables) -> None:
  shapes = [
    {
      jax.tree_util.keystr(key, simple=True, separator='/'): tuple(leaf.shape)
      for key, leaf in leaves
    }
    for leaves in (jax.tree_util.tree_leaves_with_path(tree) for tree in (expected, found))
  ]
  for name in sorted(set(shapes[0]) | set(shapes[1])):
    want, have = (side.get(name, 'none') for side in shapes)
    if want != have:
      raise CheckpointError(f'{path}: variable {shown(name)} is {have} where {want} is expected')
  needed = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(expected))
  there = sum(file.stat().st_size for file in path.rglob('*') if file.is_file())
  if needed > max(_MAX_WEIGHTS, _MAX_GROWTH * there):
    raise CheckpointError(f'{path}: {there} bytes cannot hold the {needed} of the weights')
