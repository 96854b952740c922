"""Saliency for ResNet50: table 5 of the ICCVW 2019 paper on occlusions."""

from collections.abc import Iterator
from typing import Any

import ml_collections

from configs import train_imagenet


def get_config() -> ml_collections.ConfigDict:
  """As configs/train_imagenet.py, with salient occlusions of 56 pixels."""
  config = train_imagenet.get_config()
  config.joint = True
  config.occlusion = 'salient'
  return config


def sweep() -> Iterator[dict[str, Any]]:
  """The layer that the saliency is of: 4 runs. Baselines: table 1."""
  for layer in ('maxpool', 'layer1.0.conv1', 'layer2.0.conv1', 'layer3.0.conv1'):
    yield {'layer': layer}
