"""What training on occluded pictures does for accuracy, on plain and on occluded test pictures."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """500 digits to train on, five seeds; any field can be set: --config.field=value."""
  config = ml_collections.ConfigDict()
  config.task = 'augmentations'
  # Pictures with labels: 'digits', 'classes:FOLDER', 'tfds:NAME', 'an8flower:single-6c', ...
  config.images = 'digits'
  config.split = ''  # Of tfds, 'train[:1000]'; of files, a slice '[1000:2000]'.
  config.data_dir = ''  # Where tensorflow-datasets keeps its data; '' for its usual place.
  config.fit = 'squash'  # To the network's size: 'crop' or 'squash'.
  config.folds = 5  # Of the pictures; the first is the test, the same for all.
  # Pictures to train on, as many of each class, others for each seed; 0: all but the test.
  config.train_count = 500

  config.network = 'mnist'  # A name of perturb.nets.NETWORKS; it gets the classes of the pictures.
  config.preprocessing = ''  # 'imagenet', 'symmetric', ...; '' for the usual one of the network.
  config.epochs = 20  # Times that each training picture is seen, or its copies.
  config.batch_size = 50  # Different pictures a step.
  config.learning_rate = 0.002  # Of Adam at the start; falls to 0 by half a cosine.
  config.pad = 2  # In training, pictures are shifted by up to so many pixels.
  config.flip = False  # In training, half the pictures are mirrored.

  # What is compared: names of rows below. Rows can be added to a run that is there.
  config.compared = tuple(rows())
  # A row is a way of training: fields of perturb.training.recipe.Recipe; `copies` of each picture
  # in a batch, each with an augmentation of its own; and the row that it is held `against`, which
  # sees as many pictures a step.
  config.rows = ml_collections.ConfigDict(rows())
  config.reference = 'baseline'  # The row that the others' second differences are to.

  # Test pictures, beside the plain ones.
  config.grid = 7  # Of the random cells, along a side.
  config.shares = (0.3, 0.6)  # Of the cells, hidden at random.
  config.keeps = (0.75, 0.5, 0.25)  # Of hide-and-seek's cells, a 4 x 4 grid: p_keep,patch.
  config.layer = 'conv2'  # Of NormGrad, by which each network's own most salient square is hidden.
  config.side = 10  # Of the square, in pixels.

  config.seeds = 5  # Networks of each row; a seed draws pictures, weights, order and occlusions.
  config.seed = 0  # Of the folds and of the occluded tests.
  config.workers = 4  # Threads that read pictures.
  return config


def rows() -> dict:
  """The rows of the study; a square of 10 pixels in 28 is one of about 84 in 224."""
  hide = {'occlusion': 'hide_and_seek', 'options': {'grid': 4, 'keep': 0.5}}
  cut = {'occlusion': 'cutout', 'options': {'count': 2, 'side': 10}}
  salient = {'occlusion': 'salient', 'options': {'layer': 'conv2', 'side': 10, 'jitter': 2}}
  after = {'dropout_layers': ('pool1', 'pool2')}
  return {
    'baseline': {},
    'joint': {'joint': True, 'against': 'baseline'},
    'batch': {'copies': 2, 'against': 'joint'},
    'hide_and_seek': {**hide, 'keep_image': 0.5, 'against': 'baseline'},
    'hide_and_seek_joint': {**hide, 'joint': True, 'against': 'joint'},
    'hide_and_seek_batch': {**hide, 'copies': 2, 'keep_image': 0.5, 'against': 'batch'},
    'cutout': {**cut, 'keep_image': 0.5, 'against': 'baseline'},
    'cutout_joint': {**cut, 'joint': True, 'against': 'joint'},
    'cutout_batch': {**cut, 'copies': 2, 'keep_image': 0.5, 'against': 'batch'},
    'salient_joint': {**salient, 'joint': True, 'against': 'joint'},
    'dropout': {**after, 'dropout': 'dropout', 'dropout_keep': 0.8, 'against': 'baseline'},
    'spatial_dropout': {
      **after, 'dropout': 'spatial_dropout', 'dropout_keep': 0.8, 'against': 'baseline',
    },
    'drop_block': {
      **after, 'dropout': 'drop_block', 'dropout_keep': 0.8, 'dropout_block': 3,
      'against': 'baseline',
    },
    'label_smoothing': {'label_smoothing': 0.1, 'against': 'baseline'},
  }  # fmt: skip
