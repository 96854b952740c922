"""ROAR, remove and retrain: whose heatmaps mark what a network cannot do without (NeurIPS 2019)."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """500 digits to train on, five methods; any field can be set: --config.field=value."""
  config = ml_collections.ConfigDict()
  config.task = 'roar'
  # Pictures with labels: 'digits', 'classes:FOLDER', 'tfds:NAME', 'an8flower:single-6c', ...
  config.images = 'digits'
  config.split = ''  # Of tfds, 'train[:1000]'; of files, a slice '[1000:2000]'.
  config.data_dir = ''  # Where tensorflow-datasets keeps its data; '' for its usual place.
  config.fit = 'squash'  # To the network's size: 'crop' or 'squash'.
  config.folds = 5  # Of the pictures; the first is the test.
  config.train_count = 500  # Pictures to train on, as many of each class; 0: all but the test.

  config.network = 'mnist'  # A name of perturb.nets.NETWORKS; it gets the classes of the pictures.
  config.preprocessing = ''  # 'imagenet', 'symmetric', ...; '' for the usual one of the network.
  config.epochs = 10  # Times that each training picture is seen.
  config.batch_size = 50  # Pictures a step.
  config.learning_rate = 0.002  # Of Adam at the start; falls to 0 by half a cosine.
  config.pad = 0  # In training, pictures are shifted by up to so many pixels.

  # Whose heatmaps are judged, against pixels removed at random.
  config.methods = (
    'gradient',
    'integrated_gradients',
    'guided_backprop',
    'norm_grad',
    'grad_cam',
  )
  config.options = ml_collections.ConfigDict()  # Method -> its arguments.
  # The class that is explained, of training and test pictures alike: '' for the one predicted, as
  # in the authors' code; 'label': the removed pixels then tell the label to the retrained network.
  config.target = ''
  config.shares = (0.1, 0.3, 0.5, 0.7, 0.9)  # Of the pixels that are removed.
  config.seeds = 5  # Networks that are trained of each kind.
  # Of the folds, the pictures to train on, the random baseline, and the order of equal values.
  config.seed = 0
  config.workers = 4  # Threads that read pictures.
  return config
