"""How strongly heatmaps mark annotated parts, by class (ICCV 2017, fig. 9)."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default study; `keypoints` and `root` are to be given: --config.keypoints=file.csv."""
  config = common.subjects()
  config.task = 'parts'

  config.keypoints = ''  # CSV: image,class,part,x,y; x and y in pixels of the picture, from 0.
  config.root = ''  # Folder that its image paths start from.
  config.methods = ('meaningful_perturbation',)  # One.
  config.options = ml_collections.ConfigDict()  # Method -> its arguments.
  config.least_images = 10  # A class counts if so many of its pictures have every part.
  common.add_run(config)
  return config
