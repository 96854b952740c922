"""The task of configs/occlusion_robustness.py: accuracy against the share that is hidden."""

from collections.abc import Iterator, Mapping, Sequence
import pathlib
from typing import Any, NamedTuple, get_args

import jax
import ml_collections
import numpy as np

from perturb.console import format_table, percent
from perturb.data.datasets import Dataset
from perturb.errors import UserError, check_choice
from perturb.evaluate.deletion import Fill
from perturb.evaluate.intervals import Interval, mean_interval
from perturb.evaluate.occlusion_robustness import (
  Order,
  accuracy_under_occlusion,
  hidden_pixels,
)
from perturb.figures import occlusion as figures
from perturb.figures.style import png
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment, Share, Step
from perturb.run.labels import targets_of
from perturb.run.loop import Outcome, Run
from perturb.run.shown import Shown, shown_pictures
from perturb.run.steps import heatmap, prediction, step_name, wrong_numbers
from perturb.run.subjects import dataset_of, load_network, options_of
from perturb.run.summary import sum_up
from perturb.store import files
from perturb.store.arrays import Field
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks import heatmap_files
from perturb.tasks.checks import FREE, check_least, check_methods
from perturb.tasks.scores import write_scores

HEADER = ('method', 'order', 'share', 'accuracy', 'low', 'high', 'probability', 'images')
MEAN = 'mean'  # In place of a share: over all of them.
PREDICTIONS = 'predictions.csv'  # Of a training: the pictures that it held out.
SHOWN = (0.25, 0.5, 0.75)  # Shares of the picture in the figure, as near as there are.


class Curve(NamedTuple):
  """One order of the cells.

  Attributes:
    method: whose heatmap it goes by; '' for the random one.
    order: see `perturb.evaluate.occlusion_robustness`.
  """

  method: str
  order: Order

  @property
  def name(self) -> str:
    """In the results."""
    return f'{step_name(self.method)}_{self.order}' if self.method else self.order


def _check(config: ml_collections.ConfigDict) -> None:
  check_methods(config)
  check_least(config, grid=1, resamples=1)
  check_choice('config.fill', config.fill, get_args(Fill))
  for order in config.orders:
    check_choice('config.orders', order, get_args(Order)[1:])
  if config.target != 'label':
    raise UserError(
      f"config.target must be 'label', whose accuracy is measured, not {config.target!r}"
    )
  if not len(config.shares) or any(not 0 <= share <= 1 for share in config.shares):
    raise UserError(f'config.shares must be between 0 and 1, not {tuple(config.shares)}')


def _held_out(dataset: Dataset, config: ml_collections.ConfigDict) -> Dataset:
  """The pictures of a dataset that a training has held out; all of them if none is named."""
  if not config.held_out:
    return dataset
  path = pathlib.Path(config.held_out).expanduser() / PREDICTIONS
  if not path.is_file():
    raise UserError(f'config.held_out: {path} is not there; give the workdir of a training, or ""')
  names = {row[0] for row in files.read_table(path)}
  kept = [i for i, source in enumerate(dataset.sources) if source.name in names]
  if not kept:
    raise UserError(f'config.held_out: no picture of config.images is named in {path}')
  return dataset.take(kept)


