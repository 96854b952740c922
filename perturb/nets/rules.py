"""Backward rules: other ways of sending a signal back through a layer.

A rule is passed to `Network.apply(..., rules=(...))`. It gives a layer's ordinary output, with
another backward pass, or None for the layers it does not concern; the first rule that answers for
a layer is used, so that rules combine: `(guided, stride_one)` is the backward pass of Oramas et al.
What `jax.grad` or `jax.vjp` then returns is the rule's signal instead of a gradient. The parameters
get none.
"""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from perturb.errors import UserError
from perturb.nets.kernels.convolution import conv
from perturb.nets.kernels.depthwise import depthwise_conv
from perturb.nets.layers import (
  AdaptiveMeanPool,
  Add,
  BatchNorm,
  Conv,
  Dense,
  GlobalMean,
  LocalResponseNorm,
  MeanPool,
  Relu,
  WindowDense,
)
from perturb.nets.network import Rule, Variables

EPSILON = 1e-20  # Keeps a division by a sum of nothing at zero.


def _no_signal(variables: Variables) -> Variables:
  return jax.tree.map(jnp.zeros_like, variables)


def _output(module: nn.Module, variables: Variables, *inputs: jax.Array) -> jax.Array:
  out: Any = module.apply(variables, *inputs)
  return out


