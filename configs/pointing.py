"""The pointing game: does the highest value of a heatmap lie on the object?"""

import ml_collections

from configs import benchmark


def get_config() -> ml_collections.ConfigDict:
  """As configs/benchmark.py, with these metrics alone."""
  config = benchmark.get_config()
  config.metrics = ('pointing',)
  return config
