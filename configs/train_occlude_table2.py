"""Cutout for ResNet50: table 2 of the ICCVW 2019 paper on occlusions."""

from collections.abc import Iterator
from typing import Any

import ml_collections

from configs import train_imagenet


def get_config() -> ml_collections.ConfigDict:
  """As configs/train_imagenet.py; the runs differ from it as `sweep` says."""
  return train_imagenet.get_config()


def sweep() -> Iterator[dict[str, Any]]:
  """Both baselines; five numbers of squares of three sizes; one seed: 17 runs."""
  yield from cutouts(0)


def cutouts(seed: int) -> Iterator[dict[str, Any]]:
  """The runs of a seed."""
  yield {'joint': False, 'seed': seed}
  yield {'joint': True, 'seed': seed}
  squares = {'joint': True, 'occlusion': 'cutout', 'seed': seed}
  for side in (56, 84, 112):
    for count in (1, 2, 4, 6, 8):
      yield {**squares, 'count': count, 'side': side}
