"""Batches of pictures for training and for evaluation, read by threads ahead of the steps.

What a batch holds depends on its number alone: a run that was killed goes on with the same bytes,
with any number of threads. Every process takes its part of the same batch.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import time
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from perturb.data.crops import Box, centre_box, random_box, read_crops
from perturb.data.fitting import fit_picture
from perturb.data.images import Source, open_picture
from perturb.data.loader import load_ahead
from perturb.data.records import Dataset
from perturb.errors import ImageError, UserError, check_choice

Fit = Literal['centre', 'squash']
Crop = Literal['resized', 'centre', 'squash']
Fail = Callable[[Source, str], None]


class Batch(NamedTuple):
  """What the devices of this process train on in a step.

  The copies of a picture are side by side.

  Attributes:
    images: uint8 `[B * copies, size, size, 3]`, B of this process.
    labels: int32 `[B * copies]`.
    waited: seconds that the consumer waited for it.
  """

  images: np.ndarray
  labels: np.ndarray
  waited: float


class EvaluationBatch(NamedTuple):
  """What the devices of this process classify at once.

  Attributes:
    images: uint8 `[B, size, size, 3]`, B of this process; zeros where there is no picture.
    labels: int32 `[B]`; 0 where there is no picture.
    valid: bool `[B]`, where there is one: the last batch is filled up, and some cannot be read.
    indices: int64 `[B]`, of the items in the dataset; -1 where the batch is filled up.
  """

  images: np.ndarray
  labels: np.ndarray
  valid: np.ndarray
  indices: np.ndarray


class _Slot(NamedTuple):
  """Where a picture goes.

  Attributes:
    batch: that it belongs to; filled by the threads.
    number: of its place there.
    epoch: of the batch.
    order: of the epoch, as `TrainingBatches.order` gives it.
    position: in the order.
  """

  batch: Batch
  number: int
  epoch: int
  order: np.ndarray
  position: int


class _Filled(NamedTuple):
  """A slot that is done.

  Attributes:
    batch: that it belongs to.
    problems: item -> why it cannot be read, of those that were tried for it.
    found: whether any could be read.
  """

  batch: Batch
  problems: dict[int, str]
  found: bool


class TrainingBatches:
  """Batches of random crops of a dataset, for ever, from any step.

  An epoch goes through the items in random order. Those that do not fill a batch are left out; they
  are others each time. The order depends on (seed, epoch), where a crop is and whether it is
  mirrored on (seed, epoch, item, copy). A picture that cannot be read is replaced by the next of
  the order that can, cropped with the draws of the one that it replaces; it is not tried again.

  Args:
    dataset: with labels.
    members: which of its items are trained on, int `[M]`.
    size: of the crops, in pixels.
    batch_size: pictures in a step of all processes.
    seed: of the order, the crops and the flips, 0 or more.
    crop: 'resized' (see `random_box`), 'centre' (`centre_box`) or 'squash' (`fit_picture`).
    flip: whether each crop is mirrored with probability 1/2.
    copies: of each picture in the batch, each with a crop and a flip of its own: batch augmentation
      (Hoffer et al., CVPR 2020).
    workers: threads that read and decode.
    ahead: batches that are read before they are asked for, which bounds the memory.
    process: the number of this process.
    processes: how many there are; each takes the slots of its own in every batch.
    fail: called once with a picture that is replaced, and why, in a line.

  Attributes:
    steps_per_epoch: batches in an epoch.

  Raises:
    UserError: if there are fewer items than a batch takes, or processes do not divide it.
  """

  def __init__(
    self,
    dataset: Dataset,
    members: np.ndarray,
    *,
    size: int,
    batch_size: int,
    seed: int,
    crop: Crop,
    flip: bool,
    copies: int = 1,
    workers: int,
    ahead: int,
    process: int = 0,
    processes: int = 1,
    fail: Fail,
  ):
    check_choice('config.crop', crop, ('resized', 'centre', 'squash'))
    self._share = _share(batch_size, process, processes)
    if len(members) < batch_size:
      raise UserError(
        f'config.batch_size: {batch_size} is more than the {len(members)} pictures to train on'
      )
    self.dataset, self.members, self.size, self.batch_size = dataset, members, size, batch_size
    self.seed, self.crop, self.flip, self.copies = seed, crop, flip, copies
    self.workers, self.ahead, self.fail = workers, ahead, fail
    self.steps_per_epoch = len(members) // batch_size
    self._unreadable, self._reported = set[int](), set[int]()

  def start(self, step: int) -> Iterator[Batch]:
    """The batches from that of a step on, counted from 0; closing it ends its threads.

    Raises:
      UserError: names a picture whose label is none of the dataset's; or if none can be read.
    """
    count = len(self._share)
    filled = load_ahead(
      self._fill, self._slots(step), ahead=self.ahead * count, workers=self.workers
    )
    with contextlib.closing(filled):
      while True:
        begin = time.perf_counter()
        for _ in range(count):
          one = next(filled)
          self._report(one)
        yield one.batch._replace(waited=time.perf_counter() - begin)

  def order(self, epoch: int) -> np.ndarray:
    """The items in the order of an epoch, `[M]`; the first `steps_per_epoch` batches are used."""
    return _generator(self.seed, epoch).permutation(self.members)

  def _slots(self, step: int) -> Iterator[_Slot]:
    count, known = self.copies * len(self._share), -1
    while True:
      epoch, first = divmod(step, self.steps_per_epoch)
      if epoch != known:
        order, known = self.order(epoch), epoch
      images = np.empty((count, self.size, self.size, 3), np.uint8)
      batch = Batch(images, np.empty(count, np.int32), 0.0)
      for number, slot in enumerate(self._share):
        yield _Slot(batch, number, epoch, order, first * self.batch_size + slot)
      step += 1

  def _fill(self, slot: _Slot) -> _Filled:
    """Writes the crops of a picture where they go; of another if it cannot be read."""
    wanted = int(slot.order[slot.position])
    problems: dict[int, str] = {}
    first = slot.number * self.copies
    for further in range(len(slot.order)):
      item = int(slot.order[(slot.position + further) % len(slot.order)])
      if item in self._unreadable:
        continue
      try:
        crops, label = self._crops(item, wanted, slot.epoch)
      except ImageError as error:
        problems[item] = str(error)
        self._unreadable.add(item)
      else:
        for copy, crop in enumerate(crops):
          slot.batch.images[first + copy] = np.asarray(crop)
        slot.batch.labels[first : first + self.copies] = label
        return _Filled(slot.batch, problems, True)
    return _Filled(slot.batch, problems, False)

  def _crops(self, item: int, wanted: int, epoch: int) -> tuple[list[Image.Image], int]:
    """(the copies of an item with the draws of the item that was wanted, its label)."""
    draws = [_generator(self.seed, epoch, wanted, copy) for copy in range(self.copies)]

    def boxes(width: int, height: int) -> list[Box]:
      if self.crop == 'resized':
        return [random_box(draw, width, height) for draw in draws]
      return [centre_box(width, height, self.size)] * self.copies

    boxes_of = None if self.crop == 'squash' else boxes
    crops, label = _read(self.dataset, item, self.size, boxes_of)
    if boxes_of is None:
      crops *= self.copies
    flips = [self.flip and draw.random() < 0.5 for draw in draws]
    # Pillow mirrors four bytes at a time: NumPy takes ten times as long.
    return [
      crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else crop
      for crop, flip in zip(crops, flips, strict=True)
    ], label

  def _report(self, filled: _Filled) -> None:
    for item, problem in filled.problems.items():
      if item not in self._reported:
        self._reported.add(item)
        self.fail(self.dataset.sources[item], problem)
    if not filled.found:
      raise UserError(
        f'config.images: none of the {len(self.members)} pictures to train on can be read'
      )


def evaluation_batches(
  dataset: Dataset,
  members: np.ndarray,
  *,
  size: int,
  batch_size: int,
  fit: Fit,
  workers: int,
  ahead: int,
  process: int = 0,
  processes: int = 1,
  fail: Fail,
) -> Iterator[EvaluationBatch]:
  """All items once, in their order; every process gets as many batches.

  Args:
    dataset: with labels.
    members: which of its items, int `[M]`.
    size: of the pictures, in pixels.
    batch_size: pictures in a batch of all processes.
    fit: 'centre' (`centre_box`) or 'squash' (`fit_picture`).
    workers: threads that read and decode.
    ahead: batches that are read before they are asked for.
    process: the number of this process.
    processes: how many there are; each takes the slots of its own in every batch.
    fail: called with each picture of this process that cannot be read, and why, in a line.

  Raises:
    UserError: names a picture whose label is none of the dataset's; or if processes do not divide
      the batch.
  """
  check_choice('config.fit', fit, ('centre', 'squash'))
  share = _share(batch_size, process, processes)
  count = len(share)
  padded = np.full((-(-len(members) // batch_size), batch_size), -1, np.int64)
  padded.reshape(-1)[: len(members)] = members
  mine = padded[:, share.start : share.stop]
  boxes_of = None if fit == 'squash' else lambda width, height: [centre_box(width, height, size)]

  def load(item: int) -> tuple[np.ndarray, int] | str | None:
    if item < 0:
      return None
    try:
      (picture,), label = _read(dataset, item, size, boxes_of)
    except ImageError as error:
      return str(error)
    return np.asarray(picture), label

  def batches() -> Iterator[EvaluationBatch]:
    items = map(int, mine.reshape(-1))
    loading = load_ahead(load, items, ahead=ahead * count, workers=workers)
    with contextlib.closing(loading) as loaded:
      for indices in mine:
        images, labels = np.zeros((count, size, size, 3), np.uint8), np.zeros(count, np.int32)
        valid = np.zeros(count, bool)
        for slot, item in enumerate(indices):
          one = next(loaded)
          if isinstance(one, str):
            fail(dataset.sources[item], one)
          elif one is not None:
            images[slot], labels[slot] = one
            valid[slot] = True
        yield EvaluationBatch(images, labels, valid, indices)

  return batches()


def _share(batch_size: int, process: int, processes: int) -> range:
  """The slots of a process in a batch of all."""
  if batch_size < 1 or batch_size % processes:
    raise UserError(
      f'config.batch_size: {batch_size} cannot be divided among {processes} processes; '
      f'{max(1, round(batch_size / processes)) * processes} can'
    )
  count = batch_size // processes
  return range(process * count, (process + 1) * count)


def _generator(seed: int, *numbers: int) -> np.random.Generator:
  """Its draws depend on the numbers alone."""
  return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=numbers))


def _read(
  dataset: Dataset,
  item: int,
  size: int,
  boxes_of: Callable[[int, int], Sequence[Box]] | None,
) -> tuple[list[Image.Image], int]:
  """(the parts of an item, or all of it squashed, at the size of the network; its label)."""
  record, place = dataset.record(item), dataset.sources[item].place
  label = _checked(record.label, len(dataset.class_names), place)
  try:
    if boxes_of:
      return read_crops(record.file, place, boxes_of, size=size), label
    picture = fit_picture(open_picture(record.file, place), size=size, fit='squash', place=place)
    return [Image.fromarray(picture)], label
  except MemoryError as error:
    raise ImageError(f'{place}: there is not enough memory for it') from error


def _checked(label: int | None, classes: int, place: str) -> int:
  if label is None:
    raise UserError(f'{place}: has no label; a training takes labelled pictures')
  if not 0 <= label < classes:
    raise UserError(f'{place}: its label is {label}, and there are {classes} classes, from 0')
  return label
