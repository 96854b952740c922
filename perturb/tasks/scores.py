"""The table of a run's classes and scores: `scores.csv`."""

from collections.abc import Sequence

import numpy as np

from perturb.nets import Pretrained
from perturb.store import files
from perturb.store.results import Results
from perturb.store.workdir import Workdir

SCORES = ('image', 'class', 'target', 'label', 'score', 'probability')


def write_scores(
  net: Pretrained, workdir: Workdir, names: Sequence[str], stored: Results
) -> list[dict[str, float]]:
  """Writes a row for each image: the class explained, its score and its probability.

  Args:
    net: the network.
    workdir: of the run.
    names: of the images that are done, at least one.
    stored: the results.

  Returns:
    The means, for `summary.json`.
  """
  rows = []
  for name, target, label, score, probability in stored.columns(names, SCORES[2:]):
    numbers = (f'{score:.6g}', f'{probability:.6g}')
    rows.append((name, net.class_name(int(target)), int(target), int(label), *numbers))
  files.write_table(workdir.path / 'scores.csv', SCORES, rows)
  score, probability = np.array([[float(row[4]), float(row[5])] for row in rows]).mean(0).tolist()
  return [{'score': score, 'probability': probability}]
