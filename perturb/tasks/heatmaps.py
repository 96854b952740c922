"""The task of configs/heatmaps.py: one method's heatmaps of a dataset."""

from collections.abc import Sequence
from typing import Any

import jax
import ml_collections

from perturb.data.names import unique_names
from perturb.figures.heatmaps import COLUMNS, colour, sheet
from perturb.figures.style import png
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment
from perturb.run.labels import targets_of
from perturb.run.loop import Run
from perturb.run.shown import Shown, shown_pictures
from perturb.run.steps import prediction_and_heatmap
from perturb.run.subjects import dataset_of, load_network, plain_options, references_of
from perturb.run.summary import sum_up
from perturb.store import files
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks.checks import FREE, check_least, check_method, check_run
from perturb.tasks.scores import write_scores


def _check(config: ml_collections.ConfigDict) -> None:
  check_run(config)
  check_least(config, multiple=1)
  check_method(config.method, plain_options(config.options))


def _options(net: Pretrained, config: ml_collections.ConfigDict) -> dict[str, Any]:
  options = plain_options(config.options)
  if config.method == 'expected_gradients':
    options['references'] = references_of(net, config)
  return options


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Explains the images of a config by one method; what a workdir holds is not computed again.

  The workdir gets `config.json`, `versions.json`, `images.csv`, `results.zarr` and `timings.zarr`
  (see `perturb.Results`: `heatmap` `[H, W]`, `target`, `score`, `probability`), `scores.csv`,
  `summary.json`, `metrics/`, `figures/*.png` of the first pictures, and `failures.csv` where
  something failed.
  """
  _check(config)
  dataset, net = dataset_of(config), load_network(config)
  made = {'method': config.method, 'options': config.options.to_dict()}
  options = _options(net, config)
  experiment = Experiment(
    net,
    steps=(prediction_and_heatmap(config.method, options),),
    targets=targets_of(net, dataset, config),
    attributes=lambda *_: made,
    inputs={name: value for name, value in options.items() if name == 'references'},
  )
  folder = Workdir(workdir, config, [RESULTS], free=FREE)
  outcome = Run(experiment, dataset, config, folder.path)()
  names, rows = outcome.done(), list[dict[str, Any]]()
  if names and jax.process_index() == 0:
    stored = Results(folder.path)
    rows = write_scores(net, folder, names, stored)
    _draw(
      net, folder, shown_pictures(net, dataset, names[: config.figures], config, stored), stored
    )
  return sum_up(folder, outcome, rows)


def _draw(net: Pretrained, folder: Workdir, shown: Sequence[Shown], stored: Results) -> None:
  """The heatmap of each picture over it, and the first ones of one shape in one figure."""
  if not shown:
    return
  (folder.path / 'figures').mkdir(exist_ok=True)
  drawn = []
  for one in shown:
    heatmap = stored.field(one.name, 'heatmap')
    folder.write(f'figures/{one.name}.png', files.png_bytes(colour(heatmap, one.picture)))
    drawn.append((net.class_name(int(stored.field(one.name, 'target'))), one.picture, heatmap))
  alike = [panel for panel in drawn if panel[1].shape == drawn[0][1].shape][:COLUMNS]
  title = method_named(folder.config.method)[0]
  *_, name = unique_names([*(one.name for one in shown), 'heatmaps'])  # One may have that name.
  folder.write(f'figures/{name}.png', png(sheet(alike, title)))
