"""Backpropagation saliency as extract x aggregate: gradient, linear approximation, NormGrad, ...

A shared weight's gradient is a sum over the positions u of a layer. *Extract* takes the summand of
each position for a weight of the layer, or of a virtual identity put after it; *aggregate* makes a
number of it. With x_u the activations `[c]` and g_u the gradients of the target's score:

  extract    summand                      aggregate
  bias       g_u                          sum        sum_k v_k
  scaling    g_u * x_u                    max        max_k |v_k|
  conv       g_u x_u,NxN^T                norm       ||v||
  real       g_u^out x_u,NxN^in^T         selective  ||max(v, 0)||

Source: Rebuffi, Fong, Ji and Vedaldi, "There and Back Again: Revisiting Backpropagation Saliency
Methods", CVPR 2020, tables 1 and 2. Where the authors' code differentiates the negated logit, here
it is the logit, as in their package. Shapes: B images, a layer of h x w positions.
"""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from perturb.base import Function, Images, Target
from perturb.compiled import compiled
from perturb.errors import UserError, check_choice
from perturb.nets import rules
from perturb.nets.kernels.padding import Padding, symmetric
from perturb.nets.layer_gradients import (
  check_at_layer,
  gradients,
  network_of,
  with_added_rules,
)
from perturb.nets.layers import Conv
from perturb.nets.network import INPUT, Rule
from perturb.nets.pretrained import Pretrained
from perturb.ops.heatmaps import resize as to_size
from perturb.options import checked

Extract = Literal['bias', 'scaling', 'conv', 'real']
Aggregate = Literal['sum', 'max', 'norm', 'selective']


def _root(squares: ArrayLike) -> jax.Array:
  """The square root of what is not negative; at zero its gradient is zero, not infinite."""
  values = jnp.asarray(squares)
  positive = values > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, values, 1)), 0)


def aggregate_channels(values: jax.Array, aggregate: Aggregate) -> jax.Array:
  """One number for the channels of each position: `[..., c]` to `[...]`."""
  match aggregate:
    case 'sum':
      return values.sum(-1)
    case 'max':
      return jnp.abs(values).max(-1)
    case 'norm':
      return _root(jnp.square(values).sum(-1))
    case 'selective':
      return _root(jnp.square(jnp.maximum(values, 0)).sum(-1))


def _window_sum(values: jax.Array, window: int, stride: int, padding: Padding) -> jax.Array:
  """Sum of `[B, h, w, ...]` over the windows that a convolution sees, zeros outside."""
  if window == 1 and stride == 1:
    return values
  ones = (1,) * (values.ndim - 3)
  return jax.lax.reduce_window(
    values,
    0.0,
    jax.lax.add,
    (1, window, window, *ones),
    (1, stride, stride, *ones),
    ((0, 0), *padding, *((0, 0) for _ in ones)),
  )


def _aggregate_outer(
  g: jax.Array, x: jax.Array, aggregate: Aggregate, window: int, stride: int, padding: Padding
) -> jax.Array:
  """The aggregate of the matrix g_u x_u,NxN^T, of which only sums and norms are ever formed."""
  total = functools.partial(_window_sum, window=window, stride=stride, padding=padding)
  match aggregate:
    case 'sum':
      return g.sum(-1) * total(x.sum(-1))
    case 'norm':
      return _root(jnp.square(g).sum(-1) * total(jnp.square(x).sum(-1)))
    case 'selective':  # A product is positive where both factors have the same sign.
      signs = [(jnp.maximum(s * g, 0), jnp.maximum(s * x, 0)) for s in (1, -1)]
      return _root(sum(jnp.square(a).sum(-1) * total(jnp.square(b).sum(-1)) for a, b in signs))
    case 'max':
      largest = jax.lax.reduce_window(
        jnp.abs(x).max(-1),
        0.0,
        jax.lax.max,
        (1, window, window),
        (1, stride, stride),
        ((0, 0), *padding),
      )
      return jnp.abs(g).max(-1) * largest


