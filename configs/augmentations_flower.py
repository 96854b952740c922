"""The study of augmentations on rendered flowers, whose petals have six colours."""

import ml_collections

from configs import augmentations


def get_config() -> ml_collections.ConfigDict:
  """300 flowers to train on, five seeds, seven ways of training."""
  config = augmentations.get_config()
  config.images = 'an8flower:single-6c'
  config.network = 'flower'
  config.train_count = 300
  config.epochs = 10
  config.batch_size = 25
  config.learning_rate = 0.001
  config.pad = 8
  config.side = 40  # Of the squares of 112 pixels: about as much as 10 of 28.
  for name in ('cutout', 'cutout_joint', 'cutout_batch', 'salient_joint'):
    config.rows[name].options.side = config.side
  config.rows.salient_joint.options.jitter = 8
  config.compared = (
    'baseline',
    'joint',
    'batch',
    'hide_and_seek_joint',
    'hide_and_seek_batch',
    'cutout_joint',
    'salient_joint',
  )
  return config
