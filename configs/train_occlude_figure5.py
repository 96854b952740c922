"""Hide-and-seek without joint training: figure 5 of the ICCVW 2019 paper on occlusions."""

from collections.abc import Iterator
from typing import Any

import ml_collections

from configs import train_imagenet


def get_config() -> ml_collections.ConfigDict:
  """As configs/train_imagenet.py, each picture once: occluded or whole."""
  config = train_imagenet.get_config()
  config.occlusion = 'hide_and_seek'
  return config


def sweep() -> Iterator[dict[str, Any]]:
  """Eleven shares of pictures that stay whole, five of cells that stay: 55 runs."""
  for keep in (0.5, 0.6, 0.7, 0.8, 0.9):
    for tenth in range(11):
      yield {'keep': keep, 'keep_image': tenth / 10}
