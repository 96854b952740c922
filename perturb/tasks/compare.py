"""The task of configs/compare.py: several methods side by side."""

from collections.abc import Sequence
from typing import Any

import jax
import ml_collections

from perturb.console import format_table
from perturb.data.datasets import Dataset
from perturb.figures.heatmaps import Panel, Row, comparison
from perturb.figures.style import png
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment
from perturb.run.labels import targets_of
from perturb.run.loop import Outcome, Run
from perturb.run.shown import Shown, shown_pictures
from perturb.run.steps import heatmap, prediction
from perturb.run.subjects import dataset_of, load_network, options_of, references_of
from perturb.run.summary import sum_up
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks import heatmap_files
from perturb.tasks.checks import FREE, check_methods
from perturb.tasks.scores import write_scores


def _experiment(net: Pretrained, dataset: Dataset, config: ml_collections.ConfigDict) -> Experiment:
  options = {method: options_of(config, method) for method in config.methods}
  inputs = {}
  if 'expected_gradients' in options:
    inputs['references'] = references_of(net, config)
    options['expected_gradients'] |= inputs
  heatmaps = (heatmap(method, options[method]) for method in config.methods)
  targets = targets_of(net, dataset, config)
  return Experiment(net, (prediction(), *heatmaps), targets, inputs=inputs)


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Explains the pictures of a config by each of its methods, and draws them side by side.

  The workdir gets what every run gets, with the fields of each method in a subgroup of its name:
  `perturb.Results(workdir).field('chelsea', 'grad_cam/heatmap')`; `timings.csv`; and, of the first
  pictures, `compare.png` and `heatmaps/<image>/<method>.npy` and `.png`. What it already holds is
  not computed again; methods and pictures can be added.
  """
  check_methods(config)
  dataset, net = dataset_of(config), load_network(config)
  experiment = _experiment(net, dataset, config)
  folder = Workdir(workdir, config, [RESULTS, heatmap_files.FOLDER], free=(*FREE, 'methods'))
  heatmap_files.adopt_heatmaps(folder, experiment, dataset, config)
  outcome = Run(experiment, dataset, config, folder.path)()
  names, rows = outcome.done(), list[dict[str, Any]]()
  if names and jax.process_index() == 0:
    stored = Results(folder.path)
    rows = write_scores(net, folder, names, stored)
    shown = shown_pictures(net, dataset, names[: config.figures], config, stored)
    heatmap_files.write_heatmaps(folder, config.methods, outcome, stored, shown)
    _draw(net, folder, outcome, stored, shown)
  return sum_up(folder, outcome, rows)


def _draw(
  net: Pretrained, folder: Workdir, outcome: Outcome, stored: Results, shown: Sequence[Shown]
) -> None:
  """The figure, and the printed table of times."""
  of_images = {
    one.name: heatmap_files.heatmaps_of(one.name, folder.config.methods, outcome, stored)
    for one in shown
  }
  methods = [m for m in folder.config.methods if any(m in found for found in of_images.values())]
  if not methods:
    return
  seconds = heatmap_files.median_seconds(methods, outcome, stored)
  titles = {method: method_named(method)[0] for method in methods}
  rows = [
    Row(
      net.class_name(int(stored.field(one.name, 'target'))),
      one.picture,
      {m: Panel(titles[m], heat, seconds[m]) for m, heat in of_images[one.name].items()},
    )
    for one in shown
  ]
  folder.write('compare.png', png(comparison(rows, methods)))
  table = [(titles[method], method, f'{seconds[method]:.3f}') for method in methods]
  print(format_table(('method', 'name', 'seconds an image'), table))
