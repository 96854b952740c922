"""Extremal perturbations as the paper describes them: SGD, 1600 iterations."""

import ml_collections

from configs import extremal


def get_config() -> ml_collections.ConfigDict:
  """As configs/extremal.py, with the paper's solver."""
  config = extremal.get_config()
  config.mode = 'paper'
  config.settings = ml_collections.ConfigDict(
    {
      'iterations': 1600,
      'learning_rate': 0.01,  # Not given in the paper; TorchRay's.
      'area_weight': 300.0,  # lambda, of the mean of squares; doubled at 1/3 and 2/3.
      'step': 7,  # Pixels between lattice nodes (rho, not given in the paper).
      'temperature': 0.05,  # T of the smooth maximum.
    }
  )
  return config
