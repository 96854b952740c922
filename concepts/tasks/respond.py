"""The responses of every image of a study, and what the features are to predict of each."""

from collections.abc import Iterator
import sys
from typing import NamedTuple
import zlib

import jax
import numpy as np

from concepts.features import Features
from concepts.filter_norms import Mode, responses_of
from concepts.tasks.setting import Setting
from perturb.base import class_scores
from perturb.data.folds import folds
from perturb.errors import UserError
from perturb.nets import Pretrained
from perturb.run.experiment import Shape, Share, Step
from perturb.run.loop import Outcome
from perturb.run.steps import PREDICTION, prediction_of, wrong_numbers
from perturb.store.arrays import Field
from perturb.store.results import Results

PART = 'responses'
AT_ONCE = 1024  # Images whose responses are in memory.


class Known(NamedTuple):
  """What is known of the images of a study that have responses: N of them.

  Attributes:
    names: of each.
    indices: of each, in the dataset.
    labels: the class of the network that features are to predict, of each.
    predicted: the class predicted, of each.
    folds: of each.
    stored: the responses.
  """

  names: list[str]
  indices: np.ndarray
  labels: np.ndarray
  predicted: np.ndarray
  folds: np.ndarray
  stored: Results

  def blocks(self, among: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(which images, their responses `[n, m]`), some of those chosen at a time.

    Args:
      among: bool `[N]`.
    """
    place = {name: i for i, name in enumerate(self.names)}
    names = [name for name, chosen in zip(self.names, among, strict=True) if chosen]
    for group, rows in self.stored.blocks(names, AT_ONCE):
      at = np.array([place[name] for name in rows.values()])
      yield at, group.read('responses', list(rows))

  def spread(self, among: np.ndarray, count: int) -> list[int]:
    """At most so many of the images chosen, one of each class after the other.

    In a class they go by a checksum of their names: the first ones of a folder may be all alike.
    """
    chosen = np.flatnonzero(among)
    order = np.array([zlib.crc32(self.names[i].encode()) for i in chosen])
    by_class = np.lexsort((order, self.labels[chosen]))
    labels = self.labels[chosen][by_class]
    turn = np.arange(len(labels)) - np.searchsorted(labels, labels)  # In its class.
    return chosen[by_class[np.lexsort((labels, turn))]][:count].tolist()


def step(features: Features, mode: Mode) -> Step:
  """The prediction and the responses, in one pass of the network."""

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    logits = net.network.logits
    found = net.activations(share['x'], (*features.layers, logits))
    of_features = {layer: found[layer] for layer in features.layers}
    return {
      **prediction_of(class_scores(found[logits]), share['target']),
      'responses': responses_of(of_features, features, mode),
    }

  def fields(_shape: Shape) -> dict[str, Field]:
    return PREDICTION | {'responses': Field('float32', ('feature',), (features.count,))}

  return Step(explain, fields, wrong_numbers('score', 'responses'))


def respond(setting: Setting) -> tuple[Known, Outcome]:
  """Computes what is missing of the responses.

  Raises:
    UserError: if fewer than two classes have images.
  """
  config, dataset = setting.config, setting.dataset
  everything = range(len(dataset.sources))
  outcome = setting.compute(PART, [step(setting.features, config.mode)], everything)
  names = outcome.done()
  if not names:
    raise UserError('config.images: not one of them could be used')
  stored = Results(setting.path / PART)
  index = {source.name: i for i, source in enumerate(dataset.sources)}
  columns = [row[1:] for row in stored.columns(names, ['label', 'target'])]
  of_dataset, predicted = np.array(columns, np.int64).T
  labels = _labels(setting, of_dataset, predicted)
  indices = np.array([index[name] for name in names])
  parts = _folds(setting, labels, indices)
  _warn_at_chance(setting, labels, predicted)
  return Known(names, indices, labels, predicted, parts, stored), outcome


def _warn_at_chance(setting: Setting, labels: np.ndarray, predicted: np.ndarray) -> None:
  """Says so if the network knows the labels little better than chance would."""
  right, chance = float(np.mean(labels == predicted)), 1 / len(set(labels.tolist()))
  if setting.classes and right < 1.5 * chance and jax.process_index() == 0:
    print(
      f'warning: the network gets {right:.0%} of the images right, and a guess {chance:.0%}; what '
      'explains its predictions explains little',
      file=sys.stderr,
    )


def _labels(setting: Setting, of_dataset: np.ndarray, predicted: np.ndarray) -> np.ndarray:
  if not setting.classes:
    labels = predicted
  else:
    if (of_dataset < 0).any():
      raise UserError("config.target is 'label', and some images have none; give each a class")
    labels = np.array(setting.classes)[of_dataset]
    without = sorted(set(setting.classes) - set(labels.tolist()))
    if without and jax.process_index() == 0:
      names = ', '.join(map(setting.net.class_name, without[:5]))
      print(
        f'left out: classes without an image that can be used: {names}'
        f'{", ..." if len(without) > 5 else ""}',
        file=sys.stderr,
      )
  if len(set(labels.tolist())) < 2:
    raise UserError(
      f'config.images: all images are of one class, {setting.net.class_name(int(labels[0]))!r}; '
      'features are chosen that tell two or more apart'
    )
  return labels


def _folds(setting: Setting, labels: np.ndarray, indices: np.ndarray) -> np.ndarray:
  count, groups = setting.config.folds, setting.dataset.groups
  if count == 1:
    return np.zeros(len(labels), np.int64)
  of_images = None if groups is None else np.array(groups)[indices]
  return folds(labels, of_images, count, setting.config.seed)
