"""What the fields of a training's config become: its recipe, its optimiser, its first network."""

import math
from typing import NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np
import optax

from perturb.errors import UserError, check_choice
from perturb.nets.initialisation import SCHEMES, initialised
from perturb.nets.pretrained import Pretrained
from perturb.nets.zoo import untrained
from perturb.tasks.checks import check_least
from perturb.training import optimisers
from perturb.training.recipe import Recipe, sites_of
from perturb.training.sharding import check_batch

# Occlusion -> the fields that are its options.
OPTIONS = {
  'none': (),
  'hide_and_seek': ('grid', 'keep'),
  'cutout': ('count', 'side'),
  'salient': ('layer', 'side', 'jitter'),
}
OF_RECIPE = (
  'occlusion',
  'joint',
  'keep_image',
  'dropout',
  'dropout_keep',
  'dropout_block',
  'dropout_layers',
  'label_smoothing',
  'half',
  'average',
  'pad',
)
# What the seed's key is folded with for the weights: no number of a step, whose key is made alike.
_WEIGHTS = 2**32 - 1
FITS = {'memory': ('squash', 'crop'), 'stream': ('squash', 'centre')}


class Setup(NamedTuple):
  """What is trained, and how.

  Attributes:
    net: with its first weights.
    recipe: what is done to pictures, activations and labels.
    optimiser: the rule that changes the weights.
    schedule: step -> learning rate.
    epochs: how many.
    steps: in an epoch.
  """

  net: Pretrained
  recipe: Recipe
  optimiser: optax.GradientTransformation
  schedule: optax.Schedule
  epochs: int
  steps: int

  def rate(self, step: int) -> float:
    """The learning rate of a step, counted from 1."""
    return float(self.schedule(np.int32(step - 1)))


def check_training(config: ConfigDict) -> None:
  """Refuses wrong values, before a picture is read.

  Raises:
    UserError: names the field, and what would be right.
  """
  check_choice('config.input', config.input, tuple(FITS))
  check_choice('config.fit', config.fit, FITS[config.input])
  check_choice('config.crop', config.crop, ('resized', 'centre', 'squash'))
  check_choice('config.optimiser', config.optimiser, ('adam', 'sgd'))
  check_choice('config.schedule', config.schedule, ('cosine', 'steps'))
  check_least(
    config, epochs=1, batch_size=1, folds=2, workers=1, ahead=1, copies=1, log_steps=1,
    warmup=0, checkpoint_steps=0, seed=0, momentum=0, weight_decay=0, factor=0,
  )  # fmt: skip
  if not 0 < config.learning_rate < math.inf:
    raise UserError(f'config.learning_rate must be larger than 0, not {config.learning_rate}')
  if min(config.falls, default=1) < 1:
    raise UserError(f'config.falls must be numbers of epochs from 1, not {config.falls}')
  if config.optimiser == 'adam' and config.weight_decay:
    raise UserError(
      f"config.weight_decay must be 0 with 'adam', which has none here, not {config.weight_decay}"
    )
  check_batch(config.batch_size)
  recipe_of(config)


def recipe_of(config: ConfigDict) -> Recipe:
  """What is done to pictures, activations, labels and weights.

  Raises:
    UserError: names the field, and what would be right.
  """
  # The threads that read a stream mirror its pictures.
  flip = config.flip and config.input == 'memory'
  given = {name: config[name] for name in OF_RECIPE} | {'flip': flip}
  given['dropout_layers'] = tuple(config.dropout_layers)
  options = {name: config[name] for name in OPTIONS.get(config.occlusion, ())}
  if options.get('layer') == '':
    raise UserError(
      "config.layer: name the layer of the network whose saliency 'salient' takes, as 'conv3'"
    )
  try:
    return Recipe(**given, options=options)
  except UserError as error:
    raise UserError(f'config.{error}') from error


def first_network(config: ConfigDict, class_names: tuple[str, ...]) -> Pretrained:
  """The network with its first weights, and a logit for each class.

  Raises:
    UserError: for a network, or a layer of the recipe, that is not there, and for squares larger
      than its images.
  """
  net = untrained(config.network, class_names, config.preprocessing, config.seed)
  if type(net.network) in SCHEMES:
    net = initialised(net, jax.random.fold_in(jax.random.key(config.seed), _WEIGHTS))
  sites_of(recipe_of(config), net.network)
  if config.occlusion == 'salient':
    net.network.resolve(config.layer)
  if 'side' in OPTIONS.get(config.occlusion, ()) and config.side > net.size:
    raise UserError(
      f'config.side: a square of {config.side} pixels hides all of an image of {net.size} x '
      f'{net.size}; {net.size // 4} is a sixteenth of it'
    )
  return net


def setup(config: ConfigDict, net: Pretrained, steps: int) -> Setup:
  """What a config says of a training with so many steps an epoch."""
  schedule = _schedule(config, steps)
  if config.optimiser == 'sgd':
    rule = optimisers.sgd(schedule, config.momentum, config.weight_decay)
  else:
    rule = optimisers.adam(schedule)
  return Setup(net, recipe_of(config), rule, schedule, config.epochs, steps)


def _schedule(config: ConfigDict, steps: int) -> optax.Schedule:
  if config.schedule == 'steps':
    return optimisers.step_schedule(
      config.learning_rate, steps, tuple(config.falls), config.factor, config.warmup
    )
  return optimisers.cosine(config.learning_rate, config.epochs * steps, config.warmup)
