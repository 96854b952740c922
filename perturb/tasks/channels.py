"""The task of configs/channels.py: channel attribution and its feature inversions."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.console import format_table
from perturb.figures.channels import channel_panels
from perturb.figures.style import png
from perturb.methods.channel_solvers import MODES
from perturb.methods.channels import (
  ChannelResult,
  Game,
  channel_attribution,
  channel_counts,
  class_channels,
  index_of_best,
)
from perturb.methods.inversion import feature_inversion
from perturb.nets import Pretrained
from perturb.options import check_options, options_of, settings_of
from perturb.run.experiment import Experiment, Shape, Share, Step
from perturb.run.labels import targets_of
from perturb.run.loop import Run
from perturb.run.shown import Shown, shown_pictures
from perturb.run.steps import PREDICTION, predict, wrong_numbers, wrong_score
from perturb.run.subjects import dataset_of, load_network
from perturb.run.summary import sum_up
from perturb.store import files
from perturb.store.arrays import Field
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks.checks import FREE, check_run

SCORES = ('image', 'class', 'target', 'channels', 'score', 'deleted_score', 'full_score', 'best')
CLASSES = ('target', 'class', 'images', 'channel', 'mean_mask')
# Of a `ChannelResult`.
STORED = ('masks', 'scores', 'deleted_scores', 'full_score', 'blank_score', 'saliency')
OPTIONS = ('mode', 'game')
KNOWN = options_of(channel_attribution)


def _step(net: Pretrained, config: ml_collections.ConfigDict, counts: Sequence[int]) -> Step:
  """Attribution, and the inversions of all channels and of the best few."""
  layer = net.network.resolve(config.layer)
  options = {name: config[name] for name in OPTIONS} | dict(config.settings)
  height, width, channels = net.shapes([layer])[layer].shape[1:]

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    x, predicted = share['x'], predict(net, share)
    result = channel_attribution(net, x, predicted['target'], layer, counts, **options)
    best = index_of_best(result)
    activations = net.activations(x, [layer])[layer]
    kept = activations * result.masks[jnp.arange(len(x)), best][:, None, None]
    inverted = feature_inversion(
      net,
      jnp.concatenate([activations, kept]),
      layer,
      key=jax.random.key(config.seed),
      steps=config.steps,
    )
    pairs = jnp.stack(jnp.split(inverted.images, 2), axis=1)
    return predicted | {name: getattr(result, name) for name in STORED} | {'inversions': pairs}

  def fields(shape: Shape) -> dict[str, Field]:
    scores = Field('float32', ('count',), (len(counts),))
    return PREDICTION | {
      'masks': Field('float32', ('count', 'channel'), (len(counts), channels)),
      'scores': scores,
      'deleted_scores': scores,
      'full_score': Field(),
      'blank_score': Field(),
      'saliency': Field('float32', ('count', 'y', 'x'), (len(counts), height, width)),
      'inversions': Field('float32', ('of', 'row', 'column', 'rgb'), (2, *shape, 3)),
    }

  numbers = wrong_numbers('masks', 'scores', 'deleted_scores', 'saliency', 'inversions')
  return Step(explain, fields, lambda v, i: wrong_score(v, i) or numbers(v, i))


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Attributes the pictures of a config to the channels of a layer.

  The workdir gets what every run gets, with the fields of `perturb.methods.channels.ChannelResult`
  and the `inversions`; `scores.csv`, `classes.csv` (k* of each class); and, of the first pictures,
  `channels/<image>.npz` and `.png`.
  """
  check_run(config, ('crop', 'squash'))
  check_options('config', KNOWN, {name: config[name] for name in OPTIONS})
  settings_of(MODES, config.mode, config.settings)  # Refuses those that the mode does not have.
  dataset, net = dataset_of(config), load_network(config)
  counts = channel_counts(net, net.network.resolve(config.layer), config.areas or None)
  experiment = Experiment(
    net,
    (_step(net, config, counts),),
    targets_of(net, dataset, config),
    constants={'count': ('count', np.asarray(counts, np.float32))},
  )
  folder = Workdir(workdir, config, [RESULTS, 'channels'], free=FREE)
  outcome = Run(experiment, dataset, config, folder.path)()
  names = outcome.done()
  if names and jax.process_index() == 0:
    stored = Results(folder.path)
    _tabulate(net, folder, names, stored)
    _draw(
      net, folder, shown_pictures(net, dataset, names[: config.figures], config, stored), stored
    )
  return sum_up(folder, outcome)


def _result(net: Pretrained, game: Game, names: Sequence[str], stored: Results) -> ChannelResult:
  """The stored attributions of some images."""
  values = list(zip(*(row[1:] for row in stored.columns(names, STORED)), strict=True))
  fields: dict[str, Any] = dict(zip(STORED, map(np.stack, values), strict=True))
  group, _ = stored.place(names[0])
  counts: Any = group.read('count')
  return ChannelResult(areas=counts, size=(net.size, net.size), game=game, **fields)


def _tabulate(net: Pretrained, folder: Workdir, names: list[str], stored: Results) -> None:
  """Writes the tables of scores and of classes; prints the best counts."""
  result = _result(net, folder.config.game, names, stored)
  found = result.reaches()
  targets = [int(target) for _, target in stored.columns(names, ('target',))]
  rows = [
    (
      name,
      net.class_name(targets[i]),
      targets[i],
      f'{count:g}',
      f'{result.scores[i, c]:.6g}',
      f'{result.deleted_scores[i, c]:.6g}',
      f'{result.full_score[i]:.6g}',
      ('yes' if found[i] else 'none') if c == best else '',
    )
    for i, (name, best) in enumerate(zip(names, result.best(), strict=True))
    for c, count in enumerate(np.asarray(result.areas))
  ]
  files.write_table(folder.path / 'scores.csv', SCORES, rows)
  print(format_table(SCORES, [row for row in rows if row[-1]]))
  of_classes = class_channels(result, targets)
  classes = [
    (int(c), net.class_name(int(c)), targets.count(int(c)), int(k), f'{mask[k]:.4f}')
    for c, mask, k in zip(of_classes.classes, of_classes.masks, of_classes.channels, strict=True)
  ]
  files.write_table(folder.path / 'classes.csv', CLASSES, classes)


def _draw(net: Pretrained, folder: Workdir, shown: Sequence[Shown], stored: Results) -> None:
  """The arrays and the figure of each picture."""
  (folder.path / 'channels').mkdir(exist_ok=True)
  for one in shown:
    result = _result(net, folder.config.game, [one.name], stored)
    inversions = stored.field(one.name, 'inversions')
    arrays = {name: np.asarray(value) for name, value in result._asdict().items()}
    name = f'channels/{one.name}'
    folder.write(f'{name}.npz', files.npz_bytes(arrays | {'inversions': inversions}))
    class_name = net.class_name(int(stored.field(one.name, 'target')))
    folder.write(f'{name}.png', png(channel_panels(one.picture, class_name, result, inversions)))
