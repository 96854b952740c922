"""Cutout for AlexNet: table 3 of the ICCVW 2019 paper on occlusions."""

from collections.abc import Iterator
from typing import Any

import ml_collections

from configs import train_imagenet


def get_config() -> ml_collections.ConfigDict:
  """As configs/train_imagenet.py with AlexNet and its learning rate."""
  config = train_imagenet.get_config()
  config.network = 'alexnet'
  config.learning_rate = 0.01
  return config


def sweep() -> Iterator[dict[str, Any]]:
  """Both baselines; five numbers of squares of three sizes; two seeds: 34 runs."""
  for seed in (0, 1):
    yield {'joint': False, 'seed': seed}
    yield {'joint': True, 'seed': seed}
    for side in (56, 84, 112):
      for count in (1, 2, 4, 6, 8):
        yield {
          'joint': True,
          'occlusion': 'cutout',
          'count': count,
          'side': side,
          'seed': seed,
        }
