"""The smallest boxes that suppress a class, by method (ICCV 2017, fig. 8)."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default study; any field can be set on the command line: --config.field=value."""
  config = common.subjects()
  config.task = 'minimal_boxes'

  # Whose boxes are compared; see docs/methods.md.
  config.methods = (
    'meaningful_perturbation',
    'gradient',
    'guided_backprop',
    'contrastive_excitation_backprop',
    'grad_cam',
    'occlusion',
  )
  config.options = ml_collections.ConfigDict()  # Method -> its arguments.
  config.suppressions = (0.8, 0.9, 0.95, 0.99)  # Of the probability.
  config.mode = 'paper'  # Thresholds 0, 0.1, ..., 1 of the heatmap; 'released': 0, 0.01, ..., 0.99.
  config.sigma_max = 10.0  # Of the blur, in pixels.
  common.add_run(config)
  return config
