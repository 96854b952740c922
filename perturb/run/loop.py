"""The loop of a run: dataset -> every device of every process -> results on disk.

Images of one shape form a group. A group is cut into blocks, what a device computes in one call,
and chunks of whole blocks, what one file holds. Neither depends on how many devices there are. A
chunk belongs to one process, which reads, computes and writes its images; what is stored already
is not computed again.
"""

from collections.abc import Iterator, Mapping, Sequence
import concurrent.futures
import functools
import pathlib
import time
from typing import NamedTuple

import jax
import ml_collections
import numpy as np

from perturb.console import Progress
from perturb.data.datasets import Dataset
from perturb.errors import StorageError, UserError
from perturb.run import devices
from perturb.run.batches import Loaded, Pictures
from perturb.run.experiment import Experiment, Step, owner
from perturb.run.layout import place_images
from perturb.run.programs import Computed, Programs, Task
from perturb.store.arrays import DONE, FAILED, read_attributes
from perturb.store.failures import Failures
from perturb.store.manifest import Manifest
from perturb.store.results import RESULTS, manifest_of, results_group, timings_group
from perturb.store.tensorboard import Metrics, peak_memory

Rows = dict[int, str]  # Row of a group -> name of the image.


class Outcome(NamedTuple):
  """What a run has come to.

  Attributes:
    manifest: all images of the workdir.
    asked: how many images were asked for, with those that could not be read and items that match
      nothing.
    status: step -> image -> its status, of the images asked for, in order; those that could not be
      given a place are missing.
    failed: how many images, steps of an image and items failed, in all processes.
    computed: images that this process computed; where there are several steps, the images of each.
    seconds: of the loop, compilation included.
    compile_seconds: of that, compilation.
    waiting: of that, seconds of waiting for pictures.
  """

  manifest: Manifest
  asked: int
  status: dict[str, dict[str, int]]
  failed: int
  computed: int
  seconds: float
  compile_seconds: float
  waiting: float

  def done(self, *steps: str) -> list[str]:
    """The images that have all of these steps, by default the first one."""
    names = steps or ('',)
    return [
      image for image in self.status[''] if all(self.status[step][image] == DONE for step in names)
    ]


