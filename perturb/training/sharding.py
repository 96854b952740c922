"""A training on all devices of all processes: the state everywhere, each batch spread.

A step is compiled for the whole batch (`jax.jit` of arrays that are spread): its loss, its
gradients and the statistics of batch normalisation are those of all images, wherever they are.
Sums are made in another order on another number of devices, so that the numbers agree up to
rounding.
"""

from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from perturb.errors import UserError

BATCH = 'batch'  # The one axis of the mesh.


def whole_mesh() -> Mesh:
  """All devices of all processes in a row, those of a process beside each other."""
  devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
  return Mesh(np.array(devices), (BATCH,))


def check_batch(batch_size: int) -> None:
  """Raises a `UserError` for a batch (of all processes) that the devices do not divide."""
  devices = jax.device_count()
  if batch_size % devices:
    near = max(devices, batch_size // devices * devices)
    raise UserError(
      f'config.batch_size: {batch_size} images cannot be spread evenly over {devices} devices; '
      f'take {near} or {near + devices}'
    )


def replicated(tree: Any) -> Any:
  """A pytree of arrays, as the State, on every device; each process has the same values."""
  everywhere = NamedSharding(whole_mesh(), PartitionSpec())
  return jax.tree.map(
    lambda leaf: jax.make_array_from_process_local_data(everywhere, np.asarray(leaf)), tree
  )


def spread(batch: Any) -> Any:
  """A pytree of this process's parts of arrays as global arrays, spread over their first axis.

  Args:
    batch: numpy arrays `[B / processes, ...]`.

  Returns:
    Global arrays `[B, ...]`, the parts in the order of the processes.

  Raises:
    UserError: for a batch that the devices do not divide.
  """
  over = NamedSharding(whole_mesh(), PartitionSpec(BATCH))
  for leaf in jax.tree.leaves(batch):
    check_batch(len(leaf) * jax.process_count())
  return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(over, leaf), batch)


def spread_inside(batch: Any) -> Any:
  """Inside a compiled function: a pytree of arrays, spread over their first axis."""
  over = NamedSharding(whole_mesh(), PartitionSpec(BATCH))
  return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, over), batch)


def key_of(seed: int) -> jax.Array:
  """`jax.random.key(seed)`, on every device."""
  everywhere = NamedSharding(whole_mesh(), PartitionSpec())
  return jax.jit(lambda: jax.random.key(seed), out_shardings=everywhere)()
