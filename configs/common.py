"""The fields that experiments share: no experiment itself."""

import ml_collections


def subjects() -> ml_collections.ConfigDict:
  """What is explained: pictures, their class and the network."""
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


def add_run(config: ml_collections.ConfigDict) -> None:
  """Adds how a run goes through its pictures."""
  config.batch = 0  # Images that a device explains in one call; 0: as many as suit it.
  config.workers = 4  # Threads of each process that read and resize pictures.
  config.figures = 16  # Pictures drawn, and written as files of their own: the first ones.
