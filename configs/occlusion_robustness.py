"""Robustness to occlusion: the accuracy of a network as more and more of the image is hidden."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The held-out digits of configs/train_mnist.py; any field can be set on the command line."""
  config = common.subjects()
  config.task = 'occlusion_robustness'
  config.images = 'digits'  # Pictures with labels.
  config.target = 'label'  # Always so: it is the accuracy that is measured.
  config.network = 'runs/mnist/network'  # A network's name, or the folder of a trained one.
  config.fit = 'squash'
  # Workdir of a training, of whose pictures only those that it held out are taken; '' for all.
  config.held_out = 'runs/mnist'

  config.methods = ('norm_grad',)  # By whose heatmaps, of the label, the order of the cells goes.
  config.options = ml_collections.ConfigDict()  # Method -> its arguments.
  # Beside the random order: 'salient', what a heatmap marks goes first; 'least_salient', last.
  config.orders = ('salient', 'least_salient')
  config.shares = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # Of the cells, hidden.
  config.grid = 7  # Cells along a side; 14 are the squares of 16 pixels in an image of 224.
  # What hidden pixels become: 'constant', 0 after normalisation as in training; 'blur', or 'road'.
  config.fill = 'constant'
  config.resamples = 5000  # Of the bootstrap intervals.
  config.seed = 0  # Of the random order and the intervals.
  common.add_run(config)
  return config
