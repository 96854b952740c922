"""Batch augmentation: table 7 of the ICCVW 2019 paper on occlusions."""

from collections.abc import Iterator
from typing import Any

import ml_collections

from configs import train_imagenet


def get_config() -> ml_collections.ConfigDict:
  """As configs/train_imagenet.py, with six squares of 56 pixels where any are hidden."""
  config = train_imagenet.get_config()
  config.count = 6
  return config


def sweep() -> Iterator[dict[str, Any]]:
  """2 and 4 copies, each cropped by itself; none, all or half occluded; 2 seeds: 12 runs."""
  for copies in (2, 4):
    for seed in (0, 1):
      yield {'copies': copies, 'seed': seed}
      for keep_image in (0.0, 0.5):
        yield {'copies': copies, 'occlusion': 'cutout', 'keep_image': keep_image, 'seed': seed}
