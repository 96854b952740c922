"""Cutout for AlexNet: table 3 of the ICCVW 2019 paper on occlusions."""

from collections.abc import Iterator
from typing import Any

import ml_collections

from configs import train_imagenet, train_occlude_table2


def get_config() -> ml_collections.ConfigDict:
  """As configs/train_imagenet.py with AlexNet and its learning rate."""
  config = train_imagenet.get_config()
  config.network = 'alexnet'
  config.learning_rate = 0.01
  return config


def sweep() -> Iterator[dict[str, Any]]:
  """Both baselines; five numbers of squares of three sizes; two seeds: 34 runs."""
  for seed in (0, 1):
    yield from train_occlude_table2.cutouts(seed)
