"""The tables and figures of a benchmark."""

from collections.abc import Iterator, Sequence
import itertools
from typing import Any

import numpy as np

from perturb.console import format_table
from perturb.evaluate.class_means import Mode
from perturb.evaluate.intervals import Interval, class_mean_interval, mean_interval
from perturb.figures import benchmark as figures
from perturb.figures.style import png
from perturb.store import files
from perturb.store.workdir import Workdir
from perturb.tasks.measure import Numbers
from perturb.tasks.metrics import METRICS, Asked, Column

SUMMARY = ('metric', 'method', 'mean', 'low', 'high', 'images', 'left_out')
DIFFERENCES = ('metric', 'method', 'other', 'difference', 'low', 'high', 'images')
REFERENCE = 'noise'  # The method whose mean is drawn as a line, where it was measured.


def columns_of(metrics: Sequence[str]) -> dict[str, Column]:
  """The columns of some metrics, by name."""
  return {name: one for metric in metrics for name, one in METRICS[metric].columns.items()}


class Summary:
  """The means of a benchmark, with their intervals.

  Args:
    numbers: of each image.
    columns: by name.
    mode: of the means over classes.
    resamples: of the bootstrap.
    seed: of the bootstrap.
  """

  def __init__(
    self, numbers: Numbers, columns: dict[str, Column], mode: Mode, resamples: int, seed: int
  ):
    self._numbers, self._mode = numbers, mode
    self._more: dict[str, Any] = {'resamples': resamples, 'key': seed}
    self.means = {
      (column, method): self._interval(one, values)
      for column, one in columns.items()
      for method, values in numbers.columns[column].items()
    }

  def _interval(self, column: Column, values: np.ndarray) -> Interval:
    numbers = self._numbers
    if column.by_class:
      return class_mean_interval(
        values, numbers.classes, numbers.class_count, mode=self._mode, images=numbers.pictures,
        **self._more,
      )  # fmt: skip
    return mean_interval(values, images=numbers.pictures, **self._more)

  def of(self, name: str) -> list[Interval]:
    """The means of all methods."""
    return [interval for (column, _), interval in self.means.items() if column == name]

  def differences(self, name: str, column: Column) -> Iterator[tuple[str, str, Interval]]:
    """(method, other, the mean of their paired differences), of each two."""
    found = self._numbers.columns[name]
    for one, other in itertools.combinations(found, 2):
      yield one, other, self._interval(column, found[one] - found[other])


def tabulate(folder: Workdir, asked: Sequence[Asked], numbers: Numbers) -> Summary:
  """Writes `metrics.csv`, `benchmark.csv`, `benchmark.md` and `differences.csv`; prints the means.

  Returns:
    The means.
  """
  config = folder.config
  columns = columns_of(config.metrics)
  summary = Summary(numbers, columns, config.mode, config.resamples, config.seed)
  _write_each(folder, asked, numbers, list(columns))
  rows = [
    (column, method, *_digits(i.mean, i.low, i.high), i.used, i.left_out)
    for (column, method), i in summary.means.items()
  ]
  files.write_table(folder.path / 'benchmark.csv', SUMMARY, rows)
  pairs = [
    (column, one, other, *_digits(i.mean, i.low, i.high), i.used)
    for column, about in columns.items()
    for one, other, i in summary.differences(column, about)
  ]
  files.write_table(folder.path / 'differences.csv', DIFFERENCES, pairs)
  most = {column: max((i.used for i in summary.of(column)), default=0) for column in columns}
  header = ('method', *(f'{one.title} ({one.hint})' for one in columns.values()))
  table = [
    (one.title, *(_cell(summary.means.get((column, one.name)), most[column]) for column in columns))
    for one in asked
  ]
  folder.write('benchmark.md', _markdown(header, table))
  titles = ('method', '', *columns)
  print(format_table(titles, [(row[0], '', *row[1:]) for row in table]))
  return summary


def _write_each(
  folder: Workdir, asked: Sequence[Asked], numbers: Numbers, columns: Sequence[str]
) -> None:
  rows = []
  for one in asked:
    known = [numbers.columns[column].get(one.name) for column in columns]
    for i, name in enumerate(numbers.names):
      values = ('' if v is None or np.isnan(v[i]) else f'{v[i]:.6g}' for v in known)
      rows.append((name, one.name, *values))
  files.write_table(folder.path / 'metrics.csv', ('image', 'method', *columns), rows)


def _digits(*values: float) -> Iterator[str]:
  return (f'{value:.6g}' for value in values)


def _cell(interval: Interval | None, most: int) -> str:
  """The mean and its interval; of how many images, where others have more."""
  if interval is None or not interval.used:
    return ''
  of = f' ({interval.used} of {most})' if interval.used < most else ''
  if interval.used == 1:
    return f'{interval.mean:.3f}{of}'
  return f'{interval.mean:.3f} [{interval.low:.2f}, {interval.high:.2f}]{of}'


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [header, ['---'] * len(header), *rows]
  return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def draw(folder: Workdir, asked: Sequence[Asked], numbers: Numbers, summary: Summary) -> None:
  """Writes `benchmark.png` and the curves of the metrics that have some."""
  scores = []
  for name, column in columns_of(folder.config.metrics).items():
    found = [summary.means.get((name, one.name)) for one in asked if one.name != REFERENCE]
    reference = summary.means.get((name, REFERENCE))
    ends = np.array([(i.mean, i.low, i.high) if i else [np.nan] * 3 for i in found])
    line = reference.mean if reference else np.nan
    means, low, high = ends.T
    scores.append(figures.Scores(column.title, column.hint, means, low, high, line, column.best))
  titles = [one.title for one in asked if one.name != REFERENCE]
  folder.write('benchmark.png', png(figures.ranking(titles, scores)))
  for metric in folder.config.metrics:
    _draw_curves(folder, metric, asked, numbers)


def _draw_curves(folder: Workdir, metric: str, asked: Sequence[Asked], numbers: Numbers) -> None:
  panels = []
  for curve in METRICS[metric].curves:
    found = {
      one.title: values[~np.isnan(values).any(1)]
      for one in asked
      if (metric, one.name) in numbers.curves
      and (values := numbers.curves[metric, one.name][curve.field]).size
    }
    found = {title: values for title, values in found.items() if len(values)}
    if found:
      points = next(iter(found.values())).shape[1]
      where = np.linspace(0, curve.last, points)
      panels.append((curve.title, curve.across, curve.up, where, found))
  if panels:
    folder.write(f'{metric}.png', png(figures.curves(panels)))