def _aggregate_depthwise(
  g: jax.Array, x: jax.Array, aggregate: Aggregate, window: int, stride: int, padding: Padding
) -> jax.Array:
  """As `_aggregate_outer`, where channel k of the output sees channel k of the input alone."""
  total = functools.partial(_window_sum, window=window, stride=stride, padding=padding)
  match aggregate:
    case 'sum':
      return (g * total(x)).sum(-1)
    case 'norm':
      return _root((jnp.square(g) * total(jnp.square(x))).sum(-1))
    case 'selective':
      signs = [(jnp.maximum(s * g, 0), jnp.maximum(s * x, 0)) for s in (1, -1)]
      return _root(sum((jnp.square(a) * total(jnp.square(b))).sum(-1) for a, b in signs))
    case 'max':
      size = (1, window, window, 1)
      largest = jax.lax.reduce_window(
        jnp.abs(x), 0.0, jax.lax.max, size, (1, stride, stride, 1), ((0, 0), *padding, (0, 0))
      )
      return (jnp.abs(g) * largest).max(-1)


def _real_conv(f: Function, layer: str) -> tuple[str, Conv]:
  """The convolution at a layer, and the layer that it reads."""
  net = network_of(f, "extract 'real'")
  name = net.network.resolve(layer)
  entry = {entry.name: entry for entry in net.network.layers()}.get(name)
  module = entry.build(parent=None) if entry else None
  if not entry or not isinstance(module, Conv):
    raise UserError(
      f"layer {layer!r} is not a convolution: extract 'real' needs one; "
      "'conv' puts a virtual one after any layer"
    )
  return entry.inputs[0], module


