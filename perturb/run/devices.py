"""The devices of a run: each process spreads its images along all that it has."""

from collections.abc import Callable, Mapping, Sequence
import time
import types
from typing import Any

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from perturb.errors import UserError

AXIS = 'device'
_SPREAD, _WHOLE = PartitionSpec(AXIS), PartitionSpec()
REPEAT_BELOW = 30.0  # seconds: a shorter first call is made again, to time it without compilation.


def barrier(name: str) -> None:
  """Waits until every process has come here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def largest(number: int) -> int:
  """The largest of the numbers that the processes give."""
  if jax.process_count() == 1:
    return number
  return int(multihost_utils.process_allgather(np.int32(number)).max())


def _mesh() -> Mesh:
  return Mesh(np.array(jax.local_devices()), (AXIS,))


def everywhere(constant: Any) -> Any:
  """A pytree of numpy or jax arrays, copied to each device of this process."""
  whole = NamedSharding(_mesh(), _WHOLE)
  return jax.tree.map(lambda array: jax.device_put(np.asarray(array), whole), constant)


class Spread:
  """A function of one device's share, compiled once and run by all devices on their own shares.

  What a device runs does not depend on how many there are, nor on what the others are given.

  Args:
    function: (constant, share) -> results: pytrees of arrays, the latter two `[n, ...]`.
    constant: the same for all devices, as a network's weights; see `everywhere`.
    share: name -> `ShapeDtypeStruct` of one device's share.

  Attributes:
    compile_seconds: what compilation took.
    refused: nothing; see `OneByOne`.
  """

  refused: Mapping[int, str] = types.MappingProxyType({})

  def __init__(
    self,
    function: Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]],
    constant: Any,
    share: Mapping[str, jax.ShapeDtypeStruct],
  ):
    mesh = _mesh()
    self._spread, self._constant = NamedSharding(mesh, _SPREAD), constant
    # Varying manual axes are not tracked: hand-written gradients would have to name them.
    program = jax.jit(
      jax.shard_map(
        function, mesh=mesh, in_specs=(_WHOLE, _SPREAD), out_specs=_SPREAD, check_vma=False
      )
    )
    shares = {
      name: jax.ShapeDtypeStruct(
        (mesh.size * one.shape[0], *one.shape[1:]), one.dtype, sharding=self._spread
      )
      for name, one in share.items()
    }
    start = time.perf_counter()
    self._program = program.lower(self._constant, shares).compile()
    self.compile_seconds = time.perf_counter() - start

  def __call__(
    self, shares: Mapping[str, np.ndarray], _slots: Sequence[int]
  ) -> dict[str, np.ndarray]:
    """The results of all devices, once they are there.

    Args:
      shares: those of this process's devices, one after the other: `[devices * n, ...]`.
    """
    placed = {name: jax.device_put(array, self._spread) for name, array in shares.items()}
    return {name: np.asarray(one) for name, one in self._program(self._constant, placed).items()}


class OneByOne:
  """As `Spread`, of a function that cannot be compiled whole: called for one image at a time.

  Attributes:
    compile_seconds: what compilation took; known where the first image is quick enough to be
      computed twice.
    refused: slot -> why its image cannot be computed, of the last call.
  """

  def __init__(
    self,
    function: Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]],
    constant: Any,
  ):
    self._function, self._constant = function, constant
    self.compile_seconds = 0.0
    self.refused: dict[int, str] = {}
    self._begun = False

  def __call__(
    self, shares: Mapping[str, np.ndarray], slots: Sequence[int]
  ) -> dict[str, np.ndarray]:
    """The results of the images in some slots, zeros in the others; {} if none can be computed."""
    self.refused = {}
    results: dict[str, np.ndarray] = {}
    for slot in slots:
      try:
        found = self._timed(shares, slot)
      except UserError as error:
        self.refused[slot] = str(error)
        continue
      for name, value in found.items():
        every = results.setdefault(name, np.zeros((len(shares['x']), *value.shape), value.dtype))
        every[slot] = value
    return results

  def _timed(self, shares: Mapping[str, np.ndarray], slot: int) -> dict[str, np.ndarray]:
    if not self._begun:
      _, first = self._one(shares, slot)
      self._begun = True
      if first < REPEAT_BELOW:
        self.compile_seconds = first
    return self._one(shares, slot)[0]

  def _one(
    self, shares: Mapping[str, np.ndarray], slot: int
  ) -> tuple[dict[str, np.ndarray], float]:
    """(results of an image, seconds)."""
    start = time.perf_counter()
    share = {name: jnp.asarray(array[slot : slot + 1]) for name, array in shares.items()}
    results = self._function(self._constant, share)
    values = {name: np.asarray(result)[0] for name, result in results.items()}
    return values, time.perf_counter() - start
