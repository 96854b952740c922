"""Labelled pictures in memory: those of a dataset, at the size of a network."""

from collections.abc import Callable
import os

import numpy as np

from perturb.console import Progress
from perturb.data.digits import Examples
from perturb.data.fitting import Fit, fit_picture
from perturb.data.images import Source
from perturb.data.loader import load_ahead
from perturb.data.records import Dataset
from perturb.errors import ImageError, UserError

SHARE = 0.25  # Of the machine's memory; a CPU as the device holds the pictures once more.


def read_examples(
  dataset: Dataset,
  *,
  size: int,
  fit: Fit,
  workers: int,
  fail: Callable[[Source, str], None],
) -> tuple[Examples, np.ndarray]:
  """All pictures of a dataset that can be read, with their labels.

  Args:
    dataset: with labels.
    size: of the pictures, in pixels: `[N, size, size, 3]`.
    fit: 'crop' or 'squash'.
    workers: threads that read.
    fail: called with a picture that is left out, and why, in a line; stderr says it too.

  Returns:
    (the pictures in order, the index of each in the dataset `[N]`).

  Raises:
    UserError: for more pictures than the memory should hold.
  """
  count = len(dataset.sources)
  _check_memory(count, size)
  images, labels = np.empty((count, size, size, 3), np.uint8), np.zeros(count, np.int64)
  progress, read = Progress(count, 'picture'), list[int]()

  def load(index: int) -> tuple[np.ndarray, int] | str:
    place = dataset.sources[index].place
    try:
      picture, label = dataset.picture(index)
      if label is None:
        return f'{place}: has no label'
      return fit_picture(picture, size=size, fit=fit, place=place), label
    except ImageError as error:
      return str(error)

  for index, loaded in enumerate(load_ahead(load, range(count), ahead=64, workers=workers)):
    if isinstance(loaded, str):
      progress.say(f'error: {loaded}')
      fail(dataset.sources[index], loaded)
    else:
      images[len(read)], labels[len(read)] = loaded
      read.append(index)
    progress.advance(1)
  progress.close()
  kept = len(read)
  return Examples(images[:kept], labels[:kept], dataset.class_names), np.array(read, np.int64)


def _check_memory(count: int, size: int) -> None:
  needed, there = count * size * size * 3, os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  if needed > SHARE * there:
    raise UserError(
      f'config.images: {count} pictures of {size} x {size} pixels take {needed / 1e9:.3g} GB; '
      f'pictures are held in memory, and {there / 1e9:.3g} GB are enough for '
      f'{int(SHARE * there) // (needed // count)}; take fewer with config.split'
    )
