"""Trains a small network on flowers whose petals have six colours (an8Flower, ICLR 2019)."""

import ml_collections

from configs import train_mnist


def get_config() -> ml_collections.ConfigDict:
  """All flowers of the viewpoints that are held out right, in 190 s of a core."""
  config = train_mnist.get_config()
  config.images = 'an8flower:single-6c'  # Or 'an8flower:double-12c', 'classes:FOLDER', ...
  config.network = 'flower'
  config.epochs = 8
  return config
