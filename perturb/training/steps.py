"""A step of training, an epoch of them, and the evaluation: one compiled program each.

Pictures are uint8 RGB `[N, H, W, 3]`, which are preprocessed as they are needed: a quarter of the
memory. A network's input, float32 `[N, H, W, C]`, is taken as it is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from perturb.chunks import default_forward_chunk, mapped
from perturb.nets.network import Network, Variables
from perturb.nets.pretrained import Pretrained
from perturb.training import occlude
from perturb.training.mode import forward, halved, norm_grad
from perturb.training.recipe import Recipe, sites_of
from perturb.training.sharding import spread_inside
from perturb.training.state import State

# What a key of a step is folded with, for each of its uses.
_SHIFT, _FLIP, _OCCLUDE, _DROP, _ORDER = range(5)


class Measured(NamedTuple):
  """What a step measures; an epoch the means over its steps.

  Attributes:
    loss: mean cross-entropy, in nats.
    accuracy: share of the images whose largest logit is the label's, of all that the network saw,
      occluded as they were.
  """

  loss: jax.Array
  accuracy: jax.Array


class Evaluated(NamedTuple):
  """Sums over the valid images of a batch.

  Attributes:
    top1: how many have the largest logit at their label.
    top5: how many have their label among the five largest.
    loss: sum of their cross-entropies, in nats.
  """

  top1: jax.Array
  top5: jax.Array
  loss: jax.Array


Step = Callable[[State, jax.Array, jax.Array, jax.Array], tuple[State, Measured]]
Views = Callable[[Variables, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
Epoch = Callable[[State, jax.Array, jax.Array, jax.Array, jax.Array], tuple[State, Measured]]
Evaluate = Callable[[Variables, jax.Array, jax.Array, jax.Array], Evaluated]


def make_step(net: Pretrained, optimiser: optax.GradientTransformation, recipe: Recipe) -> Step:
  """A step of training.

  Args:
    net: whose architecture is trained.
    optimiser: the rule that changes the weights.
    recipe: the rest.

  Returns:
    A compiled function of (state, images uint8 RGB `[B, H, W, 3]`, labels int `[B]`, key) that
    returns (the new state, what it measured). It overwrites the state that it is given. The key is
    the run's: that of the step is made of it and of `state.step`. The images may be spread over
    devices (`perturb.training.sharding`): the step is that of the whole batch.

  Raises:
    UserError: for a layer of the recipe that the network does not have.
  """
  return jax.jit(_step_of(net, optimiser, recipe), donate_argnums=0)


def make_epoch(
  net: Pretrained,
  optimiser: optax.GradientTransformation,
  recipe: Recipe,
  batch_size: int,
  copies: int = 1,
  spread: bool = False,
) -> Epoch:
  """A function that goes once through pictures in memory, in random order.

  The pictures that do not fill a batch are left out; they are others each time.

  Args:
    net, optimiser, recipe: see `make_step`.
    batch_size: different pictures in a step.
    copies: M of batch augmentation (Hoffer et al., CVPR 2020): each picture of a batch comes so
      many times, each time shifted, mirrored and occluded anew.
    spread: each step is shared by all devices of all processes, which divide the batch; the
      arguments are there whole (`sharding.replicated`).

  Returns:
    A compiled function of (state, images uint8 RGB `[N, H, W, 3]`, labels `[N]`, which of them to
    train on `[M]`, key) that returns (the new state, means over its steps). The key is the run's.
  """
  step = _step_of(net, optimiser, recipe)

  @jax.jit
  def epoch(state, images, labels, members, key):
    steps = members.shape[0] // batch_size
    own = jax.random.fold_in(jax.random.fold_in(key, state.step), _ORDER)
    order = jax.random.permutation(own, members)[: steps * batch_size]

    def next_step(state: State, chosen: jax.Array) -> tuple[State, Measured]:
      chosen = jnp.repeat(chosen, copies)
      batch = images[chosen], labels[chosen]
      shown, answers = spread_inside(batch) if spread else batch
      return step(state, shown, answers, key)

    state, measured = jax.lax.scan(next_step, state, order.reshape(steps, batch_size))
    return state, jax.tree.map(jnp.mean, measured)

  return epoch


def _step_of(net: Pretrained, optimiser: optax.GradientTransformation, recipe: Recipe) -> Step:
  network, sites = net.network, sites_of(recipe, net.network)
  views = make_views(net, recipe)

  def step(state, images, labels, key):
    key = jax.random.fold_in(key, state.step)
    x, labels = views(_variables(state), images, labels, key)

    def loss(params: Variables) -> tuple[jax.Array, tuple[jax.Array, Variables]]:
      variables = _cast(recipe, {**_variables(state), 'params': params})
      own = jax.random.fold_in(key, _DROP)
      logits, batch_stats = forward(network, variables, x, key=own, sites=sites)
      logits = logits.astype(jnp.float32)
      return cross_entropy(logits, labels, recipe.label_smoothing).mean(), (logits, batch_stats)

    (value, (logits, batch_stats)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    updates, moments = optimiser.update(gradient, state.moments, state.params)
    params = optax.apply_updates(state.params, updates)
    average = _averaged(recipe, state, params)
    accuracy = jnp.mean(logits.argmax(-1) == labels, dtype=jnp.float32)
    new = State(state.step + 1, params, batch_stats, moments, average)
    return new, Measured(value, accuracy)

  return step


def _variables(state: State) -> Variables:
  return {'params': state.params, 'batch_stats': state.batch_stats}


def _cast(recipe: Recipe, variables: Variables) -> Variables:
  return halved(variables) if recipe.half else variables


def _averaged(recipe: Recipe, state: State, params: Variables) -> Variables | tuple[()]:
  """average + (1 - d) (params - average), where d is at most (1 + step) / (10 + step).

  The first weights, which are random, are thereby soon forgotten (as in TensorFlow's
  `ExponentialMovingAverage`).
  """
  if not recipe.average:
    return ()
  share = 1 - jnp.minimum(recipe.average, (1 + state.step) / (10 + state.step))
  return jax.tree.map(lambda old, new: old + share * (new - old), state.average, params)


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
  """(1 - s) (-log p_label) + s mean_c (-log p_c) of each image, `[N]`, in nats.

  Source: Szegedy et al., "Rethinking the Inception architecture" (CVPR 2016), section 7.
  """
  log_p = jax.nn.log_softmax(logits)
  own = jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0]
  return -(1 - smoothing) * own - smoothing * log_p.mean(-1) if smoothing else -own


def make_views(net: Pretrained, recipe: Recipe) -> Views:
  """What a network sees in a step.

  The pictures are preprocessed, shifted, mirrored, occluded, and joined with the occluded ones, in
  this order: both of a pair have the same crop.

  Args:
    net: whose preprocessing it is, and whose saliency.
    recipe: the rest.

  Returns:
    A function of (variables, images uint8 RGB `[B, H, W, 3]`, labels `[B]`, key) that returns
    (images `[B, H, W, C]`, labels `[B]`); `[2 B, ...]` of a joint recipe, see `joint`.

  Raises:
    UserError: for a layer that the network does not have.
  """
  if 'layer' in recipe.options:
    net.network.resolve(recipe.options['layer'])

  def views(variables, images, labels, key):
    keys = [jax.random.fold_in(key, use) for use in (_SHIFT, _FLIP, _OCCLUDE)]
    x = input_of(net, images)
    x = shifted(keys[0], x, recipe.pad) if recipe.pad else x
    x = flipped(keys[1], x) if recipe.flip else x
    x = x.astype(jnp.bfloat16) if recipe.half else x
    hidden = _occluded(net.network, recipe, _cast(recipe, variables), x, labels, keys[2])
    return joint(x, hidden, labels) if recipe.joint else (hidden, labels)

  return views


def input_of(net: Pretrained, images: jax.Array) -> jax.Array:
  """The network's input `[N, H, W, C]`; pictures that are no bytes are preprocessed already."""
  if images.dtype != jnp.uint8:
    return images
  return net.preprocessing.from_unit(images.astype(jnp.float32) / 255)


