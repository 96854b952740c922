"""Extremal perturbations whose masks depend less on chance, by a slower solver."""

import ml_collections

from configs import extremal


def get_config() -> ml_collections.ConfigDict:
  """As configs/extremal.py, with the solver that looks for a consensus."""
  config = extremal.get_config()
  config.mode = 'robust'
  config.settings = ml_collections.ConfigDict(
    {
      'iterations': 36,  # Steps of Adam, of each search.
      'learning_rate': 0.05,
      'views': 2,  # Random views of the image that each step sees.
      'disc_views': 4,  # Views in which each disc is tried.
      'searches': 2,  # From where discs of the area score best.
      'restarts': 0,  # More searches, from uniform masks.
      'mirror': True,  # Half of the views are mirrored; False for digits and letters.
    }
  )
  return config
