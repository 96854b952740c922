"""What a config is about: a network, a dataset, and the options of methods."""

from collections.abc import Mapping
import sys
from typing import Any

import jax
import ml_collections
import numpy as np

from perturb.data.datasets import Dataset, open_dataset
from perturb.data.images import find_images, load_image
from perturb.errors import UserError
from perturb.nets import Pretrained, load
from perturb.nets.zoo import place_of_weights


def named_network(config: ml_collections.ConfigDict) -> Pretrained:
  """The network that a config names; which tensors of its checkpoint these are is printed.

  Raises:
    UserError: for a network that is not there.
  """
  net = load(config.network, config.weights, config.preprocessing, config.class_names)
  place = place_of_weights(config.network, config.weights)
  if place and jax.process_index() == 0:
    print(f'weights of {config.weights}: {place}')
  return net


def load_network(config: ml_collections.ConfigDict) -> Pretrained:
  """`named_network`, if it has the class that is the config's target.

  Raises:
    UserError: for a network or target that is not there.
  """
  net = named_network(config)
  if config.target not in ('', 'label'):
    net.class_index(config.target)
  return net


def dataset_of(config: ml_collections.ConfigDict) -> Dataset:
  """The dataset that a config names; what matches nothing is said on stderr, before all else.

  Raises:
    UserError: for a field that does not fit, with what would; or if there is no picture at all.
  """
  dataset = open_dataset(config.images, config.split, config.data_dir)
  if not dataset.sources:
    none = f'images: {config.images!r} with split {config.split!r} has no picture'
    raise UserError('config.' + ('; '.join(dataset.problems) or none))
  for problem in dataset.problems if jax.process_index() == 0 else ():
    print(f'error: {problem}', file=sys.stderr, flush=True)
  return dataset


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
  """Options of a config as a method takes them: a `key` is a number there."""
  return {
    name: jax.random.key(value) if name == 'key' and isinstance(value, int) else value
    for name, value in options.items()
  }


def options_of(config: ml_collections.ConfigDict, method: str) -> dict[str, Any]:
  """The options that a config gives one of its methods."""
  return plain_options(config.options.get(method, {}))


def references_of(net: Pretrained, config: ml_collections.ConfigDict) -> np.ndarray:
  """The images that `config.references` names, as the network takes them: `[R, H, W, C]`."""
  found, problems = find_images(config.references)
  if problems:
    raise UserError(f'config.references: {problems[0]}')
  images = [load_image(source.path, size=net.size, fit=config.fit) for source in found]
  return net.preprocess(np.stack(images))
