"""The loop of a run: dataset -> every device of every process -> results on disk.

Images of one shape form a group. A group is cut into blocks, what a device computes in one call,
and chunks of whole blocks, what one file holds. Neither depends on how many devices there are. A
chunk belongs to one process, which reads, computes and writes its images; what is stored already
is not computed again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import pathlib
import time
from typing import Any, NamedTuple
import zlib

import jax
import ml_collections
import numpy as np

from perturb import devices
from perturb.console import Progress
from perturb.data.datasets import Dataset
from perturb.data.images import ImageError, Source, fit_picture, fitted_shape
from perturb.data.loader import load_ahead
from perturb.errors import UserError
from perturb.failures import Failures
from perturb.function import default_chunk
from perturb.manifest import Manifest, group_name, group_shape
from perturb.metrics import Metrics, peak_memory
from perturb.nets import Pretrained
from perturb.results import COMMON, RESULTS, SECONDS, TIMINGS, results_group, timings_group
from perturb.zarr_store import (
  DONE,
  FAILED,
  Field,
  Group,
  read_attributes,
  write_constant,
  write_group,
)

LARGEST_BLOCK = 64  # Images.
CHUNK = 16  # Images a file, about.

Share = dict[str, jax.Array]  # 'x' [n, H, W, C] and 'target' [n], -1 for the class predicted.
Shape = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What is computed of each image.

  Attributes:
    net: the network, passed to `explain`.
    explain: (net, share) -> field -> `[n, ...]`; what one device runs.
    fields: (H, W) of an image -> what `explain` gives.
    attributes: (H, W), images a block -> what the group records of how it was computed.
    constants: name -> (axis, values), what all images of a group share.
    wrong: (results of some images, index) -> why those of an image cannot be used, or ''.
    targets: label of the dataset (-1: none) -> index of the class to explain, -1 for the predicted.
  """

  net: Pretrained
  explain: Callable[[Pretrained, Share], dict[str, jax.Array]]
  fields: Callable[[Shape], dict[str, Field]]
  attributes: Callable[[Shape, int], dict[str, Any]]
  constants: Mapping[str, tuple[str, np.ndarray]]
  wrong: Callable[[Mapping[str, np.ndarray], int], str]
  targets: Callable[[int], int]


class Loaded(NamedTuple):
  """An image ready for the network, or why it is not."""

  name: str
  place: str
  row: int
  x: np.ndarray | None = None
  digest: int = 0
  label: int = -1
  problem: str = ''


class Batch(NamedTuple):
  """What the devices of this process compute in one call.

  Attributes:
    shares: 'x', 'target', of all slots.
    images: slot -> image; the other slots are empty.
    failed: images that could not be read.
  """

  shares: dict[str, np.ndarray]
  images: dict[int, Loaded]
  failed: list[Loaded]


