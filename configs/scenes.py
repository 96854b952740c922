"""Makes a probe dataset in BRODEN's format: labelled colours, textures, objects, parts, scenes."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Needs nothing but scikit-image's photographs; --config.dataset=broden:FOLDER then reads it."""
  config = ml_collections.ConfigDict()
  config.task = 'scenes'
  config.pictures = 600  # How many; a hash of their names splits them, 7 of 10 for training.
  config.size = 224  # Of the square pictures, in pixels; label maps have half of it.
  config.seed = 0  # Of what is in them.

  # More objects: a folder of Debian's tuxpaint-stamps-default, as /usr/share/tuxpaint/stamps; ''
  # for none.
  config.stamps = ''
  return config
