"""What the tasks that run over a dataset share: their fields, their pictures, their last words."""

from collections.abc import Callable, Mapping, Sequence
import json
import sys
from typing import Any, TypeVar, get_args
import zlib

import jax
import ml_collections
import numpy as np

from perturb.console import duration
from perturb.data.datasets import Dataset, open_dataset
from perturb.data.images import Fit, fit_picture
from perturb.errors import UserError, check_choice
from perturb.nets import Pretrained
from perturb.run.loop import Experiment, Outcome, Run
from perturb.store.arrays import DONE
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Folder

# What another start of a run may change.
FREE = ('images', 'split', 'data_dir', 'workers', 'figures')

Shown = TypeVar('Shown')


def check_run(config: ml_collections.ConfigDict) -> None:
  """Refuses wrong values of the fields that all these tasks have."""
  check_choice('config.fit', config.fit, get_args(Fit))
  check_least(config, batch=0, workers=1, multiple=1, figures=0)


def check_least(config: ml_collections.ConfigDict, **fields: float) -> None:
  """Refuses fields that are less than so much."""
  for name, least in fields.items():
    if config[name] < least:
      raise UserError(f'config.{name} must be at least {least}, not {config[name]}')


def dataset_of(config: ml_collections.ConfigDict) -> Dataset:
  """The dataset that a config names."""
  return open_dataset(config.images, config.split, config.data_dir)


def run_over(
  experiment: Experiment,
  dataset: Dataset,
  config: ml_collections.ConfigDict,
  workdir: str,
  finish: Callable[[Folder, list[str]], list[dict[str, Any]]],
  free: Sequence[str] = FREE,
) -> int:
  """Runs an experiment; then process 0 writes what it has come to.

  Args:
    experiment: what is computed.
    dataset: of what.
    config: of the run.
    workdir: folder; made if missing.
    finish: (folder, names of the images that are done, at least one) -> rows for `summary.json`;
      writes tables and figures.
    free: fields that another start may change.

  Returns:
    The number of images or items that failed, each of which has been named on stderr.
  """
  folder = Folder(workdir, config, RESULTS, free=free)
  outcome = Run(experiment, dataset, config, folder.path)()
  if jax.process_index() == 0:
    pairs = zip(outcome.names, outcome.status, strict=True)
    names = [name for name, status in pairs if status == DONE]
    rows = finish(folder, names) if names else []
    _sum_up(folder, outcome, len(names), rows)
  return outcome.failed


def _sum_up(folder: Folder, outcome: Outcome, done: int, rows: Sequence[Mapping[str, Any]]) -> None:
  images = done + outcome.failed
  summary = {'images': images, 'done': done, 'failed': outcome.failed, 'rows': rows}
  folder.write('summary.json', json.dumps(summary, indent=2) + '\n')
  print(f'\n{done} of {images} explained; see {folder.path}')
  if outcome.computed:
    steady = outcome.seconds - outcome.compile_seconds
    here = ' in this process' if jax.process_count() > 1 else ''
    took, compiling = duration(outcome.seconds), duration(outcome.compile_seconds)
    print(
      f'{outcome.computed}{here} in {took}, {compiling} of them compilation; '
      f'{outcome.computed / steady:.3g} images/s; '
      f'{outcome.waiting / steady:.1%} of the time waiting for pictures'
    )


def pictures_of(
  net: Pretrained, dataset: Dataset, index: int, config: ml_collections.ConfigDict, stored: Results
) -> tuple[np.ndarray, np.ndarray]:
  """(image as the network saw it, the same at twice the resolution), for a figure.

  Raises:
    UserError: if the picture cannot be read any more, or has changed since it was explained.
  """
  picture, _ = dataset.picture(index)
  image, large = (
    fit_picture(picture, size=net.size, fit=config.fit, multiple=config.multiple, scale=scale)
    for scale in (1, 2)
  )
  source = dataset.sources[index]
  if zlib.crc32(image.tobytes()) != stored.field(source.name, 'digest'):
    raise UserError(f'{source.path}: has changed since it was explained')
  return image, large


def drawable(
  dataset: Dataset, names: Sequence[str], prepare: Callable[[int, str], Shown]
) -> list[Shown]:
  """What figures show of some images; those that cannot be shown any more are named on stderr.

  Args:
    dataset: of the images.
    names: of the images.
    prepare: (index in the dataset, name) -> what is shown of it.
  """
  index = {source.name: i for i, source in enumerate(dataset.sources)}
  shown = []
  for name in names:
    try:
      shown.append(prepare(index[name], name))
    except UserError as error:
      print(f'not drawn: {error}', file=sys.stderr)
  return shown
