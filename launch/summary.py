"""What came of a sweep: a table of all its runs, and a plot.

  python -m launch.summary --workdir=runs/sweep

Writes `summary.csv`, a row for each run and area, with the fields in which the runs differ, and
`summary.png`. Runs that are not finished are named and left out; ask again later.
"""

from collections.abc import Sequence
import json
import pathlib
import sys
from typing import Any, NamedTuple

from absl import flags
import matplotlib
from matplotlib.figure import Figure
import numpy as np

from launch.sweep import WORKDIR, main
from perturb import store
from perturb.console import format_table
from perturb.errors import UserError
from perturb.figures import STYLE, png
from perturb.folder import flatten

VALUE = flags.DEFINE_string('value', 'kept', 'What is plotted: a column of summary.csv.')


class Finished(NamedTuple):
  """A run that is finished.

  Attributes:
    name: of its folder.
    config: field -> value, nested ones by dotted names.
    summary: of its summary.json.
  """

  name: str
  config: dict[str, Any]
  summary: dict[str, Any]


def read_runs(workdir: pathlib.Path) -> tuple[list[Finished], list[str]]:
  """(the finished runs in a folder, the names of the others).

  Raises:
    UserError: if there is no run at all.
  """
  finished, others = [], []
  for path in sorted(workdir.glob('*/config.json')):
    folder = path.parent
    try:
      config = flatten(json.loads(path.read_text()))
      summary = json.loads((folder / 'summary.json').read_text())
      finished.append(Finished(folder.name, config, summary))
    except (OSError, ValueError):
      others.append(folder.name)
  if not finished and not others:
    raise UserError(f'{workdir}: holds no runs; a sweep makes a folder for each')
  return _in_order(finished), others


def _in_order(runs: list[Finished]) -> list[Finished]:
  """By the fields that vary and are numbers, then by name."""
  fields = [field for field in varied(runs) if _numeric(runs, field)]

  def key(run: Finished) -> tuple[Any, ...]:
    return (*(run.config[field] for field in fields), run.name)

  return sorted(runs, key=key)


def _numeric(runs: Sequence[Finished], field: str) -> bool:
  values = [run.config.get(field) for run in runs]
  return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def varied(runs: Sequence[Finished]) -> list[str]:
  """The fields in which runs differ."""
  names = dict.fromkeys(name for run in runs for name in run.config)
  return [n for n in names if len({json.dumps(run.config.get(n)) for run in runs}) > 1]


def table(runs: Sequence[Finished]) -> tuple[list[str], list[list[Any]]]:
  """(header, rows): a row for each run and area."""
  fields = varied(runs)
  measures = list(dict.fromkeys(m for r in runs for v in r.summary['areas'].values() for m in v))
  header = ['run', *fields, 'images', 'done', 'failed', 'area', *measures]
  rows = []
  for run in runs:
    first = [run.name, *(run.config.get(field) for field in fields)]
    first += [run.summary[name] for name in ('images', 'done', 'failed')]
    for area, values in run.summary['areas'].items():
      rows.append([*first, area, *(f'{values[name]:.6g}' for name in measures)])
  return header, rows


def plot(runs: Sequence[Finished], value: str) -> Figure:
  """Left: the value over the areas, a line a run. Right: its mean, over each field that varies."""
  fields = varied(runs)
  colours = matplotlib.colormaps['viridis'](np.linspace(0, 0.9, len(runs)))
  with matplotlib.rc_context(STYLE):
    panels = 1 + len(fields)
    figure = Figure(figsize=(2.9 * panels, 2.5), layout='constrained')
    axes = np.atleast_1d(figure.subplots(1, panels, sharey=False))
    for run, colour in zip(runs, colours, strict=True):
      areas = sorted(run.summary['areas'], key=float)
      values = [run.summary['areas'][area][value] for area in areas]
      label = run.name if len(runs) <= 12 else None
      percent = [100 * float(area) for area in areas]
      axes[0].plot(percent, values, '-o', markersize=2.5, linewidth=1, color=colour, label=label)
    axes[0].set_xlabel('area of the region (%)')
    axes[0].set_ylabel(f'{value}, mean over images')
    if len(runs) <= 12:
      axes[0].legend(frameon=False, fontsize=5.5)
    for axis, field in zip(axes[1:], fields, strict=True):
      numeric = _numeric(runs, field)
      shown = [run.config.get(field) for run in runs]
      positions = shown if numeric else [str(one) for one in shown]
      means = [np.mean([v[value] for v in run.summary['areas'].values()]) for run in runs]
      axis.scatter(positions, means, c=colours, s=14)
      if numeric and len(set(positions)) <= 6:
        axis.set_xticks(list(set(positions)))
      axis.set_xlabel(field)
      axis.set_ylabel(f'{value}, mean over areas')
  return figure


def summary() -> int:
  """The command."""
  if not WORKDIR.value:
    raise UserError('--workdir is required: the folder of the sweep')
  workdir = pathlib.Path(WORKDIR.value)
  runs, others = read_runs(workdir)
  for name in others:
    print(f'not finished: {name}', file=sys.stderr)
  if not runs:
    return 1
  header, rows = table(runs)
  measures = header[header.index('area') + 1 :]
  if VALUE.value not in measures:
    raise UserError(f'--value={VALUE.value} is not one of {", ".join(measures)}')
  store.write_table(workdir / 'summary.csv', header, rows)
  store.write_atomically(workdir / 'summary.png', png(plot(runs, VALUE.value)))
  means = [
    (
      run.name,
      f'{run.summary["done"]} of {run.summary["images"]}',
      *(f'{v[VALUE.value]:.3f}' for v in run.summary['areas'].values()),
    )
    for run in runs
  ]
  areas = [f'{VALUE.value} {area}' for area in runs[0].summary['areas']]
  print(format_table(('run', 'images', *areas), means))
  print(f'\nsee {workdir / "summary.csv"} and {workdir / "summary.png"}')
  return 0


if __name__ == '__main__':
  main(summary)
