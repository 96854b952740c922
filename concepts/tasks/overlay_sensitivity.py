"""How alike patches stay as pictures turn and grow: tables, a figure, and a verdict a layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from concepts.figures.overlays import Line, sensitivity_figure
from concepts.tasks.overlay_runs import Setting, kept_of
from concepts.transforms import Kept, Kind, Verdict, turns_with
from perturb.evaluate.intervals import class_mean_interval
from perturb.figures.style import png
from perturb.store import files
from perturb.store.workdir import Workdir

HEADER = (
  'layer', 'kind', 'amount', 'images', 'moved', 'low', 'high', 'unmoved', 'chance', 'border',
  'middle',
)  # fmt: skip
TURNING = ('layer', 'kind', 'follows', 'stays', 'verdict')


def write_sensitivity(
  setting: Setting, folder: Workdir, names: Sequence[str]
) -> list[dict[str, Any]]:
  """Writes `sensitivity.csv`, `turning.csv` and `sensitivity.png`.

  Args:
    setting: of the task.
    folder: of the run.
    names: of the pictures that were measured.

  Returns:
    A row for each layer and kind, of `TURNING`.
  """
  if not names:
    return []
  lines, table = dict[str, dict[Kind, Line]](), list[tuple[str | int, ...]]()
  verdicts = list[tuple[str, str, Verdict]]()
  for given, layer in setting.layers.items():
    lines[given] = {}
    for kind, kept in kept_of(setting, names, layer).items():
      means = Kept(*(_means(one) for one in kept))
      low, high = _ends(kept.moved)
      lines[given][kind] = Line(means.moved, low, high, means.chance)
      for i, amount in enumerate(setting.amounts[kind]):
        numbers = (
          means.moved, low, high, means.unmoved, means.chance, means.border, means.middle
        )  # fmt: skip
        table.append(
          (given, kind, f'{amount:g}', len(names), *(f'{one[i]:.6g}' for one in numbers))
        )
      changed = [i for i, one in enumerate(setting.amounts[kind]) if _changes(kind, one)]
      if changed:
        three = (float(_means(one[changed, None])[0]) for one in means[:3])
        verdicts.append((given, kind, turns_with(*three)))
  files.write_table(folder.path / 'sensitivity.csv', HEADER, table)
  rows = [
    (given, kind, f'{one.follows:.3f}', f'{one.stays:.3f}', one.words)
    for given, kind, one in verdicts
  ]
  files.write_table(folder.path / 'turning.csv', TURNING, rows)
  folder.write('sensitivity.png', png(sensitivity_figure(lines, setting.amounts, len(names))))
  return [dict(zip(TURNING, row, strict=True)) for row in rows]


def _changes(kind: Kind, amount: float) -> bool:
  """Whether it is no whole turn, and no scale of 1."""
  return amount % 360 != 0 if kind == 'rotation' else amount != 1


def _means(values: np.ndarray) -> np.ndarray:
  """Over the pictures `[N, T]`, of those that are numbers: `[T]`."""
  known = np.isfinite(values)
  sums = np.where(known, values, 0).sum(0)
  return np.where(known.any(0), sums / np.maximum(known.sum(0), 1), np.nan)


def _ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The 95 % intervals of the means over the pictures, `[T]` each."""
  nothing = np.zeros(len(values), int)
  found = [class_mean_interval(column, nothing, 1, resamples=1000) for column in values.T]
  return np.array([one.low for one in found]), np.array([one.high for one in found])
