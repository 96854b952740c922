"""A network in training: statistics of the batch, dropout, half precision.

The layers of `perturb.nets` are those of a network under study. Here their calls are intercepted
(`flax.linen.intercept_methods`): nothing is added to the layers, so that a network under study
stays as fast as it is.
"""

from collections.abc import Callable, Mapping
import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from perturb.nets.layers import Add, BatchNorm
from perturb.nets.network import Network, Variables
from perturb.training.dropout import Drop

MOMENTUM = 0.1  # Of the running statistics; PyTorch's default.


class Site(NamedTuple):
  """Where something is dropped.

  Attributes:
    drop: `(key, activations) -> activations`, applied to the output of a layer; to the branch, if
      the layer is the sum of a branch and a shortcut.
    shortcut: whether it is applied to the shortcut as well.
  """

  drop: Drop
  shortcut: bool = False


def forward(
  network: Network,
  variables: Variables,
  x: jax.Array,
  *,
  train: bool = True,
  key: jax.Array | None = None,
  sites: Mapping[str, Site] | None = None,
  **options: Any,
) -> tuple[Any, Variables]:
  """Runs a network as it is in training.

  Batch normalisation uses the mean and the variance of the batch: of all of it, also where it is
  spread over devices and processes. It moves its running statistics by `MOMENTUM` towards them,
  with the unbiased variance, as PyTorch does. It computes in single precision, whatever x has.

  Args:
    network: the architecture.
    variables: 'params', and 'batch_stats' if it has any.
    x: preprocessed images `[N, H, W, C]`.
    train: whether the statistics are the batch's; else the running ones.
    key: a PRNG key, of what is dropped; None to drop nothing.
    sites: layer -> what is dropped there.
    options: of the network's call, as `stop`.

  Returns:
    (the output, the running statistics after it).
  """
  keyed = {} if key is None else _keyed(key, sites or {})

  def intercept(call: Callable, inputs: Any, named: Any, context: Any) -> Any:
    module = context.module
    if isinstance(module, Network) or context.method_name != '__call__':
      return call(*inputs, **named)
    if isinstance(module, BatchNorm):
      call = functools.partial(_normalised, module, train)
    if module.name not in keyed:
      return call(*inputs, **named)
    site, own = keyed[module.name]
    if isinstance(module, Add):
      return call(*_dropped_branches(site, own, *inputs))
    return site.drop(own, call(*inputs, **named))

  with nn.intercept_methods(intercept):
    output, changed = network.apply(variables, x, mutable=['batch_stats'], **options)
  return output, changed.get('batch_stats', {})


def _keyed(key: jax.Array, sites: Mapping[str, Site]) -> dict[str, tuple[Site, jax.Array]]:
  """Each site with a key of its own."""
  return {
    layer: (site, jax.random.fold_in(key, number))
    for number, (layer, site) in enumerate(sites.items())
  }


def _dropped_branches(
  site: Site, key: jax.Array, branch: jax.Array, shortcut: jax.Array
) -> tuple[jax.Array, jax.Array]:
  first, second = jax.random.split(key)
  return site.drop(first, branch), site.drop(second, shortcut) if site.shortcut else shortcut


def _normalised(module: BatchNorm, train: bool, x: jax.Array) -> jax.Array:
  scale, bias = _values(module, 'params', 'scale', 'bias')
  mean, var = _values(module, 'batch_stats', 'mean', 'var')
  values = x.astype(jnp.float32)
  if train:
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    running = mean, var
    mean = values.mean(axes)
    var = jnp.square(values - mean).mean(axes)
    unbiased = var * (count / max(count - 1, 1))
    for name, old, new in zip(('mean', 'var'), running, (mean, unbiased), strict=True):
      module.put_variable('batch_stats', name, old + MOMENTUM * (new - old))
  gain = scale * jax.lax.rsqrt(var + module.epsilon)
  return ((values - mean) * gain + bias).astype(x.dtype)


def _values(module: nn.Module, kind: str, *names: str) -> list[jax.Array]:
  return [module.get_variable(kind, name) for name in names]


def halved(variables: Variables) -> Variables:
  """The parameters as bfloat16, but for those of batch normalisation."""
  normalised = variables.get('batch_stats', {})
  params = {
    layer: each if layer in normalised else jax.tree.map(lambda p: p.astype(jnp.bfloat16), each)
    for layer, each in variables['params'].items()
  }
  return {**variables, 'params': params}


def norm_grad(
  network: Network, variables: Variables, x: jax.Array, labels: jax.Array, layer: str
) -> jax.Array:
  """s_ij = ||g_ij|| ||x'_ij|| (eq. 1) of a layer's activations and the gradient of the true logit.

  The paper does not say which statistics batch normalisation has here. They are the running ones,
  as in evaluation: an image's saliency then does not depend on its batch. Nothing is dropped. It
  costs a pass forward, and one back to the layer.

  Source: Fong and Vedaldi, ICCV Workshops 2019, eq. 1; Rebuffi et al., "There and Back Again", CVPR
  2020 (`perturb.norm_grad`, which is the same of a network under study).

  Args:
    network: the architecture.
    variables: its weights.
    x: preprocessed images `[N, H, W, C]`.
    labels: the true classes, `[N]`.
    layer: its name.

  Returns:
    `[N, h, w]`, at the size of the layer.
  """
  run = functools.partial(forward, network, variables, x, train=False, stop=(layer, network.logits))
  shape = jax.eval_shape(lambda: run()[0][layer])

  def true_logits(delta: jax.Array) -> tuple[jax.Array, jax.Array]:
    found, _ = run(edits={layer: lambda h: h + delta})
    own = jnp.take_along_axis(found[network.logits], labels[:, None], axis=-1)
    return own.astype(jnp.float32).sum(), found[layer]

  gradient, activation = jax.grad(true_logits, has_aux=True)(jnp.zeros(shape.shape, shape.dtype))
  lengths = [jnp.linalg.norm(h.astype(jnp.float32), axis=-1) for h in (gradient, activation)]
  return lengths[0] * lengths[1]