def _positive(signal: jax.Array) -> jax.Array:
  return jnp.maximum(signal, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _guided(module: nn.Module, x: jax.Array) -> jax.Array:
  return _output(module, {}, x)


def _guided_forward(module, x):
  return jax.vjp(lambda h: _output(module, {}, h), x)


def _guided_backward(_module, gradient, signal):
  return gradient(_positive(signal))


_guided.defvjp(_guided_forward, _guided_backward)


def guided(
  module: nn.Module, _variables: Variables, inputs: tuple[jax.Array, ...]
) -> jax.Array | None:
  """Guided backpropagation: a ReLU passes p 1[x > 0] 1[p > 0].

  Source: Springenberg et al., Striving for simplicity (ICLR workshop 2015).
  """
  return _guided(module, *inputs) if isinstance(module, Relu) else None


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _deconvnet(module: nn.Module, x: jax.Array) -> jax.Array:
  return _output(module, {}, x)


_deconvnet.defvjp(
  lambda module, x: (_output(module, {}, x), None),
  lambda _module, _, signal: (_positive(signal),),
)


def deconvnet(
  module: nn.Module, _variables: Variables, inputs: tuple[jax.Array, ...]
) -> jax.Array | None:
  """DeconvNet: a ReLU passes p 1[p > 0], whatever its input.

  Source: Zeiler and Fergus, Visualizing and understanding convolutional networks (ECCV 2014).
  """
  return _deconvnet(module, *inputs) if isinstance(module, Relu) else None


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _excite(module: nn.Module, variables: Variables, x: jax.Array) -> jax.Array:
  return _output(module, variables, x)


def _excite_backward(module, residuals, signal):
  variables, x = residuals
  weights = {
    name: jnp.maximum(value, 0) if name == 'kernel' else jnp.zeros_like(value)
    for name, value in variables.get('params', {}).items()
  }
  y, back = jax.vjp(lambda h: _output(module, {'params': weights}, h), x)
  return _no_signal(variables), x * back(signal / (y + EPSILON))[0]


_excite.defvjp(lambda module, v, x: (_output(module, v, x), (v, x)), _excite_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _passed(module: nn.Module, variables: Variables, x: jax.Array) -> jax.Array:
  return _output(module, variables, x)


_passed.defvjp(
  lambda module, v, x: (_output(module, v, x), v),
  lambda _module, v, signal: (_no_signal(v), signal),
)


@jax.custom_vjp
def _shared(x: jax.Array, y: jax.Array) -> jax.Array:
  return x + y


def _shared_backward(residuals, signal):
  x, y = residuals
  share = signal / jnp.where(x + y == 0, EPSILON, x + y)
  return x * share, y * share


_shared.defvjp(lambda x, y: (x + y, (x, y)), _shared_backward)


def excitation(
  module: nn.Module, variables: Variables, inputs: tuple[jax.Array, ...]
) -> jax.Array | None:
  """Excitation backprop: a probability p is handed down in proportion to x w+.

  Convolutions, linear layers and mean pooling pass x * f*(w+, p / f(x, w+)), without bias, where
  f* is the transpose of f; so the sum of p is kept wherever the inputs x are not negative. Batch
  and response normalisation pass p unchanged, a residual sum shares it as its inputs share the
  sum, a ReLU and a maximum pass it as a gradient.

  Source: Zhang et al., Top-down neural attention by excitation backprop (ECCV 2016), eq. 5-10. The
  paper has no residual networks; sharing follows TorchRay. See `excitation_caffe` for the authors'.
  """
  match module:
    case Conv() | Dense() | WindowDense() | MeanPool() | AdaptiveMeanPool() | GlobalMean():
      return _excite(module, variables, *inputs)
    case BatchNorm() | LocalResponseNorm():
      return _passed(module, variables, *inputs)
    case Add():
      return _shared(*inputs)
  return None


def excitation_caffe(
  module: nn.Module, variables: Variables, inputs: tuple[jax.Array, ...]
) -> jax.Array | None:
  """`excitation`, but a residual sum passes all of p to the branch and none to the shortcut.

  This is what the authors' Caffe code does.
  """
  if isinstance(module, Add):
    branch, shortcut = inputs
    return branch + jax.lax.stop_gradient(shortcut)
  return excitation(module, variables, inputs)


def nearest(x: jax.Array, rows: int, columns: int) -> jax.Array:
  """Nearest-neighbour resampling of `[N, h, w, C]`: pixel i from floor((i + 1/2) h / rows)."""
  i = (2 * jnp.arange(rows) + 1) * x.shape[1] // (2 * rows)
  j = (2 * jnp.arange(columns) + 1) * x.shape[2] // (2 * columns)
  return x[:, i][:, :, j]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _unstrided(module: Conv, variables: Variables, x: jax.Array) -> jax.Array:
  return _output(module, variables, x)


def _unstrided_backward(module, residuals, signal):
  variables, x = residuals
  kernel, shape = variables['params']['kernel'], x.shape
  padding = module.padding_of(shape[1:3])

  convolve = depthwise_conv if module.depthwise else conv
  rows, columns = (
    size + low + high - module.kernel_size + 1
    for size, (low, high) in zip(shape[1:3], padding, strict=True)
  )
  _, back = jax.vjp(lambda h: convolve(h, kernel, 1, padding), x)
  return _no_signal(variables), back(nearest(signal, rows, columns))[0]


_unstrided.defvjp(lambda module, v, x: (_output(module, v, x), (v, x)), _unstrided_backward)


def stride_one(
  module: nn.Module, variables: Variables, inputs: tuple[jax.Array, ...]
) -> jax.Array | None:
  """A strided convolution goes back as one of stride 1, which leaves no grid in the heatmap.

  The signal is first resampled, by nearest neighbours, to the size A + 2 O - M + 1 that the output
  would have at stride 1 (A: size of the input, O: padding, M: size of the kernel).

  Source: Oramas et al., Visual explanation by interpretation (ICLR 2019), section 3.3, eq. 2-3.
  """
  if isinstance(module, Conv) and module.stride > 1:
    return _unstrided(module, variables, *inputs)
  return None


@dataclasses.dataclass(frozen=True)
class Together:
  """The rules of a method and those that its network is bound to, as one rule.

  Attributes:
    method: what an error calls the method.
    added: its rules.
    bound: those of the network.
  """

  method: str
  added: tuple[Rule, ...]
  bound: tuple[Rule, ...]

  def __call__(
    self, module: nn.Module, variables: Variables, inputs: tuple[jax.Array, ...]
  ) -> jax.Array | None:
    """The answer of either; a `UserError` where both have one, and not by the same rule."""
    (first, output), (second, other) = (
      _first_answer(rules, module, variables, inputs) for rules in (self.added, self.bound)
    )
    if first is None or second is None or first == second:
      return other if first is None else output
    raise UserError(
      f'{self.method} and the rule {getattr(second, "__name__", second)!r} of the network both say '
      f'how a signal goes back through a {type(module).__name__}; give it net.with_rules()'
    )


def _first_answer(
  rules: tuple[Rule, ...],
  module: nn.Module,
  variables: Variables,
  inputs: tuple[jax.Array, ...],
) -> tuple[Rule | None, jax.Array | None]:
  for rule in rules:
    output = rule(module, variables, inputs)
    if output is not None:
      return rule, output
  return None, None


RULES: dict[str, Any] = {
  'guided': guided,
  'deconvnet': deconvnet,
  'excitation': excitation,
  'excitation_caffe': excitation_caffe,
  'stride_one': stride_one,
}
