"""Makes a benchmark: rendered flowers whose classes differ in one thing, with its exact mask."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """1000 pictures a class as they are in the paper; see docs/benchmarks.md."""
  config = ml_collections.ConfigDict()
  config.task = 'an8flower'

  # What makes a class: 'single-6c', the colour of the petals; 'double-12c', the colour of either
  # the petals or the stem; 'part-2c', balls on the petals or thorns on the stem.
  config.variant = 'single-6c'

  # Pictures of each class: the product of these three.
  config.viewpoints = 40  # Over a whole turn.
  config.crops = 5  # Of each, 250 x 250 of 300 x 300 pixels: four corners and the middle, at most.
  config.rotations = 5  # Of each crop: by 5, 10, 15, 20, 25 degrees, at most.

  # Harder than the paper's.
  config.background = 'plain'  # Or 'textured': random clouds, other ones at each viewpoint.
  config.jitter = 0.0  # 0 to 1: how much light and colours differ from viewpoint to viewpoint.
  config.seed = 0  # Of the clouds and of what jitter does.
  return config
