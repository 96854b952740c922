"""The numbers of a benchmark, from the stored heatmaps: some images at a time."""

from collections.abc import Iterator, Sequence
import sys
from typing import NamedTuple

import ml_collections
import numpy as np

from perturb.data.datasets import Dataset
from perturb.data.fitted_regions import fitted_boxes, fitted_mask
from perturb.data.fitting import keeps_all
from perturb.errors import ImageError
from perturb.nets import Pretrained
from perturb.store.arrays import DONE, Group
from perturb.store.manifest import names_by_row
from perturb.store.results import Results
from perturb.tasks.metrics import METRICS, Asked, Block, View

AT_ONCE = 64  # Images.
_ROWS_FIRST = [1, 0, 3, 2]  # (left, top, right, bottom) as (top, left, bottom, right).


class Numbers(NamedTuple):
  """What metrics say.

  Attributes:
    names: of the images `[N]`.
    classes: of each, the class explained `[N]`.
    pictures: of each, the number of its picture `[N]`: several may be of one picture.
    columns: column -> name of a method -> `[N]`; NaN where an image has none.
    curves: (metric, name of a method) -> what its columns come from, by name: `[N, ...]`.
  """

  names: list[str]
  classes: np.ndarray
  pictures: np.ndarray
  columns: dict[str, dict[str, np.ndarray]]
  curves: dict[tuple[str, str], dict[str, np.ndarray]]


def measure(
  names: Sequence[str],
  asked: Sequence[Asked],
  stored: Results,
  dataset: Dataset,
  net: Pretrained,
  config: ml_collections.ConfigDict,
) -> Numbers:
  """What the metrics of a config say of the methods' heatmaps.

  Args:
    names: of the images that are done.
    asked: the methods.
    stored: the results.
    dataset: where the objects are.
    net: the network, whose size the pictures were fitted to.
    config: of the run.
  """
  views = _Views(dataset, net, config)
  order = {name: i for i, name in enumerate(names)}
  found = dict[tuple[str, str], dict[str, np.ndarray]]()
  for group, rows in _blocks(names, stored):
    at = [order[name] for name in rows.values()]
    known = group.read('rank', list(rows)) <= (config.top or np.inf)
    seen = [views.of(name) for name in rows.values()] if views.needed else []
    marked = np.array([view.mask.any() for view in seen])
    for one in asked:
      heatmaps = group.read(one.source, list(rows))
      done = known & (group.read(f'{one.name}/status', list(rows)) == DONE)
      for metric in config.metrics:
        fields, has = _fields(group, metric, one, list(rows))
        if fields is None:
          continue
        numbers = METRICS[metric].numbers(Block(heatmaps, seen, fields, config))
        has = has & marked if METRICS[metric].annotated else has
        into = found.setdefault((metric, one.name), {})
        for name, values in numbers.items():
          if name not in into:
            into[name] = np.full((len(names), *values.shape[1:]), np.nan, np.float32)
          counts = (done & has).reshape(-1, *[1] * (values.ndim - 1))
          into[name][at] = np.where(counts, values, np.nan)
  finished = {key: METRICS[key[0]].finish(numbers) for key, numbers in found.items()}
  columns = {
    column: {one.name: f[column] for one in asked if (f := finished.get((metric, one.name)))}
    for metric in config.metrics
    for column in METRICS[metric].columns
  }
  targets = [int(target) for _, target in stored.columns(names, ['target'])]
  places = {source.name: source.place for source in dataset.sources}
  pictures = np.unique([places[name] for name in names], return_inverse=True)[1]
  return Numbers(list(names), np.asarray(targets), pictures, columns, found)


def _blocks(names: Sequence[str], stored: Results) -> Iterator[tuple[Group, dict[int, str]]]:
  """(group, row -> name) of some images at a time."""
  wanted = set(names)
  for group, by_row in names_by_row(stored.manifest.entries).items():
    rows = [row for row in sorted(by_row) if by_row[row] in wanted]
    for i in range(0, len(rows), AT_ONCE):
      yield stored.groups[group], {row: by_row[row] for row in rows[i : i + AT_ONCE]}


def _fields(
  group: Group, metric: str, one: Asked, rows: list[int]
) -> tuple[dict[str, np.ndarray] | None, np.ndarray]:
  """(what a metric's step has stored of a method, which images have it); None where it has none."""
  make = METRICS[metric].step
  if not make:
    return {}, np.ones(len(rows), bool)
  step = make(one)
  if step is None:
    return None, np.zeros(len(rows), bool)
  fields = {name: group.read(step.stored(name), rows) for name in step.fields((0, 0))}
  return fields, group.read(step.stored('status'), rows) == DONE


class _Views:
  """Where the objects are, as heatmaps see them.

  Where a fit keeps all of a picture, heatmaps are compared at the size of the picture; else what it
  cuts off does not count, and they are compared as the network saw it.
  """

  def __init__(self, dataset: Dataset, net: Pretrained, config: ml_collections.ConfigDict):
    self.needed = any(METRICS[metric].annotated for metric in config.metrics)
    self._dataset = dataset
    self._index = {source.name: i for i, source in enumerate(dataset.sources)}
    self._fit = {'size': net.size, 'fit': config.fit, 'multiple': config.get('multiple', 1)}

  def of(self, name: str) -> View:
    """What is marked in an image; where that cannot be read, it is said, and nothing is."""
    try:
      region = self._dataset.region(self._index[name])
      mask = region.mask()
    except ImageError as error:
      print(f'not measured: {error}', file=sys.stderr)
      return View(np.zeros((1, 1), bool), np.zeros((0, 4)), False)
    if keeps_all(*region.size, **self._fit):
      return View(mask, region.boxes[:, _ROWS_FIRST], region.difficult)
    boxes = fitted_boxes(region.boxes, *region.size, **self._fit)[:, _ROWS_FIRST]
    return View(fitted_mask(mask, **self._fit), boxes, region.difficult)
