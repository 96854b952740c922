"""The finished runs of a sweep, and their table."""

from collections.abc import Sequence
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from perturb.errors import UserError
from perturb.nested import flatten

SEED = 'seed'  # The field in which runs are repetitions of each other.


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
  fields = [field for field in varied(runs) if is_numeric(runs, field)]

  def key(run: Finished) -> tuple[Any, ...]:
    return (*(run.config[field] for field in fields), run.name)

  return sorted(runs, key=key)


def is_numeric(runs: Sequence[Finished], field: str) -> bool:
  """Whether a field is a number in all runs."""
  values = [run.config.get(field) for run in runs]
  return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def varied(runs: Sequence[Finished]) -> list[str]:
  """The fields in which runs differ."""
  names = dict.fromkeys(name for run in runs for name in run.config)
  return [n for n in names if len({json.dumps(run.config.get(n)) for run in runs}) > 1]


def measures(runs: Sequence[Finished]) -> list[str]:
  """The columns of what was measured, the area first where there is one."""
  return list(dict.fromkeys(name for run in runs for row in run.summary['rows'] for name in row))


class Group(NamedTuple):
  """Runs that differ in nothing but their seed.

  Attributes:
    name: the fields in which groups differ.
    runs: of the group.
  """

  name: str
  runs: list[Finished]

  def values(self, column: str) -> np.ndarray:
    """What was measured, `[runs, rows]`; NaN where it is not known."""
    values = [[row.get(column) for row in run.summary['rows']] for run in self.runs]
    return np.array(values, float)


def groups(runs: Sequence[Finished]) -> list[Group]:
  """The runs by the fields that vary, the seed aside, in their order."""
  fields = [field for field in varied(runs) if field != SEED]
  found: dict[str, list[Finished]] = {}
  for run in runs:
    parts = [f'{field.split(".")[-1]}={run.config.get(field)}' for field in fields]
    found.setdefault(', '.join(parts) or 'all', []).append(run)
  return [Group(name, some) for name, some in found.items()]


def _text(value: float | None) -> str:
  return '' if value is None else f'{value:.6g}'


def table(runs: Sequence[Finished]) -> tuple[list[str], list[list[Any]]]:
  """(header, rows): a row for each run, and area where its task has some."""
  fields, columns = varied(runs), measures(runs)
  header = ['run', *fields, 'images', 'done', 'failed', *columns]
  rows = []
  for run in runs:
    first = [run.name, *(run.config.get(field) for field in fields)]
    first += [run.summary[name] for name in ('images', 'done', 'failed')]
    for row in run.summary['rows']:
      rows.append([*first, *(_text(row.get(name)) for name in columns)])
  return header, rows
