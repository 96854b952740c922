"""Trains the digits' network on 5000 images of MNIST."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """About 97 % of the test images right, in half a minute on two cores."""
  config = ml_collections.ConfigDict()
  config.task = 'train'
  # Pictures with labels: 'digits', 5000 images of MNIST; 'classes:FOLDER' with a subfolder for each
  # class; 'tfds:NAME', a dataset of tensorflow-datasets; or another that configs/common.py names.
  config.images = 'digits'
  config.split = ''  # Of tfds, 'train[:1000]'; of files, a slice '[1000:2000]'.
  config.data_dir = ''  # Where tensorflow-datasets keeps its data; '' for its usual place.
  config.fit = 'squash'  # To the network's size: 'crop' or 'squash'.
  config.network = 'mnist'  # A name of perturb.nets.NETWORKS; it gets the classes of the pictures.
  config.preprocessing = ''  # 'imagenet', 'symmetric', ...; '' for the usual one of the network.
  config.folds = 5  # Of the pictures; the first is for the test.
  config.epochs = 12  # Times that each training image is seen.
  config.batch_size = 50  # Images a step.
  config.learning_rate = 0.001  # Of Adam at the start; falls to 0 by half a cosine.
  config.seed = 0  # Of the weights, the folds and the order.
  config.workers = 4  # Threads that read pictures.
  return config
