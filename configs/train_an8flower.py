"""Trains the flowers' network on rendered flowers."""

import ml_collections

from configs import train_mnist


def get_config() -> ml_collections.ConfigDict:
  config = train_mnist.get_config()
  config.images = 'an8flower:single-6c'
  config.network = 'flower'
  config.epochs = 8
  return config
