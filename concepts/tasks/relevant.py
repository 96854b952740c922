"""The task of configs/relevant.py: features that classes rest on, and images explained by them."""

import json

import jax
import ml_collections

from concepts.features import features_of
from concepts.tasks.ablate import ablate
from concepts.tasks.explain import PART, explain
from concepts.tasks.interpret import interpret
from concepts.tasks.overlap import overlap
from concepts.tasks.parts import parts, without_parts
from concepts.tasks.respond import respond
from concepts.tasks.select import select
from concepts.tasks.setting import Setting
from concepts.tasks.show import show
from perturb.data.datasets import Dataset
from perturb.errors import UserError, check_choice
from perturb.nets import Pretrained
from perturb.run.labels import classes_of
from perturb.run.subjects import dataset_of, named_network, options_of
from perturb.store.results import RESULTS
from perturb.store.workdir import Workdir
from perturb.tasks import train
from perturb.tasks.checks import check_least, check_method, check_run

TRAINING = 'training'
FREE = ('data_dir', 'workers', 'figures', 'explained', 'methods')  # Another start may change them.


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Finds the features that each class rests on, and explains images by them.

  The workdir gets `responses/`, `explanations/`, `ablation/` and `patches/`, each with the results
  of a run over the images (see `perturb.Results`); `weights.csv`, a row for each feature of each
  class, and `lasso.csv`, a row for each regression; `classes.csv`, `overlap.csv`, `parts.csv`,
  `ablation.csv`; the figures `average_images.png`, `explanations.png`, `ablation.png`,
  `overlap.png`, `parts.png`; and the page `relevant.html`. A network that was trained for it is in
  `training/network`.

  Source: Oramas, Wang and Tuytelaars, "Visual Explanation by Interpretation: Improving Visual
  Feedback Capabilities of Deep Neural Networks", ICLR 2019.
  """
  _check(config)
  dataset = dataset_of(config)
  held = [f'{PART}/{RESULTS}', 'responses', TRAINING]
  folder = Workdir(workdir, config, held, free=FREE)
  net = _network(config, dataset, folder)
  classes = _classes(net, dataset, config)
  setting = Setting(net, features_of(net, config.layers), dataset, classes, config, folder.path)
  known, responded = respond(setting)
  weights = select(setting, known)
  explained = explain(setting, known, weights)
  deleted = [without_parts(setting, explained)] if dataset.parts else []
  curves, ablated = ablate(setting, known, weights)
  features, interpreted = interpret(setting, known, weights, explained)
  outcomes = responded, explained.outcome, *deleted, ablated, interpreted
  failed = sum(one.failed for one in outcomes)
  if jax.process_index() == 0:
    rows, unread = overlap(setting, known, explained)
    of_parts = parts(setting, known, explained) if dataset.parts else []
    show(setting, folder, known, weights, features, explained, curves, rows, of_parts)
    print(f'\nthe page is {folder.path / "relevant.html"}')
    failed += unread
    means = [{'method': row.name, 'overlap': row.mean} for row in rows]
    summary = {'images': responded.asked, 'done': len(known.names), 'failed': failed}
    folder.write('summary.json', json.dumps({**summary, 'rows': means}, indent=2) + '\n')
  return failed


def _check(config: ml_collections.ConfigDict) -> None:
  check_run(config, ('crop', 'squash'))
  check_choice('config.mode', config.mode, ('paper', 'released'))
  check_choice('config.target', config.target, ('label', ''))
  check_least(
    config, folds=1, top=1, explained=1, averaged=1, shown=1, ablated=1, repeats=0, seed=0
  )
  for name in ('mu', 'tolerance'):
    if not config[name] > 0:
      raise UserError(f'config.{name} must be larger than 0, not {config[name]}')
  if config.mus and config.folds < 2:
    raise UserError(
      f'config.mus: to choose one takes folds to hold out, and there is {config.folds}'
    )
  if min(config.mus, default=1) <= 0:
    raise UserError(f'config.mus must be larger than 0, not {config.mus}')
  if min(config.removed, default=1) < 1:
    raise UserError(f'config.removed must be numbers of features from 1, not {config.removed}')
  for method in config.methods:
    check_method(method, options_of(config, method))


def _network(config: ml_collections.ConfigDict, dataset: Dataset, folder: Workdir) -> Pretrained:
  """The network that the config names, or one that is trained on the same images first."""
  if config.network:
    return named_network(config)
  if config.target != 'label' or not dataset.class_names:
    raise UserError(
      "config.network: '' trains one, for which config.target must be 'label' and the images must "
      "have labels, as 'classes:FOLDER'; or give the name of a network"
    )
  if jax.process_count() > 1 and not (folder.path / TRAINING / 'network').exists():
    raise UserError('config.network: a network is trained by one process; start one alone first')
  trained = config.copy_and_resolve_references()
  trained.network = str(folder.path / TRAINING / 'network')
  if not (folder.path / TRAINING / 'network').exists():
    train.run(_training(config), str(folder.path / TRAINING))
  return named_network(trained)


def _training(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """The config of the training: its own fields, and the images and folds of the study."""
  training = config.training.copy_and_resolve_references()
  with training.unlocked():
    training.task = 'train'
    for name in ('images', 'split', 'data_dir', 'fit', 'folds', 'seed', 'workers'):
      training[name] = config[name]
  return training


def _classes(
  net: Pretrained, dataset: Dataset, config: ml_collections.ConfigDict
) -> tuple[int, ...]:
  if config.target == '':
    return ()
  if not dataset.class_names:
    raise UserError(
      f"config.images: {config.images!r} has no labels; 'classes:FOLDER' and 'tfds:NAME' have, or "
      "set config.target='' for the class predicted"
    )
  return tuple(classes_of(net, dataset.class_names, config.labels))
