"""Training a network: one compiled program an epoch."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from perturb.chunks import default_forward_chunk, mapped
from perturb.nets.network import Variables
from perturb.nets.pretrained import Pretrained


class State(NamedTuple):
  """What an epoch changes.

  Attributes:
    params: the network's parameters.
    moments: the optimiser's state.
  """

  params: Variables
  moments: optax.OptState


Epoch = Callable[[State, jax.Array, jax.Array, jax.Array, jax.Array], tuple[State, jax.Array]]


def optimiser(learning_rate: float, steps: int) -> optax.GradientTransformation:
  """Adam, its learning rate falling from `learning_rate` to 0 in `steps` steps (half a cosine)."""
  return optax.adam(optax.cosine_decay_schedule(learning_rate, steps))


def start(net: Pretrained, rule: optax.GradientTransformation) -> State:
  """The state before the first epoch."""
  params = net.variables['params']
  return State(params, rule.init(params))


def make_epoch(net: Pretrained, rule: optax.GradientTransformation, batch_size: int) -> Epoch:
  """A function that goes once through the examples, in random order.

  Batch normalisation keeps the statistics that it has. The examples that do not fill a batch are
  left out; they are others each time.

  Args:
    net: whose architecture is trained.
    rule: the optimiser.
    batch_size: examples in a step.

  Returns:
    A compiled function of (state, images, labels `[N]`, which of them to train on `[M]`, key) that
    returns the new state and the mean cross-entropy, in nats. The images are preprocessed
    `[N, H, W, C]`, or uint8 RGB `[N, H, W, 3]`, which are preprocessed as they are needed: a
    quarter of the memory.
  """
  fixed = {name: value for name, value in net.variables.items() if name != 'params'}

  def loss(params: Variables, x: jax.Array, labels: jax.Array) -> jax.Array:
    logits = net.network.apply({**fixed, 'params': params}, _input(net, x))
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

  @jax.jit
  def epoch(state, images, labels, members, key):
    steps = members.shape[0] // batch_size
    order = jax.random.permutation(key, members)[: steps * batch_size]

    def step(state: State, chosen: jax.Array) -> tuple[State, jax.Array]:
      value, gradient = jax.value_and_grad(loss)(state.params, images[chosen], labels[chosen])
      updates, moments = rule.update(gradient, state.moments, state.params)
      return State(optax.apply_updates(state.params, updates), moments), value

    state, losses = jax.lax.scan(step, state, order.reshape(steps, batch_size))
    return state, losses.mean()

  return epoch


@jax.jit
def predictions(net: Pretrained, images: jax.Array, members: jax.Array) -> jax.Array:
  """The class of the largest logit of some of the images, which are as `make_epoch` has them.

  Args:
    net: the network.
    images: `[N, H, W, C]`.
    members: which of them, `[M]`.

  Returns:
    int `[M]`.
  """

  def classify(index: jax.Array) -> jax.Array:
    return jnp.argmax(net(_input(net, images[members[index]])), axis=-1)

  return mapped(classify, members.shape[0], default_forward_chunk(images.shape[1:]))


def _input(net: Pretrained, images: jax.Array) -> jax.Array:
  if images.dtype != jnp.uint8:
    return images
  return net.preprocessing.from_unit(images.astype(jnp.float32) / 255)
