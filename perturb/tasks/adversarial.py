"""The task of configs/adversarial.py: crafting, detection by heatmaps, recovery (fig. 10)."""

from collections.abc import Sequence
import sys
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.base import class_scores
from perturb.console import format_table
from perturb.data.datasets import Dataset, of_examples
from perturb.data.digits import load_digits
from perturb.data.folds import folds
from perturb.errors import UserError, check_choice
from perturb.evaluate.adversarial import Adversarial, adversarial_examples, detect, recover_labels
from perturb.figures import studies as figures
from perturb.figures.style import png
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment, Shape, Share, Step, Targets, Values
from perturb.run.loop import Run
from perturb.run.steps import heatmap, step_name
from perturb.run.subjects import dataset_of, load_network, options_of
from perturb.run.summary import sum_up
from perturb.store import files
from perturb.store.arrays import Field
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks.checks import FREE, check_methods

DETECTION = ('method', 'images', 'held_out_heatmaps', 'accuracy')
RECOVERY = ('images', 'fooled', 'recovered_top1', 'recovered_top5')
PAIRS = 6  # In the figure.
SIDES = ('clean', 'adversarial')

Pair = tuple[np.ndarray, np.ndarray]  # Heatmaps `[N, H, W]`, clean and adversarial.


def _check(config: ml_collections.ConfigDict) -> None:
  check_methods(config)
  check_choice('config.data', config.data, ['digits', 'images'])
  if config.mask_method not in config.methods:
    raise UserError(f'config.mask_method {config.mask_method!r} must be one of config.methods')


def _dataset(config: ml_collections.ConfigDict) -> Dataset:
  if config.data == 'images':
    return dataset_of(config)
  digits = load_digits()
  held_out = np.flatnonzero(folds(digits.labels, None, config.folds, config.seed) == 0)
  return of_examples(
    digits, np.random.RandomState(config.seed).permutation(held_out)[: config.count]
  )


def _crafting(net: Pretrained, config: ml_collections.ConfigDict) -> Step:
  """The adversarial example of each image."""
  channels = len(net.preprocessing.mean)

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    crafted = adversarial_examples(net, share['x'], epsilon=config.epsilon)
    score = class_scores(net(share['x'])).max(axis=1)
    return {**crafted._asdict(), 'clean': share['x'], 'score': score}

  def wrong(values: Values, index: int) -> str:
    finite = np.isfinite(values['score'][index]) and np.isfinite(values['images'][index]).all()
    return '' if finite else 'the network gives a score that is not a number'

  def fields(shape: Shape) -> dict[str, Field]:
    image = Field('float32', ('row', 'column', 'channel'), (*shape, channels))
    labels = {name: Field('int32') for name in ('clean_labels', 'labels', 'targets')}
    return {'images': image, 'clean': image, 'score': Field(), **labels}

  return Step(explain, fields, wrong)


