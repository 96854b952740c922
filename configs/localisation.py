"""Weak localisation, and the overlap of heatmaps with exact masks."""

import ml_collections

from configs import benchmark


def get_config() -> ml_collections.ConfigDict:
  """As configs/benchmark.py, with these metrics alone."""
  config = benchmark.get_config()
  config.metrics = ('localisation', 'overlap')
  return config
