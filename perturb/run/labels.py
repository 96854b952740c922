"""Which class of a network each label of a dataset is: by name, never silently by rank."""

from collections.abc import Sequence
import re
import sys

import ml_collections
import numpy as np

from perturb.data.datasets import Dataset
from perturb.errors import UserError, check_choice
from perturb.nets import Pretrained
from perturb.nets.zoo import imagenet_wnids
from perturb.run.experiment import Targets

HOW = ('names', 'rank')
SHOWN = 5  # Labels of a mapping that are printed.
FEW = 10  # Images; fewer say little about the labels.


def classes_of(net: Pretrained, names: Sequence[str], how: str = 'names') -> list[int]:
  """The class of each label.

  Args:
    net: the network.
    names: of the labels, in the order of the dataset.
    how: 'names': a label is the class of its name, or of one of its synonyms; or of its wnid where
      the network's classes are ImageNet's; or its name is an index. 'rank': the first label is the
      first class, and so on.

  Raises:
    UserError: for a label that is no class of the network.
  """
  check_choice('config.labels', how, HOW)
  count = len(net.class_names)
  if how == 'rank':
    if len(names) > count:
      raise UserError(f"config.labels='rank': {len(names)} labels for {count} classes")
    return list(range(len(names)))
  if are_wnids(net, names):
    return [_of_wnid(name) for name in names]
  try:
    return [net.class_named(name) for name in names]
  except UserError as error:
    if all(name.isdecimal() and int(name) < count for name in names):
      return [int(name) for name in names]
    raise UserError(
      f"config.target='label': the dataset's labels go by name, and {error}. Rename its folders, "
      "give the network's names as config.class_names, or, if both have the same order, set "
      'config.labels=rank'
    ) from error


def are_wnids(net: Pretrained, names: Sequence[str]) -> bool:
  """Whether labels are the wnids of ImageNet's classes, which the network has."""
  return len(net.class_names) == 1000 and all(re.fullmatch(r'n\d{8}', name) for name in names)


def _of_wnid(name: str) -> int:
  known = imagenet_wnids()
  if name not in known:
    raise UserError(f"config.target='label': {name} is not among ImageNet's 1000 classes")
  return known[name]


def label_targets(net: Pretrained, dataset: Dataset, how: str = 'names') -> Targets:
  """The label of each image; how labels become classes is printed.

  Args:
    net: the network.
    dataset: whose labels.
    how: see `classes_of`.

  Raises:
    UserError: if the dataset has no labels, or one that is no class of the network.
  """
  if not dataset.class_names:
    raise UserError(
      "config.target='label': these images have no labels; 'classes:FOLDER' and 'tfds:NAME' do, "
      'and pictures with boxes or masks of classes; without any, set config.target'
    )
  classes = classes_of(net, dataset.class_names, how)
  rows = tuple(
    (name, index, net.class_name(index))
    for name, index in zip(dataset.class_names, classes, strict=True)
  )
  shown = ', '.join(f'{name} is {index} ({title})' for name, index, title in rows[:SHOWN])
  by = 'wnids' if how == 'names' and are_wnids(net, dataset.class_names) else how
  print(f'labels by {by}: {shown}{", ..." if len(rows) > SHOWN else ""}')

  def target(label: int) -> int:
    if label < 0:
      raise UserError("it has no label, and config.target is 'label'")
    return classes[label]

  return Targets(target, rows)


def targets_of(net: Pretrained, dataset: Dataset, config: ml_collections.ConfigDict) -> Targets:
  """The class of each image that a config's `target` names.

  Raises:
    UserError: for a class that is not there, or labels that are no classes.
  """
  if config.target == 'label':
    return label_targets(net, dataset, config.labels)
  one = -1 if config.target == '' else net.class_index(config.target)
  return Targets(lambda _: one)


def warn_at_chance(
  net: Pretrained, config: ml_collections.ConfigDict, probabilities: Sequence[float]
) -> None:
  """Says on stderr if a network gives the labels of a run no more than chance would.

  Args:
    net: the network.
    config: of the run.
    probabilities: of the class explained, of each image.
  """
  chance, mean = 1 / len(net.class_names), float(np.mean(probabilities))
  if config.target == 'label' and len(probabilities) >= FEW and mean < 2 * chance:
    print(
      f'warning: the labels have a mean probability of {mean:.2g}, chance is {chance:.2g}; labels '
      'and network probably do not belong together: see labels.csv, config.labels, '
      'config.class_names and config.preprocessing',
      file=sys.stderr,
    )
