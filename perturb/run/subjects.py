"""What the experiments of a config are about: a network, and pictures with a class each."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.base import class_scores
from perturb.data.datasets import Dataset, open_dataset
from perturb.data.images import Source, fit_picture
from perturb.errors import UserError
from perturb.nets import Pretrained, load


class Subject(NamedTuple):
  """A picture under study.

  Attributes:
    source: its name and file.
    image: uint8 `[H, W, 3]`, as the network sees it, before its normalisation.
    picture: uint8 `[2H, 2W, 3]`, the same at twice the resolution, for figures.
    x: float32 `[H, W, C]`, the network's input.
    target: index of its class.
    class_name: of that class.
  """

  source: Source
  image: np.ndarray
  picture: np.ndarray
  x: np.ndarray
  target: int
  class_name: str


def load_network(config: ml_collections.ConfigDict) -> Pretrained:
  """The network that a config names.

  Raises:
    UserError: for a network or target that is not there.
  """
  net = load(config.network, config.weights, config.preprocessing, config.class_names)
  if config.target not in ('', 'label'):
    net.class_index(config.target)
  return net


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


def load_subject(
  net: Pretrained, dataset: Dataset, index: int, config: ml_collections.ConfigDict
) -> Subject:
  """A picture with the class that the config names, or the one predicted.

  Raises:
    UserError: for a picture that cannot be used, or scores that are not numbers.
  """
  source = dataset.sources[index]
  pixels, label = dataset.picture(index)
  image = fit_picture(pixels, size=net.size, fit=config.fit)
  picture = fit_picture(pixels, size=2 * net.size, fit=config.fit)
  x = net.preprocess(image)
  scores = np.asarray(class_scores(net(jnp.asarray(x[None]))))[0]
  if not np.isfinite(scores).all():
    raise UserError(f'{source.path}: the network gives a score that is not a number')
  target = targets_of(net, dataset, config)(-1 if label is None else label)
  target = int(scores.argmax()) if target < 0 else target
  return Subject(source, image, picture, x, target, net.class_name(target))


def load_subjects(
  net: Pretrained, config: ml_collections.ConfigDict, failures: list[tuple[str, ...]]
) -> Iterator[Subject]:
  """The pictures of a config one by one; those that cannot be used are added to the failures."""
  dataset = open_dataset(config.images, config.split, config.data_dir)
  failures += [('', problem) for problem in dataset.problems]
  for index, source in enumerate(dataset.sources):
    try:
      yield load_subject(net, dataset, index, config)
    except UserError as error:
      failures.append((source.name, str(error)))
