"""The features that each class rests on, and images explained by them: handwritten digits."""

import ml_collections

from configs import common, train_mnist


def get_config() -> ml_collections.ConfigDict:
  """Trains the digits' network first; --config.network=FOLDER or a name takes one that is there."""
  config = common.subjects()
  config.task = 'relevant'
  config.images = 'digits'
  config.fit = 'squash'
  config.target = 'label'  # What the features predict: 'label', or '' for the class predicted.
  config.network = ''  # A name, or a saved one's folder; '' trains one first, as `training` says.

  # Which features each class rests on.
  # Of the responses: 'released', as in the authors' code, or 'paper', which with the paper's mu
  # leaves the regression too little room; see docs/relevant.md.
  config.mode = 'released'
  config.layers = ()  # All below the logits by default.
  config.mu = 10.0  # The largest sum of a class's absolute weights.
  # Several: the one with the smallest error on folds held out takes its place.
  config.mus = ()
  config.tolerance = 1e-4  # Of the duality gap, as a share of the class's images.
  config.folds = 5  # An image is explained by the features that the other folds have chosen.
  config.seed = 0  # Of the folds, of the random ablations, and of the training.

  # The images that are explained, and what else explains them.
  config.top = 3  # Features an image: those that speak most for the class predicted.
  config.explained = 20  # Images of each fold.
  config.methods = ()  # Compared where the images have masks; see docs/methods.md.
  config.options = ml_collections.ConfigDict()  # Method -> its arguments.

  # What each feature stands for.
  config.averaged = 100  # Strongest images that an average image is made of.
  config.shown = 10  # Features of a class that the page and the figure show.

  # What the network loses without them: on images of the first fold.
  config.ablated = 500  # Images.
  config.removed = (1, 2, 5, 10, 20, 50, 100)  # Features set to zero.
  config.repeats = 5  # Of the random choice.
  common.add_run(config)
  config.figures = 60  # Images on the page; the first ones are in the figure too.
  common.add_training(config, train_mnist.get_config())
  return config