def _pair(method: str, config: ml_collections.ConfigDict) -> Step:
  """A method's heatmaps of each image and of its adversarial example, of the class predicted."""
  one = heatmap(method, options_of(config, method))

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    of_clean = {'x': share['x'], 'target': share['clean_labels']}
    of_adversarial = {'x': share['images'], 'target': share['labels']}
    return {
      side: one.explain(net, given)['heatmap']
      for side, given in zip(SIDES, (of_clean, of_adversarial), strict=True)
    }

  def wrong(values: Values, index: int) -> str:
    finite = all(np.isfinite(values[side][index]).all() for side in SIDES)
    return '' if finite else 'the heatmap has values that are not numbers'

  def fields(shape: Shape) -> dict[str, Field]:
    return dict.fromkeys(SIDES, Field('float32', ('row', 'column'), shape))

  needs = ('clean_labels', 'labels', 'images')
  return Step(explain, fields, wrong, step_name(method), needs, one.compiled)


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Crafts adversarial examples, tells them by each method's heatmaps, and undoes them.

  The workdir gets what every run gets, with the examples, and in a subgroup of each method its
  heatmaps `clean` and `adversarial`; the same as `study/adversarial.npz` and `study/<method>.npz`;
  `detection.csv` and `.png`, `recovery.csv` and `pairs.png`.
  """
  _check(config)
  dataset, net = _dataset(config), load_network(config)
  steps = (_crafting(net, config), *(_pair(method, config) for method in config.methods))
  experiment = Experiment(net, steps, targets=Targets(lambda _: -1))
  folder = Workdir(workdir, config, [RESULTS, 'study'], free=FREE)
  outcome = Run(experiment, dataset, config, folder.path)()
  names = {method: outcome.done('', step_name(method)) for method in config.methods}
  if outcome.done() and jax.process_index() == 0:
    stored = Results(folder.path)
    _write_examples(folder, outcome.done(), stored)
    pairs = {method: _stored_pair(method, some, stored) for method, some in names.items() if some}
    _write_pairs(folder, names, pairs)
    _tabulate_detection(folder, pairs)
    if names[config.mask_method]:
      crafted, clean = _examples(names[config.mask_method], stored)
      _tabulate_recovery(folder, net, crafted, pairs[config.mask_method][1])
      columns = _columns(net, clean, crafted, pairs[config.mask_method])
      folder.write('pairs.png', png(figures.adversarial_pairs(columns)))
  return sum_up(folder, outcome)


def _stack(names: Sequence[str], stored: Results, fields: Sequence[str]) -> list[np.ndarray]:
  values = [row[1:] for row in stored.columns(names, fields)]
  return [np.stack(column) for column in zip(*values, strict=True)]


def _examples(names: Sequence[str], stored: Results) -> tuple[Adversarial, np.ndarray]:
  """(the adversarial examples of some images, these images)."""
  *fields, clean = _stack(names, stored, (*Adversarial._fields, 'clean'))
  return Adversarial(*map(jnp.asarray, fields)), clean


def _stored_pair(method: str, names: Sequence[str], stored: Results) -> Pair:
  clean, adversarial = _stack(names, stored, [f'{step_name(method)}/{side}' for side in SIDES])
  return clean, adversarial


def _write_arrays(folder: Workdir, name: str, arrays: dict[str, Any]) -> None:
  (folder.path / 'study').mkdir(exist_ok=True)
  content = files.npz_bytes({field: np.asarray(array) for field, array in arrays.items()})
  folder.write(f'study/{name}.npz', content)


def _write_examples(folder: Workdir, names: list[str], stored: Results) -> None:
  crafted, clean = _examples(names, stored)
  _write_arrays(folder, 'adversarial', {'names': names, 'clean': clean, **crafted._asdict()})


def _write_pairs(folder: Workdir, names: dict[str, list[str]], pairs: dict[str, Pair]) -> None:
  for method, pair in pairs.items():
    sides = dict(zip(SIDES, pair, strict=True))
    _write_arrays(folder, step_name(method), {'names': names[method], **sides})


def _tabulate_detection(folder: Workdir, pairs: dict[str, Pair]) -> None:
  """How well a classifier tells each method's heatmaps."""
  config, rows, accuracies = folder.config, [], {}
  for method, pair in pairs.items():
    try:
      found = detect(*pair, epochs=config.epochs, seed=config.seed)
    except UserError as error:  # Too few images; the rest of the study does not need it.
      print(f'no detection by {method}: {error}', file=sys.stderr)
      rows.append((method, len(pair[0]), 0, 'nan'))
      continue
    accuracies[method_named(method)[0]] = found.accuracy
    rows.append((method, len(pair[0]), len(found.predicted), f'{found.accuracy:.4f}'))
  files.write_table(folder.path / 'detection.csv', DETECTION, rows)
  if accuracies:
    folder.write('detection.png', png(figures.detections(accuracies)))
  print(format_table(DETECTION, rows) + '\n')


def _tabulate_recovery(
  folder: Workdir, net: Pretrained, crafted: Adversarial, heat: np.ndarray
) -> None:
  """How often the mask of the adversarial label brings the clean one back."""
  recovery = recover_labels(net, crafted, 1 - np.clip(heat, 0, 1))
  fooled = np.mean(np.asarray(crafted.labels) != np.asarray(crafted.clean_labels))
  row = (len(heat), f'{fooled:.4f}', f'{recovery.top1:.4f}', f'{recovery.top5:.4f}')
  files.write_table(folder.path / 'recovery.csv', RECOVERY, [row])
  print(format_table(RECOVERY, [row]))


def _columns(
  net: Pretrained, clean: np.ndarray, crafted: Adversarial, pair: Pair
) -> list[list[tuple[np.ndarray, np.ndarray, str]]]:
  """Fooled images first: image, heatmap, class, clean and adversarial (fig. 10, left)."""
  fooled = np.asarray(crafted.labels) != np.asarray(crafted.clean_labels)
  sides = ((clean, crafted.clean_labels, pair[0]), (crafted.images, crafted.labels, pair[1]))
  return [
    [
      (net.to_image(np.asarray(images[i])), heat[i], net.class_name(int(labels[i])))
      for images, labels, heat in sides
    ]
    for i in np.argsort(~fooled, kind='stable')[:PAIRS]
  ]
