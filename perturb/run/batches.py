"""The pictures of a run, read ahead by threads and laid out in batches for the devices."""

from collections.abc import Iterator, Mapping
import time
from typing import NamedTuple
import zlib

import jax
import ml_collections
import numpy as np

from perturb.data.datasets import Dataset
from perturb.data.fitting import fit_picture
from perturb.data.loader import load_ahead
from perturb.errors import ImageError, UserError
from perturb.nets import Pretrained
from perturb.run.experiment import Targets
from perturb.store.manifest import Entry, group_name, group_shape


class Loaded(NamedTuple):
  """An image ready for the network, or why it is not.

  Attributes:
    name: of the image.
    place: its file, or record.
    row: its index in its group.
    x: float32 `[H, W, C]`, the network's input; None if there is a problem.
    digest: CRC-32 of its pixels before normalisation.
    label: of the dataset; -1 where it has none.
    target: index of the class to explain; -1 for the one predicted.
    problem: a line.
  """

  name: str
  place: str
  row: int
  x: np.ndarray | None = None
  digest: int = 0
  label: int = -1
  target: int = -1
  problem: str = ''


class Batch(NamedTuple):
  """What the devices of this process compute in one call.

  Attributes:
    known: of all slots, those of a device side by side: the images 'x' and the targets 'asked'
      for (-1: the class predicted); later also what the steps have given, by the names under
      which it is stored.
    images: slot -> image; the other slots are empty.
    failed: images that could not be read.
  """

  known: dict[str, np.ndarray]
  images: dict[int, Loaded]
  failed: list[Loaded]


class Pictures:
  """The pictures of a dataset, as a network takes them.

  Args:
    dataset: where they come from.
    net: the network.
    targets: the class of each image that is explained.
    config: `fit`, `workers` and, if it has one, `multiple`.

  Attributes:
    index: name -> index in the dataset.
    waiting: seconds that batches waited for pictures.
  """

  def __init__(
    self,
    dataset: Dataset,
    net: Pretrained,
    targets: Targets,
    config: ml_collections.ConfigDict,
  ):
    self.dataset, self.net, self.targets, self.config = dataset, net, targets, config
    self.index = {source.name: i for i, source in enumerate(dataset.sources)}
    self.waiting = 0.0

  def load(self, name: str, entry: Entry, seen: int | None = None) -> Loaded:
    """One image; what is wrong with it, as its problem.

    Args:
      name: of the image.
      entry: its place.
      seen: digest of the picture of which results are stored, if there are some.
    """
    index = self.index[name]
    place = self.dataset.sources[index].place
    try:
      picture, label = self.dataset.picture(index)
      image = fit_picture(
        picture,
        size=self.net.size,
        fit=self.config.fit,
        multiple=self.config.get('multiple', 1),
        place=place,
      )
      shape = group_name((image.shape[0], image.shape[1]))
      if shape != entry.group:
        raise ImageError(f'{place}: was {entry.group} when the run began, and is {shape} now')
      x = self.net.preprocess(image)
    except ImageError as error:
      return Loaded(name, place, entry.row, problem=str(error))
    except MemoryError:
      problem = f'{place}: there is not enough memory for it'
      return Loaded(name, place, entry.row, problem=problem)
    label = -1 if label is None else label
    try:
      target = self.targets.of(label)
    except UserError as error:
      return Loaded(name, place, entry.row, problem=f'{place}: {error}')
    digest = zlib.crc32(image.tobytes())
    if seen not in (None, digest):
      problem = f'{place}: has changed since it was explained'
      return Loaded(name, place, entry.row, problem=problem)
    return Loaded(name, place, entry.row, x, digest, label, target)

  def _empty(self, group: str, count: int) -> dict[str, np.ndarray]:
    """'x' and 'asked' of so many slots, with nothing in them."""
    channels = len(self.net.preprocessing.mean)
    return {
      'x': np.zeros((count, *group_shape(group), channels), np.float32),
      'asked': np.zeros(count, np.int32),
    }

  def batches(
    self, group: str, names: dict[int, str], block: int, seen: Mapping[int, int]
  ) -> Iterator[Batch]:
    """Images of a group by blocks, as many of these at a time as this process has devices.

    Args:
      group: of the images.
      names: row -> name, in order of the rows.
      block: rows of a block.
      seen: row -> digest of the picture of which results are stored.
    """
    devices = jax.local_device_count()
    blocks: dict[int, list[int]] = {}
    for row in names:
      blocks.setdefault(row // block, []).append(row)
    some = list(blocks.values())
    images = load_ahead(
      lambda item: self.load(item[1], Entry('', group, item[0]), seen.get(item[0])),
      names.items(),
      ahead=2 * devices * block,
      workers=self.config.workers,
    )
    for first in range(0, len(some), devices):
      batch = Batch(self._empty(group, devices * block), {}, [])
      for device, rows in enumerate(some[first : first + devices]):
        for row in rows:
          self._add(batch, device * block + row % block, images)
      yield batch

  def _add(self, batch: Batch, slot: int, images: Iterator[Loaded]) -> None:
    begin = time.perf_counter()
    image = next(images)
    self.waiting += time.perf_counter() - begin
    if image.x is None:
      batch.failed.append(image)
      return
    batch.known['x'][slot] = image.x
    batch.known['asked'][slot] = image.target
    batch.images[slot] = image
