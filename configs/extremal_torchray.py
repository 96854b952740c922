"""Extremal perturbations as TorchRay, the authors' released code, computes them."""

import ml_collections

from configs import extremal


def get_config() -> ml_collections.ConfigDict:
  """As configs/extremal.py, with TorchRay's solver."""
  config = extremal.get_config()
  config.mode = 'torchray'
  config.settings = ml_collections.ConfigDict(
    {
      'iterations': 800,
      'learning_rate': 0.01,
      'area_weight': 300.0,  # lambda at the start, multiplied by 1.0035 after each iteration.
      'step': 7,  # Pixels between lattice nodes.
      'temperature': 0.05,  # 1 / TorchRay's coldness.
    }
  )
  return config
