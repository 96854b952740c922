"""What came of a sweep: a table of all its runs, and a plot.

  python -m launch.summary --workdir=runs/sweep

Writes `summary.csv`, a row for each run and area, with the fields in which the runs differ, and
`summary.png`. Runs that are not finished are named and left out; ask again later.
"""

from collections.abc import Sequence
import pathlib
import sys

from absl import flags
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from launch.collect import (
  SEED,
  Finished,
  Group,
  groups,
  is_numeric,
  measures,
  read_runs,
  table,
  varied,
)
from launch.command_line import WORKDIR, main
from perturb.console import format_table, percent
from perturb.errors import UserError
from perturb.figures.style import STYLE, png
from perturb.store import files

VALUE = flags.DEFINE_string('value', '', "What is plotted: a column of summary.csv; '' for 'kept'.")
NAMED = 12  # Lines of a plot that have names.
FEW = 6  # Values of a field that are all marked on its axis.


def plot(runs: Sequence[Finished], value: str) -> Figure:
  """The value over the areas, a line a group of runs, and its mean over each field that varies.

  Of runs that differ in nothing but their seed the mean is shown, and the range.
  """
  found, several_areas = groups(runs), _count_areas(runs) > 1
  fields = [field for field in varied(runs) if field != SEED] or ([] if several_areas else [SEED])
  colours = matplotlib.colormaps['viridis'](np.linspace(0, 0.9, len(found)))
  with matplotlib.rc_context(STYLE):
    count = several_areas + len(fields)
    figure = Figure(figsize=(2.9 * count, 2.5), layout='constrained')
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    if several_areas:
      _over_areas(axes[0], found, value, colours)
      handles, labels = axes.pop(0).get_legend_handles_labels()
      if 1 < len(labels) <= NAMED:
        figure.legend(
          handles, labels, loc='outside lower center', ncols=4, frameon=False, fontsize=6
        )
    for axis, field in zip(axes, fields, strict=True):
      _over_field(axis, found, field, value, colours)
  return figure


def _count_areas(runs: Sequence[Finished]) -> int:
  return max(len({row.get('area') for row in run.summary['rows']}) for run in runs)


def _ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(mean, how far the least is below it, how far the most is above it) over the first axis."""
  mean = values.mean(axis=0)
  return mean, mean - values.min(axis=0), values.max(axis=0) - mean


def _over_areas(axes: Axes, found: Sequence[Group], value: str, colours: np.ndarray) -> None:
  for group, colour in zip(found, colours, strict=True):
    areas = np.array([row['area'] for row in group.runs[0].summary['rows']])
    order = np.argsort(areas)
    mean, below, above = (part[order] for part in _ends(group.values(value)))
    at = 100 * areas[order]
    axes.plot(at, mean, '-o', markersize=2.5, linewidth=1, color=colour, label=group.name)
    if len(group.runs) > 1:
      axes.fill_between(at, mean - below, mean + above, color=colour, alpha=0.2, linewidth=0)
  axes.set_xlabel('area of the region (%)')
  axes.set_ylabel(f'{value}, mean over images')


def _over_field(
  axes: Axes, found: Sequence[Group], field: str, value: str, colours: np.ndarray
) -> None:
  numeric = is_numeric([run for group in found for run in group.runs], field)
  for group, colour in zip(found, colours, strict=True):
    places = [group] if field != SEED else [Group(run.name, [run]) for run in group.runs]
    for place in places:
      shown = place.runs[0].config.get(field, place.name)
      mean, below, above = _ends(np.nanmean(place.values(value), axis=1))
      axes.errorbar(
        [shown if numeric else str(shown)], [mean], yerr=[[below], [above]],
        fmt='o', color=colour, markersize=3.5, linewidth=1, capsize=2,
      )  # fmt: skip
  shown = sorted({group.runs[0].config.get(field) for group in found}) if numeric else []
  if 1 < len(shown) <= FEW:
    axes.set_xticks(shown)
  axes.set_xlabel(field)
  axes.set_ylabel(f'{value}, mean over {"areas" if _count_areas(found[0].runs) > 1 else "images"}')


def _table(found: Sequence[Group], value: str) -> str:
  """A row a group of runs, a column an area; where there are several seeds, mean and range."""
  rows = found[0].runs[0].summary['rows']
  columns = [f'{value} at {percent(row["area"])}' if 'area' in row else value for row in rows]
  shown = []
  for group in found:
    done = sum(run.summary['done'] for run in group.runs)
    asked = sum(run.summary['images'] for run in group.runs)
    values = group.values(value)
    cells = [
      f'{mean:.2f}' + (f' ({low:.2f} to {high:.2f})' if len(values) > 1 else '')
      for mean, low, high in zip(values.mean(0), values.min(0), values.max(0), strict=True)
    ]
    shown.append((group.name, len(group.runs), f'{done} of {asked}', *cells))
  return format_table(('runs', 'seeds', 'images', *columns), shown)


def summary() -> int:
  """The command."""
  if not WORKDIR.value:
    raise UserError('--workdir is required: the folder of the sweep')
  workdir = pathlib.Path(WORKDIR.value)
  runs, others = read_runs(workdir)
  for name in others:
    print(f'not finished: {name}', file=sys.stderr)
  columns = [name for name in measures(runs) if name != 'area']
  if not columns:
    raise UserError(f'{workdir}: no run has finished yet')
  value = VALUE.value or ('kept' if 'kept' in columns else columns[0])
  if value not in columns:
    raise UserError(f'--value={value} is not one of {", ".join(columns)}')
  header, rows = table(runs)
  files.write_table(workdir / 'summary.csv', header, rows)
  files.write_atomically(workdir / 'summary.png', png(plot(runs, value)))
  print(_table(groups(runs), value))
  print(f'\nsee {workdir / "summary.csv"} and {workdir / "summary.png"}')
  return 0


if __name__ == '__main__':
  main(summary)
