"""One method's heatmaps of a dataset of any size."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default experiment; any field can be set on the command line: --config.field=value."""
  config = common.subjects()
  config.task = 'heatmaps'

  config.method = 'grad_cam'  # See docs/methods.md; 'meta:' and 'layers:' too.
  # Its arguments, each of which can be set: --config.options.layer=blocks.9; see docs/options.md.
  config.options = ml_collections.ConfigDict()
  config.references = 'astronaut, camera, motorcycle_left, rocket'  # Of expected_gradients.

  # How pictures are fitted: here `fit` can also be 'aspect'.
  config.multiple = 16  # With 'aspect', longer sides are cropped to a multiple of so many pixels.
  common.add_run(config)
  config.batch = 16  # Images that a device explains in one call.
  return config