class Run:
  """A run over a dataset.

  Args:
    experiment: what is computed.
    dataset: of what.
    config: `fit`, `batch`, `workers` and, if it has one, `multiple`.
    workdir: an existing folder, of this config.

  Raises:
    UserError: if the workdir cannot be written.
  """

  def __init__(
    self,
    experiment: Experiment,
    dataset: Dataset,
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
  ):
    self.experiment, self.dataset, self.config, self.workdir = experiment, dataset, config, workdir
    self.pictures = Pictures(dataset, experiment.net, experiment.targets, config)
    self.process, self.processes = jax.process_index(), jax.process_count()
    self.failures = Failures(workdir)
    self.metrics = Metrics(workdir / 'metrics')
    self.progress = Progress(None, 'image' if len(experiment.steps) == 1 else 'result')
    self.compile_seconds = 0.0
    self.stored = 0  # Results that were there at the start.
    self.computed = 0
    # Opened once, when there is room for all images.
    self._results = functools.cache(lambda name: results_group(workdir, name))
    self._timings = functools.cache(lambda name: timings_group(workdir, name))

  def __call__(self) -> Outcome:
    """Computes what is not stored yet.

    Raises:
      UserError: if the workdir cannot be written any more; what it holds stays readable.
    """
    start = time.perf_counter()
    manifest = self._place_images()
    names = [name for name in self.pictures.index if name in manifest.entries]
    status = {group: self._status(group) for group in manifest.counts}
    pending = self._pending(manifest, names, status)
    self.progress.expect(
      sum(self._missing(status[group], row) for group, rows in pending.items() for row in rows)
    )
    self.stored = sum(
      int((one == DONE).sum()) for steps in status.values() for one in steps.values()
    )
    try:
      for group, rows in pending.items():
        self._compute(group, rows, status[group])
    except StorageError as error:
      raise UserError(
        f'{error}; all images stored until then, {self.computed} in this start, can be read; '
        'start again to go on'
      ) from error
    except jax.errors.JaxRuntimeError as error:
      line = str(error).strip().splitlines()[0]
      raise UserError(
        f'the device gave up ({line}); what is stored can be read. If it was memory, less is '
        'needed with a smaller config.batch or config.chunk, in another workdir'
      ) from error
    finally:
      self.progress.close()
    devices.barrier('computed')
    failed = devices.largest(len(self.failures.join()) if self.process == 0 else 0)
    entries = [(name, manifest.entries[name]) for name in names]
    status = {group: self._status(group) for group in manifest.counts}
    return Outcome(
      manifest=manifest,
      asked=len(self.pictures.index) + len(self.dataset.problems),
      status={
        step.name: {name: int(status[one.group][step.name][one.row]) for name, one in entries}
        for step in self.experiment.steps
      },
      failed=failed,
      computed=self.computed,
      seconds=time.perf_counter() - start,
      compile_seconds=self.compile_seconds,
      waiting=self.pictures.waiting,
    )

  def _place_images(self) -> Manifest:
    """Process 0 gives the new images their places; the others wait for it."""
    if self.process == 0:
      for problem in self.dataset.problems:
        self._fail('', '', problem)
      self._check_known(manifest_of(self.workdir))
      place_images(self.workdir, self.dataset, self.experiment, self.config, self._fail)
    devices.barrier('images have their places')
    return manifest_of(self.workdir)

  def _check_known(self, manifest: Manifest) -> None:
    """Refuses another picture under a name that has results."""
    for source in self.dataset.sources:
      entry = manifest.entries.get(source.name)
      if entry is None or entry.place == source.path:
        continue
      group = results_group(self.workdir, entry.group)
      done = group.read('status', [entry.row])[0] == DONE
      image = self.pictures.load(source.name, entry)
      if done and image.x is not None and image.digest != group.read('digest', [entry.row])[0]:
        raise UserError(
          f'{source.path}: the workdir holds another picture named {source.name!r}, '
          f'{entry.place}; rename this one, or use another workdir'
        )

  def _status(self, group: str) -> dict[str, np.ndarray]:
    """Step -> status `[rows]`."""
    return {
      step.name: self._results(group).read(step.stored('status')) for step in self.experiment.steps
    }

  def _missing(self, status: Mapping[str, np.ndarray], row: int) -> int:
    """How many steps an image does not have yet."""
    return sum(one[row] != DONE for one in status.values())

  def _pending(
    self,
    manifest: Manifest,
    names: Sequence[str],
    status: Mapping[str, Mapping[str, np.ndarray]],
  ) -> dict[str, Rows]:
    """Group -> row -> name, in order of the rows, of what this process has to compute."""
    pending: dict[str, Rows] = {}
    for name in names:
      entry = manifest.entries[name]
      chunk = self._results(entry.group).chunk('status')
      mine = entry.row // chunk % self.processes == self.process
      if mine and self._missing(status[entry.group], entry.row):
        pending.setdefault(entry.group, {})[entry.row] = name
    return {group: dict(sorted(rows.items())) for group, rows in pending.items()}

  def _compute(self, group: str, rows: Rows, status: dict[str, np.ndarray]) -> None:
    """Computes the images of a group; a task is stored while the devices compute the next."""
    programs = Programs(self.experiment, self._results(group))
    before: concurrent.futures.Future[Computed] | None = None
    with concurrent.futures.ThreadPoolExecutor(1) as devices_thread:
      for task in self._tasks(group, rows, status):
        running = devices_thread.submit(programs.compute, task)
        if before:
          self._store(group, status, before.result())
        before = running
      if before:
        self._store(group, status, before.result())

  def _tasks(self, group: str, rows: Rows, status: Mapping[str, np.ndarray]) -> Iterator[Task]:
    """The steps of each batch; its pictures are read when the first of them is asked for."""
    block = read_attributes(self.workdir / RESULTS / group)['block']
    for batch in self.pictures.batches(group, rows, block):
      self._store_unread(group, status, batch.failed)
      for step in self.experiment.steps:
        slots = [
          slot for slot, image in batch.images.items() if status[step.name][image.row] != DONE
        ]
        if slots:
          yield Task(step, batch, slots)

  def _store(self, group: str, status: dict[str, np.ndarray], computed: Computed) -> None:
    """Stores what came of a task."""
    step, batch, slots = computed.task
    good, problems = [], {}
    for slot in slots:
      row = batch.images[slot].row
      if any(status[owner(field)][row] != DONE for field in step.needs):
        continue  # What it needs has failed, which has been said.
      problem = computed.refused or step.wrong(computed.values, slot)
      if problem:
        problems[slot] = problem
      else:
        good.append(slot)
    if good:
      self._write(group, step, [batch.images[slot] for slot in good], computed, good)
    for slot, problem in problems.items():
      image = batch.images[slot]
      self._fail(image.name, image.place, f'{image.place}: {problem}', step.name)
    self._mark(group, step, [batch.images[slot].row for slot in problems])
    for slots_of, value in ((good, DONE), (problems, FAILED)):
      status[step.name][[batch.images[slot].row for slot in slots_of]] = value
    self.computed += len(good)
    self.compile_seconds += computed.compile_seconds
    self.progress.leave_out(computed.compile_seconds)
    self.progress.advance(len(slots))
    if good:
      self._measure(step, len(good), computed.seconds)

  def _write(
    self, group: str, step: Step, images: Sequence[Loaded], computed: Computed, slots: Sequence[int]
  ) -> None:
    rows = np.array([image.row for image in images])
    seconds = np.float32(computed.seconds / len(images))
    self._timings(group).write(rows, {step.stored('seconds'): seconds})
    values = {field: value[slots] for field, value in computed.values.items()}
    if not step.name:
      values['label'] = np.array([image.label for image in images])
      values['digest'] = np.array([image.digest for image in images])
    named = {step.stored(field): value for field, value in values.items()}
    self._results(group).write(rows, {**named, step.stored('status'): DONE})

  def _mark(self, group: str, step: Step, rows: Sequence[int]) -> None:
    if rows:
      self._results(group).write(np.array(rows), {step.stored('status'): FAILED})

  def _measure(self, step: Step, count: int, seconds: float) -> None:
    if self.process == 0:
      self.metrics.write(
        self.stored + self.computed * self.processes,
        **{step.stored('images_per_second'): count * self.processes / seconds},
        seconds_waiting_for_pictures=self.pictures.waiting,
        compile_seconds=self.compile_seconds,
        peak_memory_bytes=peak_memory(),
        failed=self.failures.count,
      )

  def _store_unread(
    self, group: str, status: Mapping[str, np.ndarray], images: Sequence[Loaded]
  ) -> None:
    first = self.experiment.steps[0]
    self._mark(group, first, [im.row for im in images if status[''][im.row] != DONE])
    for image in images:
      self._fail(image.name, image.place, image.problem)
      self.progress.advance(self._missing(status, image.row))

  def _fail(self, name: str, place: str, reason: str, step: str = '') -> None:
    self.failures.add(name, place, reason, step)
    self.progress.say(f'error: {step}: {reason}' if step else f'error: {reason}')
