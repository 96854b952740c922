"""The names and shapes that the variables of a network have in PyTorch."""

import functools

import flax
import jax
import jax.numpy as jnp

from perturb.nets.network import Network, Variables

_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}


@functools.cache
def abstract_variables(network: Network, shape: tuple[int, int, int]) -> Variables:
  """The shapes of a network's variables, for images `[H, W, C]`."""
  images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
  return jax.eval_shape(network.init, jax.random.key(0), images)


def torch_name(network: Network, path: tuple[str, ...]) -> str:
  """The name in a checkpoint of a leaf, e.g. ('params', 'layer1.0.conv1', 'kernel')."""
  _, layer, leaf = path
  return f'{network.torch_module(layer)}.{_LEAVES[leaf]}'


def torch_shapes(
  network: Network, shape: tuple[int, int, int], classes: int | None = None
) -> dict[str, list[tuple[int, ...]]]:
  """The names of a network's tensors in a state dict, and the shapes that they may have.

  Args:
    network: the architecture.
    shape: of an input, `[H, W, C]`.
    classes: number of logits; None for the network's.
  """
  leaves = flax.traverse_util.flatten_dict(abstract_variables(network, shape))
  shapes = {torch_name(network, path): _torch_shapes(leaf.shape) for path, leaf in leaves.items()}
  logits = f'{network.torch_module(network.logits)}.'
  return {
    name: [(classes or one[0], *one[1:]) for one in ones] if name.startswith(logits) else ones
    for name, ones in shapes.items()
  }


def _torch_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
  """The shapes in which PyTorch may hold a leaf of ours; the usual one first."""
  match shape:
    case (h, w, c, f):
      return [(f, c, h, w), (f, c * h * w)]
    case (h, w, c):
      return [(c, 1, h, w)]
    case (c, f):
      return [(f, c), (f, c, 1, 1)]
  return [shape]
