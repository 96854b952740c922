"""Class sensitivity: do the likeliest and the least likely class have other heatmaps?"""

import ml_collections

from configs import benchmark


def get_config() -> ml_collections.ConfigDict:
  """As configs/benchmark.py, with these metrics alone."""
  config = benchmark.get_config()
  config.metrics = ('class_sensitivity',)
  return config
