"""How well heatmaps cover what tells the classes apart, over the folds: table 1 of the paper."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from concepts.tasks.explain import PART, Explained
from concepts.tasks.respond import Known
from concepts.tasks.setting import Setting
from perturb.console import format_table
from perturb.evaluate.overlap import iou_curves
from perturb.store import files
from perturb.store.results import Results
from perturb.tasks.views import Views

HEADER = ('method', 'mean', 'deviation', 'paper', 'paper_deviation')
# Percent, mean and deviation over 5 folds: Oramas et al. (ICLR 2019), table 1.
PAPER = {
  'single-6c': {
    'relevant_upsampled': (16.8, 2.63),
    'relevant_guided': (21.3, 0.77),
    'grad_cam': (17.5, 0.25),
    'guided_grad_cam': (19.9, 0.61),
    'grad_cam_plus_plus': (15.6, 0.57),
    'relevant': (22.5, 0.82),
  },
  'double-12c': {
    'relevant_upsampled': (16.1, 1.30),
    'relevant_guided': (21.9, 0.72),
    'grad_cam': (14.8, 0.16),
    'guided_grad_cam': (19.4, 0.34),
    'grad_cam_plus_plus': (14.6, 0.12),
    'relevant': (23.2, 0.60),
  },
}


class Row(NamedTuple):
  """A number of a method: its area under the IoU curve, in percent, or its correlation of parts.

  Attributes:
    name: of the method.
    title: what a figure calls it.
    folds: mean over the images of each fold; NaN where no image has one.
    paper: the paper's mean and deviation, or None.
  """

  name: str
  title: str
  folds: np.ndarray
  paper: tuple[float, float] | None

  @property
  def mean(self) -> float:
    return float(np.mean(self.folds))

  @property
  def deviation(self) -> float:
    return float(np.std(self.folds))


def rows_of(
  values: np.ndarray,
  folds: np.ndarray,
  methods: Mapping[str, str],
  paper: Mapping[str, tuple[float, float]],
) -> list[Row]:
  """The means of methods by fold, best first.

  Args:
    values: `[n, methods]`, of n images; NaN where an image has none.
    folds: of each image.
    methods: name -> what a figure calls it.
    paper: name -> what the paper has.
  """
  rows = [
    Row(
      name,
      title,
      np.array([_mean(values[folds == fold, i]) for fold in np.unique(folds)]),
      paper.get(name),
    )
    for i, (name, title) in enumerate(methods.items())
  ]
  return sorted(rows, key=lambda row: (np.isnan(row.mean), -row.mean))


def _mean(values: np.ndarray) -> float:
  known = values[np.isfinite(values)]
  return float(known.mean()) if len(known) else np.nan


def overlap(setting: Setting, known: Known, explained: Explained) -> list[Row]:
  """Writes `overlap.csv`, best first, and `overlap_images.csv`; nothing if there are no masks."""
  if setting.dataset.regions is None:
    return []
  views = Views(setting.dataset, setting.net, setting.config)
  stored = Results(setting.path / PART)
  done, folds = explained.done(known)
  areas = np.array([_areas(stored, name, list(explained.methods), views) for name in done])
  paper = PAPER.get(setting.config.images.removeprefix('an8flower:'), {})
  rows = rows_of(100 * areas, folds, explained.methods, paper)
  _write(setting, rows, done, folds, areas, list(explained.methods))
  return rows


def _areas(stored: Results, name: str, methods: Sequence[str], views: Views) -> list[float]:
  mask = views.of(name).mask
  heatmaps = [stored.field(name, f'{method}/heatmap') for method in methods]
  return iou_curves(heatmaps, [mask] * len(heatmaps)).areas.tolist()


def _write(
  setting: Setting,
  rows: Sequence[Row],
  names: Sequence[str],
  folds: np.ndarray,
  areas: np.ndarray,
  methods: Sequence[str],
) -> None:
  of_folds = [f'fold_{fold}' for fold in np.unique(folds)]
  table = [
    (
      row.name, f'{row.mean:.2f}', f'{row.deviation:.2f}',
      *(f'{value:.2f}' for value in (row.paper or ())), *([''] * (0 if row.paper else 2)),
      *(f'{value:.2f}' for value in row.folds),
    )
    for row in rows
  ]  # fmt: skip
  files.write_table(setting.path / 'overlap.csv', (*HEADER, *of_folds), table)
  of_images = (
    (name, int(fold), *(f'{area:.6g}' for area in found))
    for name, fold, found in zip(names, folds, areas, strict=True)
  )
  files.write_table(setting.path / 'overlap_images.csv', ('image', 'fold', *methods), of_images)
  print('area under the IoU curve, in percent')
  print(
    format_table(
      ('method', 'title', 'mean', 'deviation', 'paper'),
      [
        (row.name, row.title, f'{row.mean:.1f}', f'{row.deviation:.1f}',
         f'{row.paper[0]:.1f}' if row.paper else '')
        for row in rows
      ],
    )
  )  # fmt: skip
