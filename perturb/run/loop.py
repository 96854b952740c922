"""The loop of a run: dataset -> every device of every process -> results on disk.

Images of one shape form a group. A group is cut into blocks, what a device computes in one call,
and chunks of whole blocks, what one file holds. Neither depends on how many devices there are. A
chunk belongs to one process, which reads, computes and writes its images; what is stored already
is not computed again.
"""

from collections.abc import Iterator, Mapping
import pathlib
import time
from typing import NamedTuple

import jax
import ml_collections

from perturb.data.datasets import Dataset
from perturb.errors import StorageError, UserError
from perturb.run import devices
from perturb.run.batches import Pictures
from perturb.run.experiment import Experiment
from perturb.run.group import GroupRun, Rows
from perturb.run.inputs import check_inputs
from perturb.run.layout import place_images
from perturb.run.log import Log
from perturb.store.arrays import DONE
from perturb.store.manifest import Entry, Manifest
from perturb.store.results import manifest_of, results_group


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
    self.log = Log(workdir, 'image' if len(experiment.steps) == 1 else 'result')

  def __call__(self) -> Outcome:
    """Computes what is not stored yet.

    Raises:
      UserError: if the workdir cannot be written any more; what it holds stays readable.
    """
    start = time.perf_counter()
    manifest = self._place_images()
    groups = self._groups(manifest)
    pending = self._pending(manifest, groups)
    missing = sum(groups[name].missing(row) for name, rows in pending.items() for row in rows)
    self.log.begin(_count_done(groups), missing)
    try:
      for name, rows in pending.items():
        groups[name].compute(self.pictures, rows)
    except StorageError as error:
      raise UserError(
        f'{error}; all images stored until then, {self.log.computed} in this start, can be read; '
        'start again to go on'
      ) from error
    except jax.errors.JaxRuntimeError as error:
      line = str(error).strip().splitlines()[0]
      raise UserError(
        f'the device gave up ({line}); what is stored can be read. If it was memory, less is '
        'needed with a smaller config.batch or config.chunk, in another workdir'
      ) from error
    finally:
      self.log.close()
    devices.barrier('computed')
    failed = devices.largest(len(self.log.failures.join()) if self.process == 0 else 0)
    return Outcome(
      manifest=manifest,
      asked=len(self.pictures.index) + len(self.dataset.problems),
      status=self._status(manifest),
      failed=failed,
      computed=self.log.computed,
      seconds=time.perf_counter() - start,
      compile_seconds=self.log.compile_seconds,
      waiting=self.pictures.waiting,
    )

  def _place_images(self) -> Manifest:
    """Process 0 gives the new images their places; the others wait for it."""
    if self.process == 0:
      for problem in self.dataset.problems:
        self.log.failures.add('', '', problem)  # It has been said when the dataset was opened.
      check_inputs(self.workdir, self.experiment, self.dataset)
      self._check_known(manifest_of(self.workdir))
      place_images(self.workdir, self.dataset, self.experiment, self.config, self.log.fail)
    devices.barrier('images have their places')
    return manifest_of(self.workdir)

  def _check_known(self, manifest: Manifest) -> None:
    """Refuses another picture under a name that has results."""
    for source in self.dataset.sources:
      entry = manifest.entries.get(source.name)
      if entry is None or entry.place == source.place:
        continue
      group = results_group(self.workdir, entry.group)
      done = group.read('status', [entry.row])[0] == DONE
      image = self.pictures.load(source.name, entry)
      if done and image.x is not None and image.digest != group.read('digest', [entry.row])[0]:
        raise UserError(
          f'{source.place}: the workdir holds another picture named {source.name!r}, '
          f'{entry.place}; rename this one, or use another workdir'
        )

  def _groups(self, manifest: Manifest) -> dict[str, GroupRun]:
    return {
      name: GroupRun(self.experiment, self.workdir, name, self.log) for name in manifest.counts
    }

  def _placed(self, manifest: Manifest) -> Iterator[tuple[str, Entry]]:
    """The images asked for that have a place, in order."""
    for name in self.pictures.index:
      if name in manifest.entries:
        yield name, manifest.entries[name]

  def _pending(self, manifest: Manifest, groups: Mapping[str, GroupRun]) -> dict[str, Rows]:
    """Group -> row -> name, in order of the rows, of what this process has to compute."""
    pending: dict[str, Rows] = {}
    for name, entry in self._placed(manifest):
      group = groups[entry.group]
      mine = entry.row // group.chunk % self.processes == self.process
      if mine and group.missing(entry.row):
        pending.setdefault(entry.group, {})[entry.row] = name
    return {group: dict(sorted(rows.items())) for group, rows in pending.items()}

  def _status(self, manifest: Manifest) -> dict[str, dict[str, int]]:
    """Step -> image -> status, read again: other processes have written too."""
    groups, placed = self._groups(manifest), list(self._placed(manifest))
    return {
      step.name: {name: int(groups[at.group].status[step.name][at.row]) for name, at in placed}
      for step in self.experiment.steps
    }


def _count_done(groups: Mapping[str, GroupRun]) -> int:
  every = [status for group in groups.values() for status in group.status.values()]
  return sum(int((status == DONE).sum()) for status in every)
