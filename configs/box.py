"""What blurring a box of the image does to the probability (ICCV 2017, fig. 6)."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default study; any field can be set on the command line: --config.field=value."""
  config = common.subjects()
  config.task = 'box'

  config.box = (40, 40, 150, 190)  # (top, left, bottom, right) in pixels of the network's input.
  config.sigma_max = 10.0  # Of the blur, in pixels.
  common.add_run(config)
  return config
