"""Whether methods rank the parts of an image as the network does, over the folds."""

from typing import get_args

import numpy as np

from concepts.tasks.explain import PART, Explained
from concepts.tasks.overlap import Row, rows_of
from concepts.tasks.respond import Known
from concepts.tasks.setting import Setting
from perturb.console import format_table
from perturb.evaluate.deleted_parts import Evidence
from perturb.run.loop import Outcome
from perturb.store import files
from perturb.store.results import Results
from perturb.tasks.deleted_parts import DeletedParts, delete_parts

HEADER = ('method', 'evidence', 'mean', 'deviation')


def without_parts(setting: Setting, explained: Explained) -> Outcome:
  """Asks the network of the images explained without each of their parts, in `explanations/parts`.

  It is asked for the class that it predicts of the whole image, which is the one explained.
  """
  stored, names = Results(setting.path / PART), explained.outcome.done()
  targets = dict(stored.columns(names, ['target']))
  return delete_parts(setting.net, setting.dataset, targets, setting.config, stored.workdir)


def parts(setting: Setting, known: Known, explained: Explained) -> list[Row]:
  """Writes `parts.csv`, best first, for both kinds of evidence.

  Returns:
    The rows of the mean evidence over a part: 0 is what a heatmap reaches that looks at nothing.
    See `perturb.evaluate.part_importance`.
  """
  stored = Results(setting.path / PART)
  deleted = DeletedParts(stored, setting.dataset, setting.net, setting.config)
  done, folds, labels = explained.done(known)
  found = dict[str, list[np.ndarray]]()
  for name in done:
    heatmaps = [stored.field(name, f'{method}/heatmap') for method in explained.methods]
    lost = deleted.of(name)
    for evidence in get_args(Evidence):
      found.setdefault(evidence, []).append(lost.correlations(heatmaps, evidence))
  rows = {
    evidence: rows_of(np.array(values), folds, labels, explained.methods, {})
    for evidence, values in found.items()
  }
  table = [
    (row.name, evidence, *map(_digits, (row.mean, row.deviation, *row.folds)))
    for evidence, some in rows.items()
    for row in some
  ]
  header = (*HEADER, *(f'fold_{fold}' for fold in np.unique(folds)))
  files.write_table(setting.path / 'parts.csv', header, table)
  means = rows['mean']
  print('rank correlation of the mean evidence on each part and what the network loses without it')
  shown = [(row.name, row.title, f'{row.mean:.2f}', f'{row.deviation:.2f}') for row in means]
  print(format_table(('method', 'title', 'mean', 'deviation'), shown))
  return means


def _digits(value: float) -> str:
  return '' if np.isnan(value) else f'{value:.4f}'
