"""The experiment of configs/heatmaps.py: a method's heatmaps of a dataset."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.base import class_scores
from perturb.data.datasets import Dataset
from perturb.errors import UserError
from perturb.figures.heatmaps import COLUMNS, colour, sheet
from perturb.figures.style import png
from perturb.methods.registry import check_options, method_named
from perturb.nets import Pretrained
from perturb.run.layout import Layout, Shape
from perturb.run.loop import Experiment, Share
from perturb.run.subjects import load_network, targets_of
from perturb.store import files
from perturb.store.arrays import Field
from perturb.store.results import Results
from perturb.store.workdir import Folder
from perturb.tasks.compare import references_of
from perturb.tasks.dataset_task import check_run, dataset_of, drawable, pictures_of, run_over

ON_THE_HOST = ('lime', 'minimal_image')  # Their superpixels are found outside compiled programs.
SCORES = ('image', 'class', 'target', 'label', 'score', 'probability')

Drawn = tuple[str, np.ndarray, np.ndarray]  # Class name, picture, heatmap.


def experiment_of(
  net: Pretrained, config: ml_collections.ConfigDict, targets: Callable[[int], int]
) -> Experiment:
  """What a config asks to be computed of each image."""
  _, heatmap, _ = method_named(config.method)
  options = dict(config.options)
  if config.method == 'expected_gradients':
    options['references'] = references_of(net, config)

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    scores = class_scores(net(share['x']))
    target = jnp.where(share['target'] < 0, jnp.argmax(scores, axis=1), share['target'])
    each = jnp.arange(target.shape[0])
    return {
      'target': target,
      'score': scores[each, target],
      'probability': jax.nn.softmax(scores)[each, target],
      'heatmap': heatmap(net, share['x'], target, **options),
    }

  def fields(shape: Shape) -> dict[str, Field]:
    heat = Field('float32', ('row', 'column'), shape)
    return {'target': Field('int32'), 'score': Field(), 'probability': Field(), 'heatmap': heat}

  made = {'method': config.method, 'options': config.options.to_dict()}
  return Experiment(net, explain, Layout(fields, lambda *_: made, {}), _wrong, targets)


def _wrong(results: Mapping[str, np.ndarray], index: int) -> str:
  if not np.isfinite(results['score'][index]):
    return 'the network gives a score that is not a number'
  if not np.isfinite(results['heatmap'][index]).all():
    return 'the heatmap has values that are not numbers'
  return ''


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Explains the images of a config by one method; what a workdir holds is not computed again.

  The workdir gets `config.json`, `versions.json`, `images.csv`, `results.zarr` and `timings.zarr`
  (see `perturb.Results`: `heatmap` `[H, W]`, `target`, `score`, `probability`), `scores.csv`,
  `summary.json`, `metrics/`, `figures/*.png` of the first pictures, and `failures.csv` where
  something failed.

  Args:
    config: as configs/heatmaps.py.
    workdir: folder; made if missing.

  Returns:
    The number of images or items that failed, each of which has been named on stderr.

  Raises:
    UserError: for a config that cannot be run at all, or a workdir that cannot be written any more.
  """
  check_run(config)
  given = ['references'] if config.method == 'expected_gradients' else []
  check_options(config.method, [*config.options, *given])
  if config.method in ON_THE_HOST:
    raise UserError(f'config.method: {config.method} is not for datasets; use configs/compare.py')
  dataset = dataset_of(config)
  net = load_network(config)
  experiment = experiment_of(net, config, targets_of(net, dataset, config))

  def finish(folder: Folder, names: list[str]) -> list[dict[str, Any]]:
    stored = Results(folder.path)
    _show(net, dataset, folder, names[: config.figures], stored)
    return _tabulate(net, folder, names, stored)

  return run_over(experiment, dataset, config, workdir, finish)


def _tabulate(
  net: Pretrained, folder: Folder, names: list[str], stored: Results
) -> list[dict[str, Any]]:
  """Writes the table of scores; returns its means."""
  fields = ('target', 'label', 'score', 'probability')
  values = {g: [group.read(f) for f in fields] for g, group in stored.groups.items()}
  rows = []
  for name in names:
    group, row = stored.place(name)
    target, label, score, probability = (column[row] for column in values[group.path.name])
    numbers = (f'{score:.6g}', f'{probability:.6g}')
    rows.append((name, net.class_name(int(target)), int(target), int(label), *numbers))
  files.write_table(folder.path / 'scores.csv', SCORES, rows)
  means = np.array([[float(row[4]), float(row[5])] for row in rows]).mean(0).tolist()
  return [{'score': means[0], 'probability': means[1]}]


def _show(
  net: Pretrained, dataset: Dataset, folder: Folder, names: list[str], stored: Results
) -> None:
  """The heatmap of each picture over it, and the first ones of one shape in one figure."""
  title = method_named(folder.config.method)[0]

  def prepare(index: int, name: str) -> tuple[str, Drawn]:
    _, picture = pictures_of(net, dataset, index, folder.config, stored)
    class_name = net.class_name(int(stored.field(name, 'target')))
    return name, (class_name, picture, stored.field(name, 'heatmap'))

  shown = drawable(dataset, names, prepare)
  if not shown:
    return
  (folder.path / 'figures').mkdir(exist_ok=True)
  for name, (_, picture, heat) in shown:
    folder.write(f'figures/{name}.png', files.png_bytes(colour(heat, picture)))
  shape = shown[0][1][1].shape
  alike = [drawn for _, drawn in shown if drawn[1].shape == shape][:COLUMNS]
  folder.write('figures/heatmaps.png', png(sheet(alike, title)))
