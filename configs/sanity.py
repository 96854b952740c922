"""Sanity checks: do heatmaps change as the weights of the network are drawn anew?"""

import ml_collections

from configs import benchmark


def get_config() -> ml_collections.ConfigDict:
  """As configs/benchmark.py, with these metrics alone."""
  config = benchmark.get_config()
  config.metrics = ('sanity',)
  return config
