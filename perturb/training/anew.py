"""One network trained anew, again and again, on pictures in memory: what studies compare."""

from collections.abc import Callable
import dataclasses

import jax
import optax

from perturb.nets.pretrained import Pretrained
from perturb.training.optimisers import adam, cosine
from perturb.training.recipe import Recipe
from perturb.training.state import start, trained
from perturb.training.steps import make_epoch

# (network with its first weights, images uint8 [N, H, W, 3], labels [N], which of them to train on
# [M], key of the order and of all that is random) -> the trained network.
Training = Callable[[Pretrained, jax.Array, jax.Array, jax.Array, jax.Array], Pretrained]


@dataclasses.dataclass(frozen=True)
class Plan:
  """How long a network is trained.

  Attributes:
    epochs: times that each picture is seen.
    batch_size: different pictures in a step.
    learning_rate: of Adam at the start; falls to 0 by half a cosine.
  """

  epochs: int
  batch_size: int
  learning_rate: float

  def optimiser(self, count: int) -> optax.GradientTransformation:
    """Of a training on so many pictures."""
    return adam(cosine(self.learning_rate, self.epochs * (count // self.batch_size)))


def make_training(
  net: Pretrained, recipe: Recipe, plan: Plan, count: int, copies: int = 1
) -> Training:
  """A whole training as a function, whose epoch is compiled once for all its calls.

  Args:
    net: whose architecture is trained.
    recipe: what is done to pictures, activations and labels.
    plan: how long.
    count: M, pictures to train on, at least a batch.
    copies: of each picture in a batch, see `perturb.training.steps.make_epoch`.
  """
  optimiser = plan.optimiser(count)
  epoch = make_epoch(net, optimiser, recipe, plan.batch_size, copies)

  def training(net, images, labels, members, key):
    state = start(net, optimiser, recipe)
    for _ in range(plan.epochs):
      state, _ = epoch(state, images, labels, members, key)
    return trained(net, state, averaged=bool(recipe.average))

  return training
