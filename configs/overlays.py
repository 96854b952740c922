"""Which patches of photographs a network holds to be alike: an interactive page, and numbers."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default experiment; any field can be set on the command line: --config.field=value."""
  config = common.subjects()
  config.task = 'overlays'
  config.images = 'astronaut, camera, chelsea, coffee, rocket'
  del config.target, config.labels  # No class is explained.

  # How pictures are fitted: here `fit` can also be 'aspect'.
  config.multiple = 16  # With 'aspect', longer sides are cropped to a multiple of so many pixels.

  # What the page shows.
  config.layers = ('blocks.4', 'blocks.9', 'head')  # With an extent, in any order.
  config.classes = ()  # Names or indices of classes for which patches may be alike.
  config.groups = 4  # Groups of patches in each layer, by non-negative factors; 0 for none.
  config.tolerance = 0.02  # How far a cosine of the page may be off.
  # What is written: 'page', or 'article' for the files of the published article too.
  config.mode = 'page'

  # Pictures turned and enlarged.
  config.rotations = (0, 45, 90, 135, 180, 225, 270, 315)  # Degrees, counterclockwise.
  config.scales = (1, 1.8, 2.8, 4, 5.4, 7.1, 9, 11.1)  # Factors of the area, at least 1.
  config.transformed = 1  # Of how many of the first pictures the page shows them.
  config.measured = 20  # Pictures over which sensitivity is measured: the first ones; 0 for none.
  common.add_run(config)
  config.figures = 50  # Pictures on the page: the first ones.
  return config
