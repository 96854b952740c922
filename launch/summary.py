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

from launch.collect import Finished, is_numeric, measures, read_runs, table, varied
from launch.command_line import WORKDIR, main
from perturb.console import format_table
from perturb.errors import UserError
from perturb.figures.style import STYLE, png
from perturb.store import files

VALUE = flags.DEFINE_string('value', '', "What is plotted: a column of summary.csv; '' for 'kept'.")
NAMED = 12  # Lines of a plot that have names.


def plot(runs: Sequence[Finished], value: str) -> Figure:
  """The value over the areas, a line a run; and its mean over each field that varies."""
  fields, by_area = varied(runs), 'area' in measures(runs)
  colours = matplotlib.colormaps['viridis'](np.linspace(0, 0.9, len(runs)))
  with matplotlib.rc_context(STYLE):
    count = max(1, by_area + len(fields))
    figure = Figure(figsize=(2.9 * count, 2.5), layout='constrained')
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    if by_area:
      _over_areas(axes.pop(0), runs, value, colours)
    for axis, field in zip(axes, fields or ['run'], strict=False):
      numeric = is_numeric(runs, field)
      shown = [run.config.get(field, run.name) for run in runs]
      positions = shown if numeric else [str(one) for one in shown]
      means = [np.mean([row[value] for row in run.summary['rows']]) for run in runs]
      axis.scatter(positions, means, c=colours, s=14)
      if numeric and len(set(positions)) <= 6:
        axis.set_xticks(list(set(positions)))
      axis.set_xlabel(field)
      axis.set_ylabel(f'{value}, mean over {"areas" if by_area else "images"}')
  return figure


def _over_areas(axes: Axes, runs: Sequence[Finished], value: str, colours: np.ndarray) -> None:
  for run, colour in zip(runs, colours, strict=True):
    rows = sorted(run.summary['rows'], key=lambda row: row['area'])
    percent, values = [100 * row['area'] for row in rows], [row[value] for row in rows]
    axes.plot(percent, values, '-o', markersize=2.5, linewidth=1, color=colour, label=run.name)
  axes.set_xlabel('area of the region (%)')
  axes.set_ylabel(f'{value}, mean over images')
  if len(runs) <= NAMED:
    axes.legend(frameon=False, fontsize=5.5, loc='upper left', bbox_to_anchor=(1, 1.03))


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
  shown = [
    (
      run.name,
      f'{run.summary["done"]} of {run.summary["images"]}',
      ' '.join(f'{row[value]:.3f}' for row in run.summary['rows']),
    )
    for run in runs
  ]
  print(format_table(('run', 'images', value), shown))
  print(f'\nsee {workdir / "summary.csv"} and {workdir / "summary.png"}')
  return 0


if __name__ == '__main__':
  main(summary)