def joint(x: jax.Array, hidden: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
  """(X, X * M) as one batch, pair by pair: image i is number 2 i, its occluded copy 2 i + 1.

  In this order a batch that is spread over devices stays where it is; the order within a batch
  changes nothing else.

  Returns:
    (`[2 B, H, W, C]`, labels `[2 B]`).
  """
  pairs = jnp.stack([x, hidden], axis=1)
  return pairs.reshape(-1, *x.shape[1:]), jnp.repeat(labels, 2)


def _occluded(
  network: Network,
  recipe: Recipe,
  variables: Variables,
  x: jax.Array,
  labels: jax.Array,
  key: jax.Array,
) -> jax.Array:
  options = {**recipe.options, 'keep_image': recipe.keep_image}
  if recipe.occlusion == 'none':
    return x
  if recipe.occlusion == 'salient':
    saliency = norm_grad(network, variables, x, labels, options.pop('layer'))
    return occlude.salient(key, x, saliency, **options)
  return getattr(occlude, recipe.occlusion)(key, x, **options)


def shifted(key: jax.Array, images: jax.Array, pad: int) -> jax.Array:
  """Each image `[N, H, W, C]` moved by up to `pad` pixels in both directions, filled with 0."""
  offsets = jax.random.randint(key, (len(images), 2), 0, 2 * pad + 1)
  padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  shape = images.shape[1:]
  return jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (*at, 0), shape))(padded, offsets)


def flipped(key: jax.Array, images: jax.Array) -> jax.Array:
  """Each image `[N, H, W, C]` mirrored, left to right, with probability 1/2."""
  mirror = jax.random.bernoulli(key, 0.5, (len(images), 1, 1, 1))
  return jnp.where(mirror, images[:, :, ::-1], images)


def make_evaluate(net: Pretrained) -> Evaluate:
  """A function that counts right answers, with the running statistics and nothing dropped.

  Args:
    net: whose architecture is evaluated.

  Returns:
    A compiled function of (variables, images uint8 RGB `[B, H, W, 3]`, labels `[B]`, valid bool
    `[B]`) that returns sums over the valid ones. Of equal logits the first counts, as in `argmax`;
    logits that are not finite are wrong.
  """

  @jax.jit
  def evaluate(variables, images, labels, valid):
    logits: Any = net.network.apply(variables, input_of(net, images))
    own = jnp.take_along_axis(logits, labels[:, None], axis=-1)
    first = jnp.arange(logits.shape[-1]) < labels[:, None]
    better = ((logits > own) | ((logits == own) & first)).sum(-1)
    known = valid & jnp.isfinite(logits).all(-1)
    losses = jnp.where(valid, cross_entropy(logits, labels), 0)
    return Evaluated((known & (better < 1)).sum(), (known & (better < 5)).sum(), losses.sum())

  return evaluate


@jax.jit
def predictions(net: Pretrained, images: jax.Array, members: jax.Array) -> jax.Array:
  """The class of the largest logit of some of the images.

  Args:
    net: the network.
    images: uint8 RGB `[N, H, W, 3]`.
    members: which of them, `[M]`.

  Returns:
    int `[M]`.
  """

  def classify(index: jax.Array) -> jax.Array:
    return jnp.argmax(net(input_of(net, images[members[index]])), axis=-1)

  return mapped(classify, members.shape[0], default_forward_chunk(images.shape[1:]))
