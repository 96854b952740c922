"""Deletion and insertion: what the network says as the pixels of a heatmap go and come."""

import ml_collections

from configs import benchmark


def get_config() -> ml_collections.ConfigDict:
  """As configs/benchmark.py, with these metrics alone."""
  config = benchmark.get_config()
  config.metrics = ('deletion', 'box_occlusion')
  return config
