"""Saliency for AlexNet and VGG16: table 4 of the ICCVW 2019 paper on occlusions."""

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
  """Three networks; the layer that the saliency is of; three seeds: 27 runs. Baselines: table 1."""
  blocks = ('relu3_3', 'relu4_3', 'relu5_3')  # After the ReLU, before pooling.
  for network, rate, layers in (
    ('vgg16_bn', 0.1, blocks),
    ('vgg16', 0.01, blocks),
    ('alexnet', 0.01, ('relu3', 'relu4', 'relu5')),
  ):
    for layer in layers:
      for seed in (0, 1, 2):
        yield {'network': network, 'learning_rate': rate, 'layer': layer, 'seed': seed}
