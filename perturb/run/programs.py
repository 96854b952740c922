"""The programs of a run's steps, for the images of one shape."""

import functools
import time
from typing import NamedTuple

import jax
import numpy as np

from perturb.errors import StorageError, UserError
from perturb.nets import Pretrained
from perturb.run.batches import Batch
from perturb.run.devices import OneByOne, Spread, everywhere
from perturb.run.experiment import Experiment, Step
from perturb.store.arrays import Group


class Task(NamedTuple):
  """A step of the images of a batch.

  Attributes:
    step: what is computed.
    batch: of what.
    slots: of the images that do not have it yet.
  """

  step: Step
  batch: Batch
  slots: list[int]


class Computed(NamedTuple):
  """What came of a task.

  Attributes:
    task: which.
    values: field -> `[slots, ...]`; empty if the step could not be computed.
    seconds: what it took, without compilation.
    compile_seconds: what compilation took.
    refused: slot -> why the step cannot be computed of its image.
  """

  task: Task
  values: dict[str, np.ndarray]
  seconds: float
  compile_seconds: float
  refused: dict[int, str]


class Programs:
  """Compiles each step when it is first asked for, and runs it.

  Args:
    experiment: whose steps.
    stored: results of the images, from which a step takes what was computed in an earlier start.
  """

  def __init__(self, experiment: Experiment, stored: Group):
    self._experiment, self._stored = experiment, stored
    self._needed = {field for step in experiment.steps for field in step.needs}
    self._programs: dict[str, Spread | OneByOne] = {}
    self._refused: dict[str, str] = {}

  @functools.cached_property
  def _net_everywhere(self) -> Pretrained:
    """Once for all steps: their programs share the weights."""
    return everywhere(self._experiment.net)

  def compute(self, task: Task) -> Computed:
    """Computes a task, and adds what later steps need to what is known of the batch.

    Raises:
      UserError: if the first step cannot be computed with this network; other steps say so.
    """
    step = task.step
    try:
      return self._compute(task)
    except StorageError:
      raise
    except UserError as error:
      if not step.name:
        raise
      if step.compiled:
        self._refused[step.name] = str(error)  # For every image of this shape.
      return Computed(task, {}, 0.0, 0.0, dict.fromkeys(task.slots, str(error)))

  def _compute(self, task: Task) -> Computed:
    step, slots = task.step, task.slots
    if step.name in self._refused:
      raise UserError(self._refused[step.name])
    begin, share = time.perf_counter(), self._share(task)
    program, compiled = self._program(step, share)
    values = program(share, slots)
    compiling = program.compile_seconds - compiled
    for field, value in values.items():
      if step.stored(field) in self._needed:
        self._learn(task, step.stored(field), value)
    seconds = time.perf_counter() - begin - compiling
    return Computed(task, values, seconds, compiling, dict(program.refused))

  def _share(self, task: Task) -> dict[str, np.ndarray]:
    """What a step is given: the images, their targets, and what it needs of earlier steps."""
    known = task.batch.known
    for field in task.step.needs:
      if field not in known:
        read = self._given if field in self._experiment.given else self._read
        known[field] = read(field, task.batch, list(task.batch.images))
    asked = {'x': known['x'], 'target': known['asked']}
    return asked | {field: known[field] for field in task.step.needs}

  def _learn(self, task: Task, field: str, value: np.ndarray) -> None:
    """What later steps are given: this value, and where an earlier start has one, that."""
    before = [slot for slot in task.batch.images if slot not in task.slots]
    if before:
      stored = self._read(field, task.batch, before)
      value = value.copy()
      value[before] = stored[before]
    task.batch.known[field] = value

  def _read(self, field: str, batch: Batch, slots: list[int]) -> np.ndarray:
    """A field that an earlier start has stored, `[all slots, ...]`; zeros in the other slots."""
    found = self._stored.read(field, [batch.images[slot].row for slot in slots])
    return _in_slots(found, batch, slots)

  def _given(self, name: str, batch: Batch, slots: list[int]) -> np.ndarray:
    """What is known beforehand of the images in some slots; zeros in the others."""
    values = self._experiment.given[name]
    return _in_slots(np.stack([values[batch.images[slot].name] for slot in slots]), batch, slots)

  def _program(self, step: Step, share: dict[str, np.ndarray]) -> tuple[Spread | OneByOne, float]:
    """(the program of a step, seconds that its compilation had taken before this was asked)."""
    if step.name in self._programs:
      program = self._programs[step.name]
      return program, program.compile_seconds
    net, devices = self._experiment.net, jax.local_device_count()
    if not step.compiled:
      self._programs[step.name] = OneByOne(step.explain, net)
    else:
      one = {
        field: jax.ShapeDtypeStruct((len(array) // devices, *array.shape[1:]), array.dtype)
        for field, array in share.items()
      }
      self._programs[step.name] = Spread(step.explain, self._net_everywhere, one)
    return self._programs[step.name], 0.0


def _in_slots(found: np.ndarray, batch: Batch, slots: list[int]) -> np.ndarray:
  values = np.zeros((len(batch.known['x']), *found.shape[1:]), found.dtype)
  values[slots] = found
  return values
