"""The images of one shape: each batch is read, taken through the steps, and stored."""

from collections.abc import Iterator, Sequence
import concurrent.futures
import pathlib

import numpy as np

from perturb.run.batches import Loaded, Pictures
from perturb.run.experiment import Experiment, Step, owner
from perturb.run.log import Log
from perturb.run.programs import Computed, Programs, Task
from perturb.store.arrays import DONE, FAILED, read_attributes
from perturb.store.results import RESULTS, results_group, timings_group

Rows = dict[int, str]  # Row of a group -> name of the image.


class GroupRun:
  """The results of the images of one shape, and what computes those that are missing.

  Args:
    experiment: what is computed.
    workdir: of the run; there is room for the results.
    name: of the group: its shape, `224x224`.
    log: told what happens.

  Attributes:
    status: step -> status `[rows]`.
    chunk: images a file of the results.
  """

  def __init__(self, experiment: Experiment, workdir: pathlib.Path, name: str, log: Log):
    self._experiment, self._name, self._log = experiment, name, log
    self._results, self._timings = results_group(workdir, name), timings_group(workdir, name)
    self._block = read_attributes(workdir / RESULTS / name)['block']
    self.chunk = self._results.chunk('status')
    self.status = {
      step.name: self._results.read(step.stored('status')) for step in experiment.steps
    }

  def missing(self, row: int) -> int:
    """How many steps an image does not have yet."""
    return sum(status[row] != DONE for status in self.status.values())

  def compute(self, pictures: Pictures, rows: Rows) -> None:
    """Computes the missing steps of some images, in order of the rows.

    The devices' thread computes a task while this one stores the one before and reads on.

    Raises:
      StorageError: if the workdir cannot be written any more.
    """
    programs = Programs(self._experiment, self._results)
    before: concurrent.futures.Future[Computed] | None = None
    with concurrent.futures.ThreadPoolExecutor(1) as devices_thread:
      for task in self._tasks(pictures, rows):
        running = devices_thread.submit(programs.compute, task)
        if before:
          self._store(before.result())
        before = running
      if before:
        self._store(before.result())

  def _tasks(self, pictures: Pictures, rows: Rows) -> Iterator[Task]:
    """The missing steps of each batch; its pictures are read when the first is asked for."""
    digests = self._results.read('digest')
    seen = {row: int(digests[row]) for row in rows if self.status[''][row] == DONE}
    for batch in pictures.batches(self._name, rows, self._block, seen):
      self._log.waiting = pictures.waiting
      self._fail_unread(batch.failed)
      for step in self._experiment.steps:
        status = self.status[step.name]
        slots = [slot for slot, image in batch.images.items() if status[image.row] != DONE]
        if slots:
          yield Task(step, batch, slots)

  def _store(self, computed: Computed) -> None:
    """Stores what came of a task."""
    step, batch, slots = computed.task
    # Where what it needs has failed, that has been said.
    able = [slot for slot in slots if self._has(batch.images[slot].row, step.needs)]
    refused = computed.refused
    problems = {slot: refused.get(slot) or step.wrong(computed.values, slot) for slot in able}
    good = [slot for slot in able if not problems[slot]]
    self._write(step, computed, good)
    self._log.computed_some(step, len(good), computed.seconds, computed.compile_seconds)
    for slot in able:
      if problems[slot]:
        image = batch.images[slot]
        self._mark_failed(step, image.row)
        self._log.fail(image.name, image.place, f'{image.place}: {problems[slot]}', step.name)
    self._log.advance(len(slots))

  def _has(self, row: int, fields: Sequence[str]) -> bool:
    stored = [field for field in fields if field not in self._experiment.given]
    return all(self.status[owner(field)][row] == DONE for field in stored)

  def _write(self, step: Step, computed: Computed, slots: Sequence[int]) -> None:
    if not slots:
      return
    images = [computed.task.batch.images[slot] for slot in slots]
    rows = [image.row for image in images]
    seconds = np.float32(computed.seconds / len(images))
    self._timings.write(np.array(rows), {step.stored('seconds'): seconds})
    values = {step.stored(field): value[slots] for field, value in computed.values.items()}
    if not step.name:
      values['label'] = np.array([image.label for image in images])
      values['digest'] = np.array([image.digest for image in images])
    self._results.write(np.array(rows), values | {step.stored('status'): DONE})
    self.status[step.name][rows] = DONE

  def _mark_failed(self, step: Step, row: int) -> None:
    self._results.write(np.array([row]), {step.stored('status'): FAILED})
    self.status[step.name][row] = FAILED

  def _fail_unread(self, images: Sequence[Loaded]) -> None:
    for image in images:
      if self.status[''][image.row] != DONE:
        self._mark_failed(self._experiment.steps[0], image.row)
      self._log.fail(image.name, image.place, image.problem)
      self._log.advance(self.missing(image.row))
