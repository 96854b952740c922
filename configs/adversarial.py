"""Adversarial examples: crafting, detection by heatmaps, recovery (ICCV 2017, fig. 10)."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default study: of digits, by the network that configs/train_mnist.py trains."""
  config = common.subjects()
  config.task = 'adversarial'

  config.data = 'digits'  # 'digits': the held-out ones; 'images': those of config.images.
  config.network = 'runs/mnist/network'
  config.class_names = ''
  config.folds = 5  # Of the digits, as the network was trained: the first is held out.
  config.count = 500  # Digits.
  config.seed = 0  # Of the split, as the network was trained, and of the classifiers.

  config.epsilon = 64.0  # Grey levels; 8 in the paper, for photographs.
  # Whose heatmaps a classifier is to tell examples by; see docs/methods.md.
  config.methods = (
    'meaningful_perturbation',
    'gradient',
    'guided_backprop',
    'grad_cam',
    'occlusion',
  )
  config.mask_method = 'meaningful_perturbation'  # Whose maps, 1 - mask, are to undo the examples.
  config.options = ml_collections.ConfigDict(
    {  # Method -> its arguments: for pictures of 28 pixels.
      'meaningful_perturbation': {
        'iterations': 100,
        'step': 2,
        'mask_sigma': 2.0,
        'sigma_max': 4.0,
        'jitter': 2,
        'l1': 1e-3,
      },
      'occlusion': {'size': 7, 'stride': 3},
    }
  )
  config.epochs = 30  # Of each classifier.
  common.add_run(config)
  return config
