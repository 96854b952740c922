"""Trains ResNet50 on ImageNet as "Occlusions for Effective Data Augmentation" (ICCVW 2019) does."""

import ml_collections

from configs import train_mnist


def get_config() -> ml_collections.ConfigDict:
  """The paper's baseline without joint training: 8 devices, 100 epochs; 76.40 % there."""
  config = train_mnist.get_config()
  config.images = 'tfds:imagenet2012'  # Or 'classes:/data/imagenet/train'.
  config.split = 'train'
  config.validation_split = 'validation'  # '' with validation_images='classes:/data/imagenet/val'.
  config.input = 'stream'
  config.fit = 'centre'
  config.flip = True
  config.network = 'resnet50'
  config.epochs = 100
  config.batch_size = 256
  config.optimiser = 'sgd'
  config.learning_rate = 0.1  # 0.01 for AlexNet and VGG16.
  config.schedule = 'steps'
  config.weight_decay = 1e-4
  config.checkpoint_steps = 1000
  config.workers = 16
  return config
