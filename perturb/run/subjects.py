"""What a config is about: a network, a dataset, which class of each picture, by which methods."""

from collections.abc import Callable
from typing import Any

import ml_collections
import numpy as np

from perturb.data.datasets import Dataset, open_dataset
from perturb.data.images import find_images, load_image
from perturb.errors import UserError
from perturb.nets import Pretrained, load


def load_network(config: ml_collections.ConfigDict) -> Pretrained:
  """The network that a config names.

  Raises:
    UserError: for a network or target that is not there.
  """
  net = load(config.network, config.weights, config.preprocessing, config.class_names)
  if config.target not in ('', 'label'):
    net.class_index(config.target)
  return net


def dataset_of(config: ml_collections.ConfigDict) -> Dataset:
  """The dataset that a config names.

  Raises:
    UserError: for a field that does not fit, with what would.
  """
  return open_dataset(config.images, config.split, config.data_dir)


def options_of(config: ml_collections.ConfigDict, method: str) -> dict[str, Any]:
  """The options that a config gives one of its methods."""
  return dict(config.options.get(method, {}))


def references_of(net: Pretrained, config: ml_collections.ConfigDict) -> np.ndarray:
  """The images that `config.references` names, as the network takes them: `[R, H, W, C]`."""
  found, problems = find_images(config.references)
  if problems:
    raise UserError(f'config.references: {problems[0]}')
  images = [load_image(source.path, size=net.size, fit=config.fit) for source in found]
  return net.preprocess(np.stack(images))


def label_targets(net: Pretrained, dataset: Dataset) -> Callable[[int], int]:
  """Label of the dataset -> class of the network.

  Where both have as many classes the label is the class, as for ImageNet's, sorted by wnid;
  otherwise the class has the name of the label.

  Raises:
    UserError: if the dataset has no labels, or names a class that the network does not have.
  """
  if not dataset.class_names:
    raise UserError(
      "config.target='label': these images have no labels; 'classes:FOLDER' and 'tfds:NAME' do"
    )
  classes = list(range(len(net.class_names)))
  if len(dataset.class_names) == len(classes):
    return lambda label: _class_of(label, classes)
  try:
    classes = [net.class_index(name) for name in dataset.class_names]
  except UserError as error:
    raise UserError(
      f"config.target='label': the dataset has {len(dataset.class_names)} classes, "
      f'the network {len(net.class_names)}, so they go by name, and {error}'
    ) from error
  return lambda label: _class_of(label, classes)


def _class_of(label: int, classes: list[int]) -> int:
  if label < 0:
    raise UserError("it has no label, and config.target is 'label'")
  return classes[label]


def targets_of(
  net: Pretrained, dataset: Dataset, config: ml_collections.ConfigDict
) -> Callable[[int], int]:
  """Label of the dataset -> index of the class that a config names, -1 for the one predicted.

  Raises:
    UserError: for a class that is not there, or labels that are no classes.
  """
  if config.target == 'label':
    return label_targets(net, dataset)
  one = -1 if config.target == '' else net.class_index(config.target)
  return lambda _: one
