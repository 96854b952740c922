"""The channels of a layer that keep a score, as the paper finds them: SGD, 300 iterations."""

import ml_collections

from configs import channels


def get_config() -> ml_collections.ConfigDict:
  """As configs/channels.py, with the paper's solver."""
  config = channels.get_config()
  config.mode = 'paper'
  config.settings = ml_collections.ConfigDict(
    {
      'iterations': 300,
      'learning_rate': 1e-2,  # Of SGD, in the units of the masks.
      'area_weight': 1500.0,  # lambda, reached after `ramp` iterations.
      'ramp': 150,  # Iterations.
    }
  )
  return config
