"""How well heatmaps cover what tells the classes apart, over the folds: table 1 of the paper."""

from collections.abc import Mapping, Sequence
import sys
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
IMAGES = ('image', 'fold', 'class')
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
  labels: np.ndarray,
  methods: Mapping[str, str],
  paper: Mapping[str, tuple[float, float]],
) -> list[Row]:
  """The means of methods by fold, best first.

  Args:
    values: `[n, methods]`, of n images; NaN where an image has none.
    folds: of each image.
    labels: of each image; the mean of a fold is one over its classes' means, since there need not
      be as many images of each.
    methods: name -> what a figure calls it.
    paper: name -> what the paper has.
  """
  rows = [
    Row(
      name,
      title,
      np.array([_mean(values[folds == one, i], labels[folds == one]) for one in np.unique(folds)]),
      paper.get(name),
    )
    for i, (name, title) in enumerate(methods.items())
  ]
  return sorted(rows, key=lambda row: (np.isnan(row.mean), -row.mean))


def _mean(values: np.ndarray, labels: np.ndarray) -> float:
  known = np.isfinite(values)
  classes = np.unique(labels[known])
  means = [values[known & (labels == one)].mean() for one in classes]
  return float(np.mean(means)) if means else np.nan


def overlap(setting: Setting, known: Known, explained: Explained) -> tuple[list[Row], int]:
  """Writes `overlap.csv`, best first, and `overlap_images.csv`; nothing if there are no masks.

  Returns:
    (a row for each method, how many masks could not be read; each is named on stderr).
  """
  if setting.dataset.regions is None:
    return [], 0
  views = Views(setting.dataset, setting.net, setting.config)
  stored = Results(setting.path / PART)
  done, folds, labels = explained.done(known)
  areas = np.array([_areas(stored, name, list(explained.methods), views) for name in done])
  for _, _, reason in views.problems:
    print(f'error: {reason}', file=sys.stderr)
  paper = PAPER.get(setting.config.images.removeprefix('an8flower:'), {})
  rows = rows_of(100 * areas, folds, labels, explained.methods, paper)
  classes = [setting.net.class_name(int(label)) for label in labels]
  images = list(zip(done, folds.tolist(), classes, strict=True))
  _write(setting, rows, images, areas, list(explained.methods))
  return rows, len(views.problems)


def _areas(stored: Results, name: str, methods: Sequence[str], views: Views) -> list[float]:
  mask = views.of(name).mask
  heatmaps = [stored.field(name, f'{method}/heatmap') for method in methods]
  areas = iou_curves(heatmaps, [mask] * len(heatmaps)).areas
  # A heatmap that marks nothing, as where no feature speaks, covers nothing.
  return np.where(np.isnan(areas) & mask.any(), 0, areas).tolist()


def _write(
  setting: Setting,
  rows: Sequence[Row],
  images: Sequence[tuple[str, int, str]],
  areas: np.ndarray,
  methods: Sequence[str],
) -> None:
  of_folds = [f'fold_{fold}' for fold in sorted({fold for _, fold, _ in images})]
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
    (name, fold, label, *(f'{area:.6g}' for area in found))
    for (name, fold, label), found in zip(images, areas, strict=True)
  )
  files.write_table(setting.path / 'overlap_images.csv', (*IMAGES, *methods), of_images)
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
