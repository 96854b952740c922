"""The fields that say what is explained: shared by the other files here, not an experiment."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Pictures, their class and the network."""
  config = ml_collections.ConfigDict()
  # Paths, folders, globs or bundled names, comma-separated; 'classes:FOLDER' with a subfolder for
  # each class; 'tfds:NAME', a dataset of tensorflow-datasets.
  config.images = 'chelsea, coffee'
  config.split = ''  # Of tfds, 'validation[:1000]'; of files, a slice '[1000:2000]'.
  config.data_dir = ''  # Where tensorflow-datasets keeps its data; '' for its usual place.
  config.fit = 'crop'  # To the network's size: 'crop' or 'squash'.
  config.target = ''  # Class name or index; '' for the class predicted, 'label' for the dataset's.
  config.network = 'efficientnet_lite0'  # A name of perturb.nets.NETWORKS, or a saved one's folder.
  config.weights = ''  # Path of a .pth or .safetensors file; '' for the package's; 'random'.
  config.preprocessing = ''  # 'imagenet', 'caffe', ...; '' for the usual one of the network.
  config.class_names = ''  # Path of a text file, a class a line; '' for ImageNet's.
  return config
