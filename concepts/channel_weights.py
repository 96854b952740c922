"""How much each channel of a layer counts for a class: weights of `similarity`.

What is alike for class c: s_c(u, v) = sum_k w_k u_k v_k / sqrt(sum_k w_k u_k^2 sum_k w_k v_k^2),
where w_k is the absolute value of the mean, over pictures and positions, of the gradient of the
class's logit with respect to channel k.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from perturb.compiled import compiled
from perturb.nets import Pretrained


def mean_gradients(
  net: Pretrained, x: jax.Array, layers: Sequence[str], classes: Sequence[int]
) -> dict[str, jax.Array]:
  """Gradients of logits with respect to layers, means over the positions; can be compiled.

  Args:
    net: the network.
    x: preprocessed images `[N, H, W, C]`.
    layers: their names, K channels each.
    classes: indices of L logits.

  Returns:
    By layer, `[N, L, K]`.
  """

  def of_class(index: jax.Array) -> dict[str, jax.Array]:
    found = net.gradients(x, layers, index).gradients
    return {layer: values.mean((1, 2)) for layer, values in found.items()}

  each = jax.lax.map(of_class, jnp.asarray(classes, jnp.int32))
  return {layer: values.swapaxes(0, 1) for layer, values in each.items()}


@compiled
def _mean_gradients(net, x, *, layers, classes):
  return mean_gradients(net, x, layers, classes)


def channel_weights(
  net: Pretrained,
  x: jax.Array | np.ndarray | Sequence[jax.Array | np.ndarray],
  layers: Sequence[str],
  target: str | int,
) -> dict[str, np.ndarray]:
  """The weights w of each layer's channels for a class, float32 `[K]`, by layer.

  Args:
    net: the network.
    x: preprocessed images `[N, H, W, C]`; or several such arrays, whose images differ in shape.
    layers: their names.
    target: index or name of the class.

  Raises:
    UserError: for a layer or a class that the network does not have.
  """
  classes = (net.class_index(target),)
  batches = [x] if isinstance(x, jax.Array | np.ndarray) else x
  found = [
    _mean_gradients(net, jnp.asarray(one), layers=tuple(layers), classes=classes) for one in batches
  ]
  return {
    layer: weights_of(np.concatenate([np.asarray(one[layer])[:, 0] for one in found]))
    for layer in layers
  }


def weights_of(gradients: np.ndarray) -> np.ndarray:
  """|mean over pictures| of what `mean_gradients` gives for a class, `[N, K]`: `[K]`."""
  return np.abs(gradients.mean(0))
