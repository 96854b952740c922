"""Hide-and-seek: table 1 of the ICCVW 2019 paper on occlusions."""

from collections.abc import Iterator
from typing import Any

import ml_collections

from configs import train_imagenet


def get_config() -> ml_collections.ConfigDict:
  """As configs/train_imagenet.py; the runs differ from it as `sweep` says."""
  return train_imagenet.get_config()


def sweep() -> Iterator[dict[str, Any]]:
  """Four networks; both baselines and five shares of cells that stay; three seeds: 84 runs."""
  rates = {'resnet50': 0.1, 'vgg16_bn': 0.1, 'vgg16': 0.01, 'alexnet': 0.01}
  for network, rate in rates.items():
    for seed in (0, 1, 2):
      common = {'network': network, 'learning_rate': rate, 'seed': seed}
      yield {**common, 'joint': False}
      yield {**common, 'joint': True}
      for keep in (0.9, 0.8, 0.7, 0.6, 0.5):
        yield {**common, 'joint': True, 'occlusion': 'hide_and_seek', 'keep': keep}
