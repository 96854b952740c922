"""Deletion region representativeness: simplified masks, three perturbations (ICCV 2017, fig. 7)."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default study; any field can be set on the command line: --config.field=value."""
  config = common.subjects()
  config.task = 'representativeness'

  config.methods = ('meaningful_perturbation',)  # One, whose heatmap is 1 - mask.
  config.options = ml_collections.ConfigDict()  # Method -> its arguments.
  config.thresholds = tuple(round(0.05 * i, 2) for i in range(20))  # alpha.
  config.perturbations = ('blur', 'constant', 'noise')  # What a mask's region becomes, in turn.
  config.mode = 'paper'  # 0 is the fully perturbed image; 'released': the image under its mask.
  config.sigma_max = 10.0  # Of the blur, in pixels.
  config.noise = 1.0  # Standard deviation, in the units of the network's input.
  config.seed = 0  # Of the noise.
  common.add_run(config)
  return config
