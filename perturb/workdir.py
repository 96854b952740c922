"""The folder of a run: its config, results, timings, tables, figures and report."""

from collections.abc import Sequence
import csv
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from perturb import figures, report, store
from perturb.errors import UserError
from perturb.extremal import kept_fraction, smallest_area
from perturb.folder import VERSION, Folder

GROWTH_ROWS = 8  # Pictures in figures/growth.png: the first ones of one shape.

SCORES = (
  'image', 'class', 'target', 'area', 'mean_area', 'share_area', 'score', 'deleted_score',
  'binary_score', 'full_score', 'blank_score', 'kept', 'smallest_area',
)  # fmt: skip


class Workdir(Folder):
  """The folder of a run that explains pictures, made if missing.

  Args:
    path: of the folder.
    config: of the run.

  Raises:
    UserError: if it cannot be written, or holds results of another config (`images` apart).
  """

  def __init__(self, path: str, config: ml_collections.ConfigDict):
    super().__init__(path, config, 'results', free=('images',))
    try:
      (self.path / 'figures').mkdir(exist_ok=True)
    except OSError as error:
      raise UserError(f'workdir {path}: cannot be written ({error.strerror})') from error

  def result_path(self, name: str) -> pathlib.Path:
    """Where the explanation of a picture is, or will be."""
    return self.results / f'{name}.npz'

  def seconds(self) -> dict[tuple[str, str], str]:
    """(picture, area) -> seconds, as far as they have been measured in this folder."""
    try:
      with open(self.path / 'timings.csv', newline='') as file:
        return {(row['image'], row['area']): row['seconds'] for row in csv.DictReader(file)}
    except (OSError, KeyError):
      return {}

  def add(self, explanation: store.Explanation, seconds: np.ndarray) -> None:
    """Stores a new explanation, and how long each of its areas took."""
    store.save(self.result_path(explanation.name), explanation)
    timings = self.seconds()
    for area, second in zip(explanation.result.areas, seconds, strict=True):
      timings[explanation.name, f'{area:g}'] = f'{second:.3f}'
    rows = [[image, area, second] for (image, area), second in timings.items()]
    store.write_table(self.path / 'timings.csv', ('image', 'area', 'seconds'), rows)

  def draw(self, explanation: store.Explanation) -> None:
    """Writes the figures of one picture."""
    for name, figure in (
      ('growth', figures.area_growth([explanation])),
      ('mask', figures.extremal_mask(explanation)),
      ('scores', figures.score_curves(explanation)),
    ):
      self.write(f'figures/{explanation.name}_{name}.png', figures.png(figure))

  def summarise(self, explanations: Sequence[store.Explanation]) -> None:
    """Writes the table of scores, the area growth of several pictures, and the report."""
    rows = [row for explanation in explanations for row in _score_rows(explanation)]
    store.write_table(self.path / 'scores.csv', SCORES, rows)
    shape = explanations[0].picture.shape
    alike = [e for e in explanations if e.picture.shape == shape][:GROWTH_ROWS]
    self.write('figures/growth.png', figures.png(figures.area_growth(alike)))
    made = f'perturb {VERSION}, JAX {jax.__version__}\n{self.config.to_json(indent=2)}'
    self.write('report.html', report.html_report(explanations, made, self.config.game))


def _score_rows(explanation: store.Explanation) -> list[list[Any]]:
  r = explanation.result
  columns = np.stack(
    [
      r.areas,
      r.mean_area[0],
      r.share_area[0],
      r.scores[0],
      r.deleted_scores[0],
      r.binary_scores[0],
      np.broadcast_to(r.full_score, r.areas.shape),
      np.broadcast_to(r.blank_score, r.areas.shape),
      kept_fraction(r, np.inf)[0],
      np.broadcast_to(smallest_area(r, explanation.threshold), r.areas.shape),
    ],
    axis=1,
  )
  first = [explanation.name, explanation.class_name, explanation.target]
  return [[*first, *(f'{value:.6g}' for value in row)] for row in columns]