def _step(curve: Curve, config: ml_collections.ConfigDict) -> Step:
  source = f'{step_name(curve.method)}/heatmap' if curve.method else ''

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    found = accuracy_under_occlusion(
      net,
      share['x'],
      share['target'],
      share[source] if source else None,
      order=curve.order,
      shares=config.shares,
      grid=config.grid,
      fill=config.fill,
      key=jax.random.key(config.seed),
    )
    return {'right': found.right, 'probability': found.probability, 'places': found.places}

  points, cells = len(config.shares), (config.grid, config.grid)
  fields = {
    'right': Field('float32', ('share',), (points,)),
    'probability': Field('float32', ('share',), (points,)),
    'places': Field('int32', ('row', 'column'), cells),
  }
  needs = ('target', source) if source else ('target',)
  return Step(explain, lambda _: fields, wrong_numbers('right'), name=curve.name, needs=needs)


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Hides more and more cells of each picture, and asks whether the network is still right.

  The workdir gets what every run gets, with the heatmaps and the answers in subgroups;
  `occlusion_robustness.csv`, the accuracy at each share with its interval, and `.png`; and the
  heatmaps of the first pictures as files.
  """
  _check(config)
  dataset, net = _held_out(dataset_of(config), config), load_network(config)
  curves = [Curve('', 'random')] + [
    Curve(method, order) for method in config.methods for order in config.orders
  ]
  heatmaps = [heatmap(method, options_of(config, method)) for method in config.methods]
  steps = (prediction(), *heatmaps, *(_step(curve, config) for curve in curves))
  experiment = Experiment(net, steps, targets_of(net, dataset, config))
  folder = Workdir(
    workdir, config, [RESULTS, heatmap_files.FOLDER], free=(*FREE, 'methods', 'orders', 'resamples')
  )
  heatmap_files.adopt_heatmaps(folder, experiment, dataset, config)
  outcome = Run(experiment, dataset, config, folder.path)()
  names, rows = outcome.done(), list[dict[str, Any]]()
  if names and jax.process_index() == 0:
    stored = Results(folder.path)
    rows = write_scores(net, folder, names, stored)
    found = _tabulate(folder, curves, outcome, stored)
    shown = shown_pictures(net, dataset, names[: config.figures], config, stored)
    heatmap_files.write_heatmaps(folder, config.methods, outcome, stored, shown)
    _draw(folder, found, stored, shown)
  return sum_up(folder, outcome, rows)


def _intervals(values: np.ndarray, config: ml_collections.ConfigDict) -> list[Interval]:
  """Of each share, and of the mean over all of them; values `[N, T]`."""
  columns = [*values.T, values.mean(1)]
  return [mean_interval(c, resamples=config.resamples, key=config.seed) for c in columns]


def _tabulate(
  folder: Workdir, curves: Sequence[Curve], outcome: Outcome, stored: Results
) -> dict[Curve, list[Interval]]:
  """Writes a row for each order and share, prints the means; returns the accuracies."""
  config, found, rows = folder.config, dict[Curve, list[Interval]](), []
  titles = [*(f'{share:g}' for share in config.shares), MEAN]
  for curve in curves:
    names = outcome.done('', curve.name)
    if not names:
      continue
    fields = (f'{curve.name}/right', f'{curve.name}/probability')
    values = [row[1:] for row in stored.columns(names, fields)]
    right, probability = (np.stack([row[i] for row in values]) for i in range(2))
    found[curve] = _intervals(right, config)
    chances = [*probability.mean(0), probability.mean()]
    rows += [
      (curve.method, curve.order, share, *_digits(i.mean, i.low, i.high, chance), i.used)
      for share, i, chance in zip(titles, found[curve], chances, strict=True)
    ]
  files.write_table(folder.path / 'occlusion_robustness.csv', HEADER, rows)
  header = ('order', 'by', *map(percent, config.shares), MEAN)
  print(format_table(header, [_line(curve, each) for curve, each in found.items()]))
  return found


def _digits(*values: float) -> Iterator[str]:
  return (f'{value:.6g}' for value in values)


def _line(curve: Curve, intervals: Sequence[Interval]) -> tuple[str, ...]:
  by = method_named(curve.method)[0] if curve.method else ''
  return (curve.order.replace('_', ' '), by, *(f'{i.mean:.3f}' for i in intervals))


def _draw(
  folder: Workdir,
  found: Mapping[Curve, Sequence[Interval]],
  stored: Results,
  shown: Sequence[Shown],
) -> None:
  """Writes `occlusion_robustness.png`: a panel for each method, and a picture that is hidden."""
  config, panels = folder.config, dict[str, dict[str, np.ndarray]]()
  for method in config.methods:
    panels[method_named(method)[0]] = {
      curve.order: np.array([(i.mean, i.low, i.high) for i in intervals[:-1]])
      for curve, intervals in found.items()
      if curve.method in ('', method)
    }
  strips = _strips(config, stored, shown[0], list(found)) if shown else {}
  figure = figures.accuracy_curves(np.array(config.shares), panels, strips)
  folder.write('occlusion_robustness.png', png(figure))


def _strips(
  config: ml_collections.ConfigDict, stored: Results, one: Shown, curves: Sequence[Curve]
) -> dict[str, list[tuple[str, np.ndarray]]]:
  """Order -> (share, a picture of which that is hidden); by the first method."""
  strips = dict[str, list[tuple[str, np.ndarray]]]()
  for curve in curves:
    if curve.method not in ('', config.methods[0]):
      continue
    places = stored.field(one.name, f'{curve.name}/places')[None]
    cells = [round(share * config.grid**2) for share in SHOWN]
    masks = [np.asarray(hidden_pixels(places, n, one.image.shape[:2]))[0] for n in cells]
    strips[curve.order] = [
      (percent(share), np.where(hidden[..., None], 128, one.image).astype(np.uint8))
      for share, hidden in zip(SHOWN, masks, strict=True)
    ]
  return strips
