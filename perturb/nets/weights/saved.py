"""A network in a folder of our own: its weights by orbax, the rest as JSON.

`network.json` holds the architecture and its attributes, the size, the preprocessing and the class
names; `weights/` is an orbax checkpoint of the variables.
"""

import dataclasses
import json
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
from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.torch_names import abstract_variables

DESCRIPTION = 'network.json'
WEIGHTS = 'weights'

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
    with ocp.StandardCheckpointer() as checkpointer:
      checkpointer.save(path / WEIGHTS, net.variables)
    (path / DESCRIPTION).write_text(json.dumps(description, indent=1) + '\n', encoding='utf-8')
  except OSError as error:
    raise CheckpointError(f'{folder}: {error.strerror or error}') from error


def read_network(folder: str | os.PathLike[str]) -> Pretrained:
  """Reads a network that `save` wrote.

  Raises:
    CheckpointError: names the file that is missing or damaged, or the variable that does not fit.
  """
  path = pathlib.Path(folder).absolute()
  file = path / DESCRIPTION
  try:
    description = json.loads(file.read_text(encoding='utf-8'))
    kind = ARCHITECTURES[description['architecture']]
    network = kind(**{name: _tuples(v) for name, v in description['attributes'].items()})
    preprocessing = Preprocessing(
      **{name: _tuples(value) for name, value in description['preprocessing'].items()}
    )
    size, names = int(description['size']), tuple(map(str, description['class_names']))
  except OSError as error:
    raise CheckpointError(f'{file}: {error.strerror or error}') from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise CheckpointError(f'{file}: not the description of a network ({error!r})') from error
  variables = _restore(path / WEIGHTS, network, (size, size, len(preprocessing.mean)))
  return Pretrained(network, variables, size, preprocessing, names)


def _restore(path: pathlib.Path, network: Network, shape: tuple[int, int, int]) -> Variables:
  try:
    expected = abstract_variables(network, shape)
    with ocp.StandardCheckpointer() as checkpointer:
      found = checkpointer.metadata(path).item_metadata
      _check(path, expected, dict(found))
      return checkpointer.restore(path, expected)
  except CheckpointError:
    raise
  except Exception as error:  # Orbax and tensorstore raise what they like for a damaged file.
    line = ' '.join(str(error).split())[:200]
    raise CheckpointError(f'{path}: missing or damaged ({line})') from error


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
      raise CheckpointError(f'{path}: variable {name!r} is {have} where {want} is expected')
