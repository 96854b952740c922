"""The channels of a layer that keep a score, and what they encode (ICCV 2019, fig. 8 and 9)."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default experiment; any field can be set on the command line: --config.field=value."""
  config = common.subjects()
  config.task = 'channels'

  config.layer = 'blocks.10'  # Whose channels; inception4d of GoogLeNet in the paper.
  config.areas = ()  # Numbers of channels kept; () for the paper's.
  config.game = 'preserve'  # 'preserve', 'delete' or 'hybrid'.
  config.iterations = 300  # Of the attribution.
  config.learning_rate = 1e-2  # Of its SGD, in the units of the masks.
  config.area_weight = 1500.0  # lambda, reached after `ramp` iterations.
  config.ramp = 150  # Iterations.

  config.steps = 512  # Of the feature inversions.
  config.seed = 0  # Of their start and of the views.
  common.add_run(config)
  return config
