"""One method's heatmaps of a dataset of any size."""

import ml_collections

from configs import subjects


def get_config() -> ml_collections.ConfigDict:
  """The default experiment; any field can be set on the command line: --config.field=value."""
  config = subjects.get_config()
  config.task = 'heatmaps'

  config.method = 'grad_cam'  # See perturb/methods/registry.py; 'meta:' and 'layers:' too.
  config.options = ml_collections.ConfigDict()  # Its arguments: --config.options.layer=blocks.9
  config.references = 'astronaut, camera, motorcycle_left, rocket'  # Of expected_gradients.

  # The run; here `fit` can also be 'aspect'.
  config.multiple = 16  # With 'aspect', longer sides are cropped to a multiple of so many pixels.
  config.batch = 16  # Images that a device explains in one call.
  config.workers = 4  # Threads of each process that read and resize pictures.
  config.figures = 16  # Pictures drawn: the first ones.
  return config
