"""The devices of a run: all of every process, as one mesh along which images are spread."""

from collections.abc import Callable, Mapping
import time
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

AXIS = 'device'
_SPREAD, _WHOLE = PartitionSpec(AXIS), PartitionSpec()


def mesh() -> Mesh:
  """All devices of all processes, those of a process side by side."""
  devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
  return Mesh(np.array(devices), (AXIS,))


def barrier(name: str) -> None:
  """Waits until every process has come here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def largest(number: int) -> int:
  """The largest of the numbers that the processes give."""
  if jax.process_count() == 1:
    return number
  return int(multihost_utils.process_allgather(np.int32(number)).max())


class Spread:
  """A function of one device's share, compiled once and run by all devices on their own shares.

  What a device runs does not depend on how many there are, nor on what the others are given.

  Args:
    function: (constant, share) -> results: pytrees of arrays, the latter two `[n, ...]`.
    constant: the same for all devices, as a network's weights: numpy or jax arrays.
    share: name -> `ShapeDtypeStruct` of one device's share.
    mesh: the devices.

  Attributes:
    compile_seconds: what compilation took.
  """

  def __init__(
    self,
    function: Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]],
    constant: Any,
    share: Mapping[str, jax.ShapeDtypeStruct],
    mesh: Mesh,
  ):
    self._spread = NamedSharding(mesh, _SPREAD)
    self._constant = jax.tree.map(
      lambda array: _place(np.asarray(array), NamedSharding(mesh, _WHOLE)), constant
    )
    # Varying manual axes are not tracked: hand-written gradients would have to name them.
    program = jax.jit(
      jax.shard_map(
        function, mesh=mesh, in_specs=(_WHOLE, _SPREAD), out_specs=_SPREAD, check_vma=False
      )
    )
    whole = {
      name: jax.ShapeDtypeStruct(
        (mesh.size * one.shape[0], *one.shape[1:]), one.dtype, sharding=self._spread
      )
      for name, one in share.items()
    }
    start = time.perf_counter()
    self._program = program.lower(self._constant, whole).compile()
    self.compile_seconds = time.perf_counter() - start

  def __call__(self, shares: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Starts the computation.

    Args:
      shares: those of this process's devices, one after the other: `[local devices * n, ...]`.

    Returns:
      The results of all devices; see `local`.
    """
    return self._program(
      self._constant, {name: _place(array, self._spread) for name, array in shares.items()}
    )


def _place(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
  return jax.make_array_from_process_local_data(sharding, array)


def local(results: Mapping[str, jax.Array]) -> dict[str, np.ndarray]:
  """Waits for the results of this process's devices, one after the other: `[local * n, ...]`."""

  def shares(array: jax.Array) -> np.ndarray:
    shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])

  return {name: shares(array) for name, array in results.items()}
