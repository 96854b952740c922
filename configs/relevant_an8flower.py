"""The features that each class of rendered flowers rests on, and images explained by them."""

import ml_collections

from configs import common, relevant, train_an8flower


def get_config() -> ml_collections.ConfigDict:
  """As `relevant`, with the overlap of heatmaps and exact masks: table 1 of the paper."""
  config = relevant.get_config()
  config.images = 'an8flower:single-6c'  # Also 'an8flower:double-12c', 'an8flower:part-2c'.
  # Compared with the features; see docs/methods.md.
  config.methods = (
    'gradient', 'deconvnet', 'guided_backprop', 'grad_cam', 'guided_grad_cam',
    'grad_cam_plus_plus', 'norm_grad', 'excitation_backprop', 'integrated_gradients',
    'smooth_grad', 'occlusion', 'rise', 'extremal_perturbation',
  )  # fmt: skip
  config.options = ml_collections.ConfigDict({'rise': {'masks': 500}})
  common.add_training(config, train_an8flower.get_config())
  return config
