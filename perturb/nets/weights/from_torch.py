"""From the tensors of a PyTorch checkpoint to the variables of a network."""

import flax
import jax.numpy as jnp
import numpy as np

from perturb.nets.network import Network, Variables
from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.matching import best_fit
from perturb.nets.weights.torch_names import abstract_variables, torch_name


def _from_torch(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  match shape:
    case (h, w, c, f):
      return value.reshape(f, c, h, w).transpose(2, 3, 1, 0)
    case (_, _, _):
      return value[:, 0].transpose(1, 2, 0)
    case (c, f):
      return value.reshape(f, c).T
  return value


def from_torch(
  network: Network, state: dict[str, np.ndarray], *, shape: tuple[int, int, int]
) -> Variables:
  """Fills a network's variables from a PyTorch state dict.

  A linear layer may be stored as the convolution that it is, as fully convolutional versions do.
  All names may have a prefix, as `module.`; see `perturb.nets.weights.matching`.

  Args:
    network: the architecture.
    state: name -> array, as `read_checkpoint` gives it.
    shape: of an input, `[H, W, C]`.

  Returns:
    The Flax variables.

  Raises:
    CheckpointError: names the tensor that is missing, left over, or of another shape.
  """
  fit = best_fit(network, shape, {'': state})
  if fit.wrong:
    raise CheckpointError(fit.complaint())
  leaves = flax.traverse_util.flatten_dict(abstract_variables(network, shape))
  return flax.traverse_util.unflatten_dict(
    {
      path: jnp.asarray(
        _from_torch(state[fit.prefix + torch_name(network, path)], leaf.shape), jnp.float32
      )
      for path, leaf in leaves.items()
    }
  )
