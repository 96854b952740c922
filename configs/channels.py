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
  config.mode = 'elimination'  # 'elimination' (ours) or 'paper'.
  config.settings = ml_collections.ConfigDict(
    {  # Of the mode; see perturb/methods/channel_solvers.py.
      'candidates': 12,  # Channels tried at each step.
      'sweeps': 2,  # Down from all channels, up from none, ...
      'swaps': 10,  # Then, at most, of one channel for another.
    }
  )

  config.steps = 512  # Of the feature inversions.
  config.seed = 0  # Of their start and of the views.
  common.add_run(config)
  return config