@compiled
def _virtual(f, x, targets, *, layer, extract, aggregate, window):
  passed = gradients(f, x, (layer,), targets)
  h, g = passed.activations[layer], passed.gradients[layer]
  match extract:
    case 'bias':
      return aggregate_channels(g, aggregate)
    case 'scaling':
      return aggregate_channels(g * h, aggregate)
  return _aggregate_outer(g, h, aggregate, window, 1, symmetric(window // 2))


@compiled
def _real(f, x, targets, *, layer, below, module, aggregate):
  passed = gradients(f, x, (below, layer), targets)
  h, g = passed.activations[below], passed.gradients[layer]
  combine = _aggregate_depthwise if module.depthwise else _aggregate_outer
  padding = module.padding_of(h.shape[1:3])
  return combine(g, h, aggregate, module.kernel_size, module.stride, padding)


@checked
def extract_aggregate(
  f: Function,
  x: Images,
  target: Target,
  layer: str | None = None,
  *,
  extract: Extract,
  aggregate: Aggregate,
  window: int = 1,
  resize: bool = True,
) -> jax.Array:
  """A heatmap of how much each position contributes to the gradient of a layer's shared weights.

  Args:
    f, x, target: see `perturb.base`; f is a network of `perturb.nets`, or any differentiable
      function, of which `'input'` is the only layer.
    layer: name of the layer, or what the papers call it. By default the last one with spatial
      extent before the classifier; `'input'` for a plain function.
    extract: the weight whose gradient is taken apart: a virtual 'bias', 'scaling' or 'conv' after
      the layer, or the 'real' convolution that the layer is.
    aggregate: of the channels: 'sum', 'max' of the absolute values, 'norm', or 'selective': the
      norm of the positive part.
    window: N, side of the virtual convolution in positions, odd; zeros surround the layer.
    resize: whether the heatmap is resized, bilinearly, from the layer's size to the image's.

  Returns:
    `[B, H, W]`, or `[B, h, w]` without `resize`.

  Raises:
    UserError: for an unknown layer, or one without spatial extent.
  """
  check_choice('extract', extract, get_args(Extract))
  check_choice('aggregate', aggregate, get_args(Aggregate))
  if window < 1 or window % 2 == 0:
    raise UserError(f'window must be odd and positive, not {window}')
  x, targets, layer = check_at_layer(f, x, target, layer)
  if extract == 'real':
    below, module = _real_conv(f, layer)
    heat = _real(f, x, targets, layer=layer, below=below, module=module, aggregate=aggregate)
  else:
    heat = _virtual(f, x, targets, layer=layer, extract=extract, aggregate=aggregate, window=window)
  return to_size(heat, x.shape[1:3]) if resize else heat


@checked
def gradient(
  f: Function, x: Images, target: Target, layer: str = INPUT, *, resize: bool = True
) -> jax.Array:
  """max_k |g_k| (Simonyan et al., ICLR workshop 2014); see `extract_aggregate`."""
  return extract_aggregate(f, x, target, layer, extract='bias', aggregate='max', resize=resize)


@checked
def gradient_sum(
  f: Function, x: Images, target: Target, layer: str = INPUT, *, resize: bool = True
) -> jax.Array:
  """sum_k g_k, with its sign; see `extract_aggregate`."""
  return extract_aggregate(f, x, target, layer, extract='bias', aggregate='sum', resize=resize)


@checked
def linear_approximation(
  f: Function, x: Images, target: Target, layer: str | None = None, *, resize: bool = True
) -> jax.Array:
  """sum_k g_k x_k, with its sign: gradient x input, at any layer; see `extract_aggregate`."""
  return extract_aggregate(f, x, target, layer, extract='scaling', aggregate='sum', resize=resize)


@checked
def norm_grad(
  f: Function,
  x: Images,
  target: Target,
  layer: str | None = None,
  *,
  window: int = 1,
  resize: bool = True,
) -> jax.Array:
  """NormGrad, ||g|| ||x_NxN|| (Rebuffi et al., CVPR 2020, table 2); see `extract_aggregate`."""
  return extract_aggregate(
    f, x, target, layer, extract='conv', aggregate='norm', window=window, resize=resize
  )


@checked
def selective_norm_grad(
  f: Function, x: Images, target: Target, layer: str | None = None, *, resize: bool = True
) -> jax.Array:
  """Selective NormGrad, ||max(g * x, 0)|| (Rebuffi et al., table 2); see `extract_aggregate`."""
  return extract_aggregate(
    f, x, target, layer, extract='scaling', aggregate='selective', resize=resize
  )


def _ruled(net: Pretrained, method: str, rule: Rule, stride_one: bool) -> Pretrained:
  more = (rules.stride_one,) if stride_one else ()
  return with_added_rules(network_of(net, method), method, rule, *more)


@checked
def guided_backprop(
  net: Pretrained,
  x: Images,
  target: Target,
  layer: str = INPUT,
  *,
  stride_one: bool = False,
  resize: bool = True,
) -> jax.Array:
  """max_k |p_k| of the signal p of guided backpropagation (see `nets.rules.guided`).

  Args:
    net, x, target: see `perturb.base`; net is a network of `perturb.nets`. Rules that it is bound
      to hold too.
    layer: name of the layer where the signal p is read.
    stride_one: strided convolutions go back as resampled ones of stride 1, which leaves no grid in
      the heatmap (Oramas et al., ICLR 2019).
    resize: as in `extract_aggregate`.

  Returns:
    `[B, H, W]`.

  Raises:
    UserError: as `extract_aggregate`; for a rule of the network that concerns a ReLU.
  """
  net = _ruled(net, 'guided backpropagation', rules.guided, stride_one)
  return gradient(net, x, target, layer, resize=resize)


@checked
def deconvnet(
  net: Pretrained,
  x: Images,
  target: Target,
  layer: str = INPUT,
  *,
  stride_one: bool = False,
  resize: bool = True,
) -> jax.Array:
  """max_k |p_k| of DeconvNet's signal (see `nets.rules.deconvnet`); as `guided_backprop`."""
  net = _ruled(net, 'DeconvNet', rules.deconvnet, stride_one)
  return gradient(net, x, target, layer, resize=resize)
