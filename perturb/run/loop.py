"""The loop of a run: dataset -> every device of every process -> results on disk.

Images of one shape form a group. A group is cut into blocks, what a device computes in one call,
and chunks of whole blocks, what one file holds. Neither depends on how many devices there are. A
chunk belongs to one process, which reads, computes and writes its images; what is stored already
is not computed again.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
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
from perturb.nets import Pretrained
from perturb.run import devices
from perturb.run.batches import Batch, Loaded, Pictures
from perturb.run.layout import Layout, place_images
from perturb.store.arrays import DONE, FAILED, read_attributes
from perturb.store.failures import Failures
from perturb.store.manifest import Manifest
from perturb.store.results import RESULTS, manifest_of, results_group, timings_group
from perturb.store.tensorboard import Metrics, peak_memory

Share = dict[str, jax.Array]  # 'x' [n, H, W, C] and 'target' [n], -1 for the class predicted.


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What is computed of each image.

  Attributes:
    net: the network, passed to `explain`.
    explain: (net, share) -> field -> `[n, ...]`; what one device runs.
    layout: what is stored of it.
    wrong: (results of some images, index) -> why those of an image cannot be used, or ''.
    targets: label of the dataset (-1: none) -> index of the class to explain, -1 for the predicted.
  """

  net: Pretrained
  explain: Callable[[Pretrained, Share], dict[str, jax.Array]]
  layout: Layout
  wrong: Callable[[Mapping[str, np.ndarray], int], str]
  targets: Callable[[int], int]


class Outcome(NamedTuple):
  """What a run has come to.

  Attributes:
    manifest: all images of the workdir.
    names: of the images asked for, in order; those that could not be given a place are missing.
    status: of each of these.
    failed: how many images and items failed, in all processes.
    computed: images that this process computed.
    seconds: of the loop, compilation included.
    compile_seconds: of that, compilation.
    waiting: of that, seconds of waiting for pictures.
  """

  manifest: Manifest
  names: list[str]
  status: np.ndarray
  failed: int
  computed: int
  seconds: float
  compile_seconds: float
  waiting: float


class Run:
  """A run over a dataset.

  Args:
    experiment: what is computed.
    dataset: of what.
    config: `fit`, `multiple`, `batch` and `workers`.
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
    self.mesh = devices.mesh()
    self.process, self.processes = jax.process_index(), jax.process_count()
    self.failures = Failures(workdir)
    self.metrics = Metrics(workdir / 'metrics')
    self.progress = Progress(None, 'image')
    self.compile_seconds = 0.0
    self.stored = 0  # Images that were there at the start.
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
    pending = self._pending(manifest, names)
    self.progress.expect(sum(map(len, pending.values())))
    self.stored = int((self._status(manifest, names) == DONE).sum())
    try:
      for group, some in pending.items():
        self._compute(group, some)
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
    return Outcome(
      manifest=manifest,
      names=names,
      status=self._status(manifest, names),
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
      size, layout = self.experiment.net.size, self.experiment.layout
      place_images(self.workdir, self.dataset, layout, size, self.config, self._fail)
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

  def _pending(self, manifest: Manifest, names: Sequence[str]) -> dict[str, dict[int, str]]:
    """Group -> row -> name, in order of the rows, of what this process has to compute."""
    rows: dict[str, dict[int, str]] = {}
    for name in names:
      entry = manifest.entries[name]
      rows.setdefault(entry.group, {})[entry.row] = name
    pending = {}
    for name, some in rows.items():
      group = self._results(name)
      chunk, status = group.chunk('status'), group.read('status')
      pending[name] = {
        row: some[row]
        for row in sorted(some)
        if row // chunk % self.processes == self.process and status[row] != DONE
      }
    return pending

  def _status(self, manifest: Manifest, names: Sequence[str]) -> np.ndarray:
    stored = {name: self._results(name).read('status') for name in manifest.counts}
    entries = [manifest.entries[name] for name in names]
    return np.array([stored[entry.group][entry.row] for entry in entries], np.uint8)

  def _compute(self, name: str, pending: dict[int, str]) -> None:
    """Computes the images of a group; a batch is stored while the devices compute the next."""
    block = read_attributes(self.workdir / RESULTS / name)['block']
    mine = -(-len({row // block for row in pending}) // jax.local_device_count())
    spread: devices.Spread | None = None
    before: tuple[Batch, dict[str, jax.Array]] | None = None
    begun = time.perf_counter()
    for batch in self.pictures.batches(name, pending, block, devices.largest(mine)):
      self._store_failed(name, batch.failed)
      if not batch.images and self.processes == 1:
        continue  # Nothing was readable; with other processes all take part in every step.
      if spread is None:
        spread = self._compile(name, block)
        begun = time.perf_counter()
      results = spread(batch.shares)
      if before:
        begun = self._store(name, *before, begun)
      before = batch, results
    if before:
      self._store(name, *before, begun)

  def _compile(self, name: str, block: int) -> devices.Spread:
    share = {
      field: jax.ShapeDtypeStruct(array.shape, array.dtype)
      for field, array in self.pictures.empty(name, block).items()
    }
    spread = devices.Spread(self.experiment.explain, self.experiment.net, share, self.mesh)
    self.compile_seconds += spread.compile_seconds
    self.progress.restart()
    return spread

  def _store(self, name: str, batch: Batch, results: dict[str, jax.Array], begun: float) -> float:
    """Waits for the results of a batch and stores them; returns when they were there."""
    values = devices.local(results)
    ended = time.perf_counter()
    good, failed = [], []
    for slot, image in batch.images.items():
      problem = self.experiment.wrong(values, slot)
      if problem:
        failed.append(image._replace(problem=f'{image.place}: {problem}'))
      else:
        good.append(slot)
    if good:
      images = [batch.images[slot] for slot in good]
      self._write(
        name, images, {field: value[good] for field, value in values.items()}, ended - begun
      )
    self._store_failed(name, failed)
    self.computed += len(good)
    self.progress.advance(len(good))
    self._measure(len(good), ended - begun)
    return ended

  def _write(
    self, name: str, images: Sequence[Loaded], values: Mapping[str, np.ndarray], seconds: float
  ) -> None:
    rows = np.array([image.row for image in images])
    self._timings(name).write(rows, {'seconds': np.float32(seconds / len(images))})
    common = {
      'label': np.array([image.label for image in images]),
      'digest': np.array([image.digest for image in images]),
      'status': DONE,
    }
    self._results(name).write(rows, {**values, **common})

  def _measure(self, count: int, seconds: float) -> None:
    if self.process == 0:
      self.metrics.write(
        self.stored + self.computed * self.processes,
        images_per_second=count * self.processes / seconds,
        seconds_waiting_for_pictures=self.pictures.waiting,
        compile_seconds=self.compile_seconds,
        peak_memory_bytes=peak_memory(),
        failed=self.failures.count,
      )

  def _store_failed(self, name: str, images: Sequence[Loaded]) -> None:
    if images:
      rows = np.array([image.row for image in images])
      self._results(name).write(rows, {'status': FAILED})
    for image in images:
      self._fail(image.name, image.place, image.problem)
      self.progress.advance(1)

  def _fail(self, name: str, place: str, reason: str) -> None:
    self.failures.add(name, place, reason)
    self.progress.say(f'error: {reason}')
