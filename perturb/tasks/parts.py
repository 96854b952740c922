"""The task of configs/parts.py: how strongly heatmaps mark annotated parts (fig. 9)."""

from collections.abc import Sequence
import os
import sys

import jax
import ml_collections
import numpy as np

from perturb.console import format_table
from perturb.data.datasets import Dataset, of_files
from perturb.data.images import Source
from perturb.data.names import unique_names
from perturb.errors import ImageError
from perturb.evaluate.parts import Keypoint, intensity, part_saliency, placed, read_keypoints
from perturb.figures import studies as figures
from perturb.figures.style import png
from perturb.run.experiment import Experiment
from perturb.run.labels import targets_of
from perturb.run.loop import Run
from perturb.run.shown import Shown, shown_pictures
from perturb.run.steps import heatmap, prediction, step_name
from perturb.run.subjects import load_network, options_of
from perturb.run.summary import sum_up
from perturb.store import files
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks import heatmap_files
from perturb.tasks.checks import FREE, check_one_method

PICTURES = 8  # In the figure: the first ones.

Points = dict[str, list[Keypoint]]  # Name of an image -> its keypoints.


def _by_image(points: Sequence[Keypoint]) -> Points:
  """The keypoints of each picture, by a name such as `birds_crane` for `birds/crane.jpg`."""
  images = list(dict.fromkeys(point.image for point in points))
  names = unique_names([os.path.splitext(image)[0].replace(os.sep, '_') for image in images])
  return {
    name: [point for point in points if point.image == image]
    for name, image in zip(names, images, strict=True)
  }


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """The heatmap's intensity at annotated parts, by class (sec. 5.4, fig. 9).

  The workdir gets what every run gets, with the heatmaps in a subgroup; `keypoints.csv`,
  `parts.csv`, `parts.png`; and the heatmaps of the first pictures as files.
  """
  method = check_one_method(config)
  points = _by_image(read_keypoints(config.keypoints))
  dataset = of_files(
    [Source(name, os.path.join(config.root, some[0].image)) for name, some in points.items()]
  )
  net = load_network(config)
  steps = (prediction(), heatmap(method, options_of(config, method)))
  experiment = Experiment(net, steps, targets_of(net, dataset, config))
  folder = Workdir(workdir, config, [RESULTS, heatmap_files.FOLDER], free=FREE)
  heatmap_files.adopt_heatmaps(folder, experiment, dataset, config)
  outcome = Run(experiment, dataset, config, folder.path)()
  source = f'{step_name(method)}/heatmap'
  names = outcome.done('', step_name(method))
  if names and jax.process_index() == 0:
    stored = Results(folder.path)
    inside = _placed(dataset, config.fit, points, names, stored, source)
    _tabulate(folder, points, inside, stored, source)
    shown = shown_pictures(net, dataset, names[: config.figures], config, stored)
    heatmap_files.write_heatmaps(folder, [method], outcome, stored, shown)
    _draw(folder, inside, shown, stored, source)
  return sum_up(folder, outcome)


def _placed(
  dataset: Dataset,
  fit: str,
  points: Points,
  names: Sequence[str],
  stored: Results,
  source: str,
) -> Points:
  """The keypoints of some images, in pixels of their heatmaps; of those that are still there."""
  index = {one.name: i for i, one in enumerate(dataset.sources)}
  found: Points = {}
  for name in names:
    try:
      size = dataset.size(index[name])
    except ImageError as error:  # Its keypoints are in pixels of a picture that is gone.
      print(f'left out of the tables: {error}', file=sys.stderr)
      continue
    shape = stored.field(name, source).shape
    found[name] = [placed(point, size, shape, fit) for point in points[name]]
  return found


def _tabulate(
  folder: Workdir, points: Points, inside: Points, stored: Results, source: str
) -> None:
  """Writes the intensity at each keypoint, and its mean by class and part."""
  known = [point for name in inside for point in points[name]]
  intensities = [
    intensity(stored.field(name, source), point.x, point.y)
    for name, some in inside.items()
    for point in some
  ]
  rows = [(*point, f'{v:.6g}') for point, v in zip(known, intensities, strict=True)]
  files.write_table(folder.path / 'keypoints.csv', (*Keypoint._fields, 'intensity'), rows)
  classes = part_saliency(known, intensities, least_images=folder.config.least_images)
  parts = sorted({point.part for point in known})
  header = ('class', 'images', *parts)
  table = [(c.class_name, c.images, *(f'{c.means[part]:.4f}' for part in parts)) for c in classes]
  files.write_table(folder.path / 'parts.csv', header, table)
  print(format_table(header, table))


def _draw(
  folder: Workdir, inside: Points, shown: Sequence[Shown], stored: Results, source: str
) -> None:
  rows = []
  for one in shown[:PICTURES]:
    # The picture has twice the resolution of the heatmap.
    points = [(p.part, 2 * p.x + 0.5, 2 * p.y + 0.5) for p in inside[one.name]]
    heat: np.ndarray = stored.field(one.name, source)
    rows.append((heat, one.picture, points, inside[one.name][0].class_name))
  if rows:
    folder.write('parts.png', png(figures.marked_parts(rows)))