class Outcome(NamedTuple):
  """What a run has come to.

  Attributes:
    manifest: all images of the workdir.
    names: of the images asked for, in order; those that could not be given a place are missing.
    status: of each of these.
    failed: how many images and items failed, in all processes.
    seconds: of the loop, compilation included.
    compile_seconds: of that, compilation.
    waiting: of that, waiting for pictures.
    computed: images computed by this process.
  """

  manifest: Manifest
  names: list[str]
  status: np.ndarray
  failed: int
  seconds: float
  compile_seconds: float
  waiting: float
  computed: int


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
    self.mesh = devices.mesh()
    self.process, self.processes = jax.process_index(), jax.process_count()
    self.failures = Failures(workdir)
    self.metrics = Metrics(workdir / 'metrics')
    self.index = {source.name: i for i, source in enumerate(dataset.sources)}
    self.progress = Progress(0, 'image')
    self.compile_seconds = self.waiting = 0.0
    self.computed = 0

  def __call__(self) -> Outcome:
    """Computes what is not stored yet.

    Raises:
      UserError: if the workdir cannot be written any more; what it holds stays readable.
    """
    start = time.perf_counter()
    manifest = self._place_images()
    names = [name for name in self.index if name in manifest.entries]
    rows: dict[str, list[int]] = {}
    for name in names:
      entry = manifest.entries[name]
      rows.setdefault(entry.group, []).append(entry.row)
    pending = {group: self._pending(group, np.array(some)) for group, some in rows.items()}
    self.progress = Progress(sum(map(len, pending.values())), 'image')
    by_row = {(entry.group, entry.row): name for name, entry in manifest.entries.items()}
    try:
      for group, some in pending.items():
        self._compute(group, some, by_row)
    except UserError as error:
      raise UserError(
        f'{error}; all images stored until then, {self.computed} in this start, can be read; '
        'start again to go on'
      ) from error
    finally:
      self.progress.close()
    devices.barrier('computed')
    status = self._status(manifest, names)
    problems = len(self.failures.join()) if self.process == 0 else 0
    seconds = time.perf_counter() - start
    return Outcome(
      manifest, names, status, devices.largest(problems), seconds, self.compile_seconds,
      self.waiting, self.computed,
    )  # fmt: skip

  # Places: which image is in which row of which group.

  def _place_images(self) -> Manifest:
    """Gives the new images a place; process 0 makes room, the others wait for it."""
    path = self.workdir / 'images.csv'
    if self.process == 0:
      manifest = Manifest(path)
      for problem in self.dataset.problems:
        self._fail('', '', problem)
      known = [source for source in self.dataset.sources if source.name in manifest.entries]
      for source in known:
        self._check_known(manifest, source)
      manifest.add(self._shapes(manifest))
      write_group(self.workdir / RESULTS, {})
      write_group(self.workdir / TIMINGS, {})
      for name, count in manifest.counts.items():
        self._make_room(name, count)
      manifest.write()
    devices.barrier('images have their places')
    return Manifest(path)

  def _check_known(self, manifest: Manifest, source: Source) -> None:
    """Refuses another picture under a name that has results."""
    entry = manifest.entries[source.name]
    if entry.place == source.path:
      return
    group = results_group(self.workdir, entry.group)
    one = self._load(source.name, entry.group, entry.row)
    if group.read('status', [entry.row])[0] != DONE or one.problem:
      return
    if one.digest != group.read('digest', [entry.row])[0]:
      raise UserError(
        f'{source.path}: the workdir holds another picture named {source.name!r}, '
        f'{entry.place}; rename this one, or use another workdir'
      )

  def _shapes(self, manifest: Manifest) -> Iterator[tuple[Source, str]]:
    """(source, group) of each new image; with 'aspect' from the first bytes of the picture."""
    fit, size = self.config.fit, self.experiment.net.size
    new = [
      i for i, source in enumerate(self.dataset.sources) if source.name not in manifest.entries
    ]

    def shape(index: int) -> Shape | str:
      if fit != 'aspect':
        return size, size
      try:
        width, height = self.dataset.size(index)
      except ImageError as error:
        return str(error)
      return fitted_shape(width, height, size=size, fit=fit, multiple=self.config.multiple)

    workers = self.config.workers
    for i, found in zip(new, load_ahead(shape, new, ahead=64, workers=workers), strict=True):
      source = self.dataset.sources[i]
      if isinstance(found, str):
        self._fail(source.name, source.path, found)
      else:
        yield source, group_name(found)

  def _make_room(self, name: str, count: int) -> None:
    path, shape = self.workdir / RESULTS / name, group_shape(name)
    block = min(self.config.batch or min(default_chunk(shape), LARGEST_BLOCK), count)
    blocks = -(-count // block)
    block = -(-count // blocks)  # As even as can be.
    write_group(path, {'block': block, **self.experiment.attributes(shape, block)})
    block = read_attributes(path)['block']
    chunk = block * int(np.clip(blocks // 8, 1, -(-CHUNK // block)))
    fields = {**COMMON, **self.experiment.fields(shape)}
    results_group(self.workdir, name).grow(fields, count, chunk)
    for constant, (axis, values) in self.experiment.constants.items():
      write_constant(path / constant, axis, values)
    write_group(self.workdir / TIMINGS / name, {})
    timings_group(self.workdir, name).grow(SECONDS, count, chunk)

  def _pending(self, name: str, rows: np.ndarray) -> np.ndarray:
    """Of some rows, those that this process has to compute."""
    group = results_group(self.workdir, name)
    mine = rows[rows // group.chunk('status') % self.processes == self.process]
    return np.sort(mine[group.read('status')[mine] != DONE])

  def _status(self, manifest: Manifest, names: Sequence[str]) -> np.ndarray:
    stored = {name: results_group(self.workdir, name).read('status') for name in manifest.counts}
    entries = [manifest.entries[name] for name in names]
    return np.array([stored[entry.group][entry.row] for entry in entries], np.uint8)

  # Pictures: read ahead by threads.

  def _load(self, name: str, group: str, row: int) -> Loaded:
    index = self.index[name]
    place = self.dataset.sources[index].path
    try:
      picture, label = self.dataset.picture(index)
      size, fit = self.experiment.net.size, self.config.fit
      image = fit_picture(picture, size=size, fit=fit, multiple=self.config.multiple)
      if group_name(image.shape[:2]) != group:
        raise ImageError(f'{place}: was {group} when the run began, and is {image.shape[:2]} now')
    except ImageError as error:
      return Loaded(name, place, row, problem=str(error))
    x = self.experiment.net.preprocess(image)
    known = -1 if label is None else label
    return Loaded(name, place, row, x, zlib.crc32(image.tobytes()), known)

  def _batches(
    self,
    group: str,
    rows: np.ndarray,
    block: int,
    steps: int,
    by_row: Mapping[tuple[str, int], str],
  ) -> Iterator[Batch]:
    """The blocks of this process, as many at a time as it has devices; some may be empty."""
    local = jax.local_device_count()
    blocks: dict[int, list[int]] = {}
    for row in rows.tolist():
      blocks.setdefault(row // block, []).append(row)
    some = list(blocks.values())
    images = load_ahead(
      lambda row: self._load(by_row[group, row], group, row),
      [row for rows in some for row in rows],
      ahead=2 * local * block,
      workers=self.config.workers,
    )
    for step in range(steps):
      shares = self._empty(group, local * block)
      batch = Batch(shares, {}, [])
      for device, rows_of_one in enumerate(some[step * local : (step + 1) * local]):
        for row in rows_of_one:
          begin = time.perf_counter()
          image = next(images)
          self.waiting += time.perf_counter() - begin
          if image.x is None:
            batch.failed.append(image)
            continue
          slot = device * block + row % block
          shares['x'][slot] = image.x
          shares['target'][slot] = self.experiment.targets(image.label)
          batch.images[slot] = image
      yield batch

  def _empty(self, group: str, count: int) -> dict[str, np.ndarray]:
    channels = len(self.experiment.net.preprocessing.mean)
    return {
      'x': np.zeros((count, *group_shape(group), channels), np.float32),
      'target': np.zeros(count, np.int32),
    }

  # Computation and storage: a batch is stored while the devices compute the next.

  def _compute(self, name: str, rows: np.ndarray, by_row: Mapping[tuple[str, int], str]) -> None:
    block = read_attributes(self.workdir / RESULTS / name)['block']
    mine = -(-len(set((rows // block).tolist())) // jax.local_device_count())
    group, timings = results_group(self.workdir, name), timings_group(self.workdir, name)
    spread: devices.Spread | None = None
    before: tuple[Batch, dict[str, jax.Array]] | None = None
    finished = time.perf_counter()

    def store() -> None:
      nonlocal finished
      if before is None:
        return
      batch, results = before
      values = devices.local(results)
      now = time.perf_counter()
      self._store(group, timings, batch, values, now - finished)
      finished = now

    for batch in self._batches(name, rows, block, devices.largest(mine), by_row):
      self._store_failed(group, batch.failed)
      if not batch.images and self.processes == 1:
        continue  # Nothing was readable; with other processes all take part in every step.
      if spread is None:
        spread = self._compile(name, block)
        self.progress.restart()
        finished = time.perf_counter()
      results = spread(batch.shares)
      store()
      before = batch, results
    store()

  def _compile(self, name: str, block: int) -> devices.Spread:
    share = {
      field: jax.ShapeDtypeStruct(array.shape, array.dtype)
      for field, array in self._empty(name, block).items()
    }
    spread = devices.Spread(self.experiment.explain, self.experiment.net, share, self.mesh)
    self.compile_seconds += spread.compile_seconds
    return spread

  def _store(
    self,
    group: Group,
    timings: Group,
    batch: Batch,
    values: Mapping[str, np.ndarray],
    seconds: float,
  ) -> None:
    good: list[int] = []
    for slot, image in batch.images.items():
      problem = self.experiment.wrong(values, slot)
      if problem:
        self._store_failed(group, [image._replace(problem=f'{image.place}: {problem}')])
      else:
        good.append(slot)
    if good:
      images = [batch.images[slot] for slot in good]
      rows = np.array([image.row for image in images])
      timings.write(rows, {'seconds': np.float32(seconds / len(good))})
      common = {
        'label': np.array([image.label for image in images]),
        'digest': np.array([image.digest for image in images]),
        'status': DONE,
      }
      group.write(rows, {**{name: value[good] for name, value in values.items()}, **common})
    self.computed += len(good)
    self.progress.advance(len(good))
    self._measure(seconds, len(good))

  def _measure(self, seconds: float, count: int) -> None:
    if self.process == 0:
      self.metrics.write(
        self.computed,
        images_per_second=count * self.processes / seconds,
        seconds_waiting_for_pictures=self.waiting,
        compile_seconds=self.compile_seconds,
        peak_memory_bytes=peak_memory(),
        failed=self.failures.count,
      )

  def _store_failed(self, group: Group, images: Sequence[Loaded]) -> None:
    if images:
      group.write(np.array([image.row for image in images]), {'status': FAILED})
    for image in images:
      self._fail(image.name, image.place, image.problem)
      self.progress.advance(1)

  def _fail(self, name: str, place: str, reason: str) -> None:
    self.failures.add(name, place, reason)
    self.progress.say(f'error: {reason}')
