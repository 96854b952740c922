"""Makes a benchmark: objects cut out and pasted on backgrounds, with their exact masks."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Needs Debian's tuxpaint-stamps-default, or cut-out objects of one's own as `objects`."""
  config = ml_collections.ConfigDict()
  config.task = 'composites'

  # The objects and what is behind them.
  config.stamps = '/usr/share/tuxpaint/stamps'  # Where that package puts its pictures.
  config.objects = ''  # FOLDER/<class name>/*.png, with an alpha channel, in place of the stamps.
  # Paths, folders, globs or bundled names, comma-separated; '' for parts of photographs of
  # scikit-image that show no object.
  config.backgrounds = ''
  config.keep = 'known'  # Objects: 'known', those whose class the network tells, or 'all'.
  config.top = 1  # An object is known if its class is among so many of the highest scores.

  # The network that tells it.
  config.network = 'efficientnet_lite0'  # A name of perturb.nets.NETWORKS, or a saved one's folder.
  config.weights = ''  # Path of a .pth or .safetensors file; '' for the package's; 'random'.
  config.preprocessing = ''  # 'imagenet', 'caffe', ...; '' for the usual one of the network.
  config.class_names = ''  # Path of a text file, a class a line; '' for the network's usual ones.

  # The pictures.
  config.pictures = 300  # How many.
  config.per_picture = 2  # Objects in each, of different classes.
  config.size = 320  # Of the square pictures, in pixels.
  config.seed = 0  # Of the choice of objects, backgrounds, places and sizes.
  return config
