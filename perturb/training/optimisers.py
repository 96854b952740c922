"""Optimisers and the schedules of their learning rates."""

from collections.abc import Sequence

import jax.numpy as jnp
import optax


def sgd(
  schedule: optax.ScalarOrSchedule, momentum: float = 0.9, weight_decay: float = 1e-4
) -> optax.GradientTransformation:
  """Stochastic gradient descent as `torch.optim.SGD`.

  g <- g + weight_decay w;  v <- momentum v + g;  w <- w - rate v. As in PyTorch's ImageNet example,
  all parameters decay: those of batch normalisation and the biases too.
  """
  return optax.chain(
    optax.add_decayed_weights(weight_decay),
    optax.trace(momentum),
    optax.scale_by_learning_rate(schedule),
  )


def adam(schedule: optax.ScalarOrSchedule) -> optax.GradientTransformation:
  """Adam, without weight decay."""
  return optax.adam(schedule)


def step_schedule(
  rate: float,
  steps_per_epoch: int,
  epochs: Sequence[int] = (30, 60, 90),
  factor: float = 0.1,
  warmup: int = 0,
) -> optax.Schedule:
  """A learning rate that is multiplied by `factor` after each of some epochs.

  Args:
    rate: the first one.
    steps_per_epoch: steps in an epoch.
    epochs: after how many epochs it falls.
    factor: what it is multiplied by.
    warmup: steps over which it rises, in equal parts, to `rate`.
  """
  falls = dict.fromkeys((steps_per_epoch * epoch for epoch in epochs), factor)
  return _warmed(optax.piecewise_constant_schedule(rate, falls), warmup)


def cosine(rate: float, steps: int, warmup: int = 0) -> optax.Schedule:
  """A learning rate that falls to 0 in `steps` steps, along half a cosine; see `step_schedule`."""
  return _warmed(optax.cosine_decay_schedule(rate, steps), warmup)


def _warmed(schedule: optax.Schedule, warmup: int) -> optax.Schedule:
  if not warmup:
    return schedule
  return lambda step: schedule(step) * jnp.minimum((step + 1) / warmup, 1)
