"""What a training changes, and the network that it makes."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from perturb.nets.network import Variables
from perturb.nets.pretrained import Pretrained
from perturb.training.recipe import Recipe


class State(NamedTuple):
  """What a step changes.

  Attributes:
    step: how many steps have been done, int32.
    params: the network's parameters.
    batch_stats: the running statistics of batch normalisation; {} without it.
    moments: the optimiser's state.
    average: the running average of the parameters; () without one.
  """

  step: jax.Array
  params: Variables
  batch_stats: Variables
  moments: optax.OptState
  average: Variables | tuple[()]


def start(net: Pretrained, optimiser: optax.GradientTransformation, recipe: Recipe) -> State:
  """The state before the first step: copies of the weights, which a step may overwrite."""
  params = net.variables['params']
  return State(
    jnp.zeros((), jnp.int32),
    _copied(params),
    _copied(net.variables.get('batch_stats', {})),
    optimiser.init(params),
    _copied(params) if recipe.average else (),
  )


def trained(net: Pretrained, state: State, averaged: bool = False) -> Pretrained:
  """The network with the weights of a state.

  Args:
    net: what was trained.
    state: the weights.
    averaged: take their running average, if there is one. The statistics of batch normalisation
      are the same, which are running averages already.
  """
  params = state.average if averaged and state.average else state.params
  variables = {**net.variables, 'params': params}
  if state.batch_stats:
    variables['batch_stats'] = state.batch_stats
  return dataclasses.replace(net, variables=variables)


def _copied(tree: Variables) -> Variables:
  return jax.tree.map(jnp.array, tree)
