"""The numbers of a benchmark, from the stored heatmaps: some images at a time."""

from collections.abc import Sequence
import pathlib
from typing import NamedTuple
import zlib

import ml_collections
import numpy as np

from perturb.data.datasets import Dataset
from perturb.nets import Pretrained
from perturb.store.arrays import DONE, Group
from perturb.store.results import Results
from perturb.tasks.deleted_parts import DeletedParts
from perturb.tasks.metrics import METRICS, Asked, Block
from perturb.tasks.views import Views

AT_ONCE = 64  # Images.


class Numbers(NamedTuple):
  """What metrics say.

  Attributes:
    names: of the images `[N]`.
    classes: of each, its label in the dataset, or the class explained where that has none `[N]`.
    class_count: of all such classes.
    pictures: of each, the number of its picture `[N]`: several may be of one picture.
    columns: column -> name of a method -> `[N]`; NaN where an image has none.
    curves: (metric, name of a method) -> what its columns come from, by name: `[N, ...]`.
    problems: (name, place, reason) of the images whose annotation cannot be read.
  """

  names: list[str]
  classes: np.ndarray
  class_count: int
  pictures: np.ndarray
  columns: dict[str, dict[str, np.ndarray]]
  curves: dict[tuple[str, str], dict[str, np.ndarray]]
  problems: list[tuple[str, str, str]]


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
  views = Views(dataset, net, config)
  annotated = any(METRICS[metric].annotated for metric in config.metrics)
  of_parts = any(METRICS[metric].parts for metric in config.metrics)
  deleted = DeletedParts(stored, dataset, net, config) if of_parts else None
  order = {name: i for i, name in enumerate(names)}
  found = dict[tuple[str, str], dict[str, np.ndarray]]()
  for group, rows in stored.blocks(names, AT_ONCE):
    at = [order[name] for name in rows.values()]
    known = group.read('rank', list(rows)) <= (config.top or np.inf)
    seen = [views.of(name) for name in rows.values()] if annotated else []
    deletions = [deleted.of(name) for name in rows.values()] if deleted else []
    marked = np.array([view.mask.any() for view in seen])
    for one in asked:
      heatmaps = group.read(one.source, list(rows))
      done = known & (group.read(f'{one.name}/status', list(rows)) == DONE)
      for metric in config.metrics:
        fields, has = _fields(group, metric, one, list(rows))
        if fields is None:
          continue
        numbers = METRICS[metric].numbers(Block(heatmaps, seen, deletions, fields, config))
        has = has & marked if METRICS[metric].annotated else has
        into = found.setdefault((metric, one.name), {})
        for name, values in numbers.items():
          if name not in into:
            into[name] = np.full((len(names), *values.shape[1:]), np.nan, np.float32)
          counts = (done & has).reshape(-1, *[1] * (values.ndim - 1))
          into[name][at] = np.where(counts, values, np.nan)
  places = {source.name: source.place for source in dataset.sources}
  pictures = np.unique([places[name] for name in names], return_inverse=True)[1]
  held_out = np.array([_chooses(places[name]) for name in names])
  finished = {key: METRICS[key[0]].finish(numbers, held_out) for key, numbers in found.items()}
  columns = {
    column: {
      one.name: _once(f[column], pictures) if about.of_picture else f[column]
      for one in asked
      if (f := finished.get((metric, one.name)))
    }
    for metric in config.metrics
    for column, about in METRICS[metric].columns.items()
  }
  labelled = bool(dataset.class_names)
  classes = [int(row[1]) for row in stored.columns(names, ['label' if labelled else 'target'])]
  count = len(dataset.class_names if labelled else net.class_names)
  return Numbers(list(names), np.asarray(classes), count, pictures, columns, found, views.problems)


def _chooses(place: str) -> bool:
  """Whether a picture is of the half that chooses thresholds: by its file's name, for good."""
  return zlib.crc32(pathlib.PurePath(place).name.encode()) % 2 == 0


def _once(values: np.ndarray, pictures: np.ndarray) -> np.ndarray:
  """Numbers `[N]` that depend on the picture alone, each picture's first one."""
  first = np.zeros(len(values), bool)
  first[np.unique(pictures, return_index=True)[1]] = True
  return np.where(first, values, np.nan)


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
