"""Where each image of a run goes: a group for its shape, a row there, and room for its results."""

from collections.abc import Callable, Iterator
import pathlib

import ml_collections
import numpy as np

from perturb.chunks import default_chunk
from perturb.data.datasets import Dataset
from perturb.data.fitting import fitted_shape
from perturb.data.images import Source
from perturb.data.loader import load_ahead
from perturb.errors import ImageError
from perturb.run.experiment import Experiment, Shape
from perturb.store.arrays import Field, read_attributes, write_constant, write_group
from perturb.store.manifest import Manifest, group_name, group_shape, names_by_row
from perturb.store.names import write_names
from perturb.store.results import (
  RESULTS,
  TIMINGS,
  manifest_of,
  results_group,
  timings_group,
)

LARGEST_BLOCK = 64  # Images.
CHUNK = 16  # Images a file, about.

Fail = Callable[[str, str, str], None]  # Of (name, place, reason).


def place_images(
  workdir: pathlib.Path,
  dataset: Dataset,
  experiment: Experiment,
  config: ml_collections.ConfigDict,
  fail: Fail,
) -> None:
  """Gives the new images of a dataset a place, and makes room there. For one process only.

  Args:
    workdir: an existing folder; what it has stays where it is.
    dataset: of the images.
    experiment: what is stored of each.
    config: `fit`, `batch`, `workers` and, if it has one, `multiple`.
    fail: told of the images that have no shape.
  """
  manifest = manifest_of(workdir)
  manifest.add(_new_images(manifest, dataset, experiment.net.size, config, fail))
  write_group(workdir / RESULTS, {})
  write_group(workdir / TIMINGS, {})
  for name, images in names_by_row(manifest.entries).items():
    _make_room(workdir, name, len(images), experiment, config.batch)
    write_names(workdir / RESULTS / name, [images[row] for row in range(len(images))])
  manifest.write()


def _new_images(
  manifest: Manifest, dataset: Dataset, size: int, config: ml_collections.ConfigDict, fail: Fail
) -> Iterator[tuple[Source, str]]:
  """(source, group) of each new image; with 'aspect' from the first bytes of the picture."""
  sources = dataset.sources
  new = [i for i, source in enumerate(sources) if source.name not in manifest.entries]

  def shape(index: int) -> Shape | str:
    if config.fit != 'aspect':
      return size, size
    multiple, place = config.get('multiple', 1), sources[index].place
    try:
      width, height = dataset.size(index)
      return fitted_shape(width, height, size=size, fit=config.fit, multiple=multiple, place=place)
    except ImageError as error:
      return str(error)

  shapes = load_ahead(shape, new, ahead=64, workers=config.workers)
  for i, found in zip(new, shapes, strict=True):
    if isinstance(found, str):
      fail(sources[i].name, sources[i].place, found)
    else:
      yield sources[i], group_name(found)


def _make_room(
  workdir: pathlib.Path, name: str, count: int, experiment: Experiment, batch: int
) -> None:
  path, shape = workdir / RESULTS / name, group_shape(name)
  largest = min(batch or min(default_chunk(shape), LARGEST_BLOCK), count)
  blocks = -(-count // largest)
  even = -(-count // blocks)  # As even as can be: little is computed for nothing.
  write_group(path, {'block': even, **experiment.attributes(shape, even)})
  write_group(workdir / TIMINGS / name, {})
  for step in experiment.steps:
    if step.name:
      write_group(path / step.name, {})
      write_group(workdir / TIMINGS / name / step.name, {})
  results, timings = results_group(workdir, name), timings_group(workdir, name)
  if 'status' in results:
    chunk = results.chunk('status')  # That of the first start, for the fields of new steps too.
  else:
    block = read_attributes(path)['block']
    chunk = block * int(np.clip(blocks // 8, 1, -(-CHUNK // block)))
  results.grow(experiment.fields(shape), count, chunk)
  timings.grow({step.stored('seconds'): Field() for step in experiment.steps}, count, chunk)
  for constant, (axis, values) in experiment.constants.items():
    write_constant(path / constant, axis, values)
