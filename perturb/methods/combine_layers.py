"""Heatmaps of several layers combined into one, and the weights of the layers.

Source: Rebuffi, Fong, Ji and Vedaldi, "There and Back Again: Revisiting Backpropagation Saliency
Methods", CVPR 2020, section 4.2. Shapes: J layers, B images.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from perturb.base import Function, Images, Method, Target, check_arguments, check_images
from perturb.compiled import compiled
from perturb.errors import UserError, check_choice
from perturb.nets.pretrained import Pretrained
from perturb.ops.heatmaps import normalise

How = Literal['sum', 'product']


def combine(
  heatmaps: jax.Array, weights: Sequence[float] | jax.Array | np.ndarray, how: How = 'product'
) -> jax.Array:
  """sum_j gamma_j m_j, or prod_j m_j^gamma_j, of maps scaled to [0, 1] each.

  Args:
    heatmaps: m `[J, B, H, W]`, in any units.
    weights: gamma `[J]`, not negative; divided by their sum.
    how: the maps are combined as a 'sum' or a 'product', which is zero at the least pixel of any.

  Returns:
    `[B, H, W]` in [0, 1].

  Raises:
    UserError: for weights that do not fit.
  """
  check_choice('how', how, get_args(How))
  gamma = np.asarray(weights, np.float32)
  if gamma.shape != (len(heatmaps),) or gamma.min() < 0 or gamma.sum() == 0:
    raise UserError(
      f'weights must be {len(heatmaps)} numbers, one a layer, none negative, some positive; '
      f'not {weights}'
    )
  shares = jnp.asarray(gamma / gamma.sum())[:, None, None, None]
  maps = normalise(heatmaps)
  if how == 'sum':
    return (shares * maps).sum(0)
  return jnp.prod(jnp.where(shares == 0, 1, maps ** jnp.where(shares == 0, 1, shares)), axis=0)


@compiled
def _of_layers(f, x, targets, *, method, layers, options):
  return jnp.stack([method(f, x, targets, layer, **options) for layer in layers])


def combine_layers(
  method: Method,
  f: Function,
  x: Images,
  target: Target,
  layers: Sequence[str],
  weights: Sequence[float] | jax.Array | np.ndarray | None = None,
  *,
  how: How = 'product',
  **options: Any,
) -> jax.Array:
  """The heatmaps that a method gives at several layers, combined, in one compiled call.

  Example:
    >>> layers, weights = ['relu1', 'relu2', 'relu3'], perturb.linear_weights(3)
    >>> heatmap = perturb.combine_layers(perturb.grad_cam, net, x, cat, layers, weights)
    >>> heatmap.shape
    (1, 32, 32)

  Args:
    method: with a layer as its fourth argument, e.g. `linear_approximation`.
    f, x, target: see `perturb.base`; f is what the method takes, with these layers.
    layers: names of J layers.
    weights: gamma `[J]`, see `combine`; by default all the same.
    how: the maps are combined as a 'sum' or a 'product'.
    **options: what else the method is called with.

  Returns:
    `[B, H, W]` in [0, 1].

  Raises:
    UserError: as the method, and for weights that do not fit.
  """
  x, targets = check_arguments(f, x, target)
  maps = _of_layers(f, x, targets, method=method, layers=tuple(layers), options=options)
  return combine(maps, uniform_weights(len(layers)) if weights is None else weights, how)


def uniform_weights(count: int) -> np.ndarray:
  """gamma_j = 1 / J."""
  return np.full(count, 1 / count, np.float32)


def linear_weights(count: int) -> np.ndarray:
  """gamma_j = j / J for layers from the shallowest, j = 1, to the deepest."""
  return np.arange(1, count + 1, dtype=np.float32) / count


def _mean_features(
  net: Pretrained, x: Images, layers: Sequence[str], batch: int
) -> dict[str, np.ndarray]:
  """The spatial means `[M, c]` of the layers' activations."""
  x = check_images(x)
  parts = [net.activations(x[i : i + batch], layers) for i in range(0, len(x), batch)]
  return {
    layer: np.concatenate(
      [
        np.asarray(p[layer]).reshape(*p[layer].shape[:1], -1, p[layer].shape[-1]).mean(1)
        for p in parts
      ]
    )
    for layer in layers
  }


def feature_spread(
  net: Pretrained, x: Images, layers: Sequence[str], *, batch: int = 8
) -> np.ndarray:
  """gamma_j = (1/M) sum_i |xbar_i - xbar_mu|: how far the images' mean features lie apart.

  xbar_i is the spatial mean of image i, xbar_mu the mean of these (the paper prints absolute values
  inside that mean, which for activations of a ReLU are the same), |.| the Euclidean norm.

  Args:
    net: a network of `perturb.nets`.
    x: images `[M, H, W, C]`, sampled evenly over the classes.
    layers: names of J layers.
    batch: images that go through the network at once.

  Returns:
    `[J]`.
  """
  features = _mean_features(net, x, layers, batch)
  return np.array(
    [np.linalg.norm(f - f.mean(0), axis=1).mean() for f in features.values()], np.float32
  )


@compiled
def _probe(features, labels, tests, *, classes, steps):
  """Predictions `[M']` of a linear layer trained by L-BFGS on standardised features `[M, c]`."""
  mean, spread = features.mean(0), features.std(0) + 1e-6
  inputs, tests = (features - mean) / spread, (tests - mean) / spread

  def loss(weights):
    logits = inputs @ weights['kernel'] + weights['bias']
    fit = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return fit + 1e-4 * jnp.square(weights['kernel']).sum()

  weights = {
    'kernel': jnp.zeros((features.shape[1], classes), jnp.float32),
    'bias': jnp.zeros(classes, jnp.float32),
  }
  optimiser = optax.lbfgs()

  def step(_, carry):
    weights, state = carry
    value, slope = optax.value_and_grad_from_state(loss)(weights, state=state)
    updates, state = optimiser.update(slope, state, weights, value=value, grad=slope, value_fn=loss)
    return optax.apply_updates(weights, updates), state

  weights, _ = jax.lax.fori_loop(0, steps, step, (weights, optimiser.init(weights)))
  return jnp.argmax(tests @ weights['kernel'] + weights['bias'], axis=-1)


def probe_accuracy(
  net: Pretrained,
  x: Images,
  labels: Sequence[int] | np.ndarray,
  layers: Sequence[str],
  *,
  test: tuple[Images, Sequence[int] | np.ndarray] | None = None,
  steps: int = 100,
  batch: int = 8,
) -> np.ndarray:
  """gamma_j: the accuracy of a linear classifier on the mean features of each layer.

  Args:
    net: a network of `perturb.nets`.
    x: images `[M, H, W, C]` to train on, sampled evenly over the classes.
    labels: `[M]`, the index of each image's class.
    layers: names of J layers.
    test: images and labels whose accuracy is measured; by default those of training, as in the
      paper, which saturates where there are more channels than images.
    steps: number of L-BFGS's iterations.
    batch: images that go through the network at once.

  Returns:
    `[J]` in [0, 1].
  """
  labels = np.asarray(labels)
  test_x, test_labels = (x, labels) if test is None else (test[0], np.asarray(test[1]))
  train, held_out = (_mean_features(net, images, layers, batch) for images in (x, test_x))
  classes = int(max(labels.max(), test_labels.max())) + 1
  predicted = [
    _probe(train[layer], labels, held_out[layer], classes=classes, steps=steps) for layer in layers
  ]
  return np.array([np.mean(np.asarray(p) == test_labels) for p in predicted], np.float32)
