"""Whether methods rank the parts of an image as the network does, over the folds."""

import numpy as np

from concepts.tasks.explain import PART, Explained
from concepts.tasks.overlap import Row, rows_of
from concepts.tasks.respond import Known
from concepts.tasks.setting import Setting
from perturb.console import format_table
from perturb.run.loop import Outcome
from perturb.store import files
from perturb.store.results import Results
from perturb.tasks.deleted_parts import DeletedParts, delete_parts

HEADER = ('method', 'mean', 'deviation')


def without_parts(setting: Setting, explained: Explained) -> Outcome:
  """Asks the network of the images explained without each of their parts, in `explanations/parts`.

  It is asked for the class that it predicts of the whole image, which is the one explained.
  """
  stored, names = Results(setting.path / PART), explained.outcome.done()
  targets = dict(stored.columns(names, ['target']))
  return delete_parts(setting.net, setting.dataset, targets, setting.config, stored.workdir)


def parts(setting: Setting, known: Known, explained: Explained) -> list[Row]:
  """Writes `parts.csv`, best first; see `perturb.evaluate.part_importance`."""
  stored = Results(setting.path / PART)
  deleted = DeletedParts(stored, setting.dataset, setting.net, setting.config)
  done, folds = explained.done(known)
  found = np.array(
    [
      deleted.of(name).correlations(
        [stored.field(name, f'{method}/heatmap') for method in explained.methods]
      )
      for name in done
    ]
  )
  rows = rows_of(found, folds, explained.methods, {})
  table = [(row.name, *map(_digits, (row.mean, row.deviation, *row.folds))) for row in rows]
  header = (*HEADER, *(f'fold_{fold}' for fold in np.unique(folds)))
  files.write_table(setting.path / 'parts.csv', header, table)
  print('rank correlation of the evidence on the parts and what the network loses without each')
  shown = [(row.name, row.title, f'{row.mean:.2f}', f'{row.deviation:.2f}') for row in rows]
  print(format_table(('method', 'title', 'mean', 'deviation'), shown))
  return rows


def _digits(value: float) -> str:
  return '' if np.isnan(value) else f'{value:.4f}'
