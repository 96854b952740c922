"""The fields that experiments share: no experiment itself."""

import ml_collections


def subjects() -> ml_collections.ConfigDict:
  """What is explained: pictures, their class and the network."""
  config = ml_collections.ConfigDict()
  # Paths, folders, globs or bundled names, comma-separated; 'classes:FOLDER' with a subfolder for
  # each class; 'digits', labelled images of MNIST; 'tfds:NAME', a dataset of tensorflow-datasets;
  # with boxes or masks, 'voc:FOLDER', 'coco:FILE.json', 'imagenet:FOLDER', 'masks:FOLDER',
  # 'an8flower:single-6c' and 'an8flower:FOLDER'.
  config.images = 'chelsea, coffee'
  config.split = ''  # Of tfds, 'validation[:1000]'; of files, a slice '[1000:2000]'.
  config.data_dir = ''  # Where tensorflow-datasets keeps its data; '' for its usual place.
  config.fit = 'crop'  # To the network's size: 'crop' or 'squash'.
  config.target = ''  # Class name or index; '' for the class predicted, 'label' for the dataset's.
  config.labels = 'names'  # How labels become classes: by their names or wnids, or 'rank'.
  add_network(config)
  return config


def add_network(config: ml_collections.ConfigDict) -> None:
  """Which network is studied."""
  config.network = 'efficientnet_lite0'  # A name of perturb.nets.NETWORKS, or a saved one's folder.
  config.weights = ''  # Path of a .pth or .safetensors file; '' for the package's; 'random'.
  config.preprocessing = ''  # 'imagenet', 'caffe', ...; '' for the usual one of the network.
  # Path of a text file, a class a line; '' for the names saved with the network; without such,
  # ImageNet's for 1000 classes, the digits for 10, 'class 0', 'class 1', ... for another number.
  config.class_names = ''


def add_run(config: ml_collections.ConfigDict) -> None:
  """How a run goes through its pictures."""
  config.batch = 0  # Images that a device explains in one call; 0: as many as suit it.
  config.workers = 4  # Threads of each process that read and resize pictures.
  config.figures = 16  # Pictures drawn, and written as files of their own: the first ones.


# Of a study and of the training of its network.
SHARED = ('task', 'images', 'split', 'data_dir', 'fit', 'folds', 'seed', 'workers')


def add_training(config: ml_collections.ConfigDict, training: ml_collections.ConfigDict) -> None:
  """How a network is trained first where none is given: on the same pictures, split alike."""
  config.training = training  # Of the network that is trained first.
  for name in SHARED:
    del training[name]
