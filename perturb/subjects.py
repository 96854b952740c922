"""What the experiments of a config are about: a network, and pictures with a class each."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.data.images import Source, find_images, load_image
from perturb.errors import UserError
from perturb.function import class_scores
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
  if config.target != '':
    net.class_index(config.target)
  return net


def load_subject(net: Pretrained, source: Source, config: ml_collections.ConfigDict) -> Subject:
  """A picture with the class that the config names, or the one predicted.

  Raises:
    UserError: for a file that cannot be used, or scores that are not numbers.
  """
  image = load_image(source.path, size=net.size, fit=config.fit)
  picture = load_image(source.path, size=2 * net.size, fit=config.fit)
  x = net.preprocess(image)
  scores = np.asarray(class_scores(net(jnp.asarray(x[None]))))[0]
  if not np.isfinite(scores).all():
    raise UserError(f'{source.path}: the network gives a score that is not a number')
  target = int(scores.argmax()) if config.target == '' else net.class_index(config.target)
  return Subject(source, image, picture, x, target, net.class_name(target))


def load_subjects(
  net: Pretrained, config: ml_collections.ConfigDict, failures: list[tuple[str, ...]]
) -> Iterator[Subject]:
  """The pictures of a config one by one; those that cannot be used are added to the failures."""
  sources, problems = find_images(config.images)
  failures += [('', problem) for problem in problems]
  for source in sources:
    try:
      yield load_subject(net, source, config)
    except UserError as error:
      failures.append((source.name, str(error)))
