"""From the tensors of a PyTorch checkpoint to the variables of a network."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np

from perturb.nets.network import Network, Variables
from perturb.nets.weights.torch_files import CheckpointError

_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
_WRAPPER = 'module.'  # What torch.nn.DataParallel puts before every name.


@functools.cache
def abstract_variables(network: Network, shape: tuple[int, int, int]) -> Variables:
  """The shapes of a network's variables, for images `[H, W, C]`."""
  images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
  return jax.eval_shape(network.init, jax.random.key(0), images)


def torch_name(network: Network, path: tuple[str, ...]) -> str:
  """The name in a checkpoint of a leaf, e.g. ('params', 'layer1.0.conv1', 'kernel')."""
  _, layer, leaf = path
  return f'{network.torch_module(layer)}.{_LEAVES[leaf]}'


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


def _from_torch(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  match shape:
    case (h, w, c, f):
      return value.reshape(f, c, h, w).transpose(2, 3, 1, 0)
    case (_, _, _):
      return value[:, 0].transpose(1, 2, 0)
    case (c, f):
      return value.reshape(f, c).T
  return value


def _unwrapped(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  if all(name.startswith(_WRAPPER) for name in state):
    return {name.removeprefix(_WRAPPER): value for name, value in state.items()}
  return state


def torch_shapes(network: Network, shape: tuple[int, int, int]) -> dict[str, list[tuple[int, ...]]]:
  """The names of a network's tensors in a state dict, and the shapes that they may have."""
  leaves = flax.traverse_util.flatten_dict(abstract_variables(network, shape))
  return {torch_name(network, path): _torch_shapes(leaf.shape) for path, leaf in leaves.items()}


def misfits(
  network: Network, shape: tuple[int, int, int], state: dict[str, np.ndarray]
) -> list[str]:
  """What keeps a state dict from being a network's: a line a tensor, none if it fits.

  Args:
    network: the architecture.
    shape: of an input, `[H, W, C]`.
    state: name -> array, as `read_checkpoint` gives it.
  """
  state, kind = _unwrapped(state), type(network).__name__
  wanted = torch_shapes(network, shape)
  lines = []
  for name, shapes in wanted.items():
    if name not in state:
      lines.append(f'tensor {name!r} of shape {shapes[0]} is missing for {kind}')
    elif state[name].shape not in shapes:
      lines.append(f'tensor {name!r} has shape {state[name].shape}; {kind} needs {shapes[0]}')
  left = sorted(
    name
    for name in set(state) - set(wanted)
    if not name.endswith('num_batches_tracked') and not network.unused(name)
  )
  return lines + [f'tensor {name!r} belongs to no layer of {kind}' for name in left]


def from_torch(
  network: Network, state: dict[str, np.ndarray], *, shape: tuple[int, int, int]
) -> Variables:
  """Fills a network's variables from a PyTorch state dict.

  A linear layer may be stored as the convolution that it is, as fully convolutional versions do.

  Args:
    network: the architecture.
    state: name -> array, as `read_checkpoint` gives it.
    shape: of an input, `[H, W, C]`.

  Returns:
    The Flax variables.

  Raises:
    CheckpointError: names the tensor that is missing, left over, or of another shape.
  """
  wrong = misfits(network, shape, state)
  if wrong:
    raise CheckpointError(wrong[0] + (f' (and {len(wrong) - 1} more)' if wrong[1:] else ''))
  state = _unwrapped(state)
  leaves = flax.traverse_util.flatten_dict(abstract_variables(network, shape))
  return flax.traverse_util.unflatten_dict(
    {
      path: jnp.asarray(_from_torch(state[torch_name(network, path)], leaf.shape), jnp.float32)
      for path, leaf in leaves.items()
    }
  )


def count_classes(network: Network, state: dict[str, np.ndarray]) -> int | None:
  """The number of logits of the network in a state dict; None if it has no such layer."""
  weight = _unwrapped(state).get(f'{network.torch_module(network.logits)}.weight')
  return weight.shape[0] if weight is not None and weight.ndim else None
