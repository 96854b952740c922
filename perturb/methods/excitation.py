"""Excitation backprop, and its contrastive form.

Source: Zhang, Lin, Brandt, Shen and Sclaroff, "Top-down Neural Attention by Excitation Backprop",
ECCV 2016.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from perturb.base import Images, Target, pick
from perturb.compiled import compiled
from perturb.errors import UserError, check_choice
from perturb.nets import rules
from perturb.nets.layer_gradients import (
  check_at_layer,
  gradients,
  network_of,
  with_added_rules,
)
from perturb.nets.network import INPUT
from perturb.nets.pretrained import Pretrained
from perturb.ops.heatmaps import resize as to_size
from perturb.options import checked

Mode = Literal['torchray', 'caffe']
_RULES = {'torchray': rules.excitation, 'caffe': rules.excitation_caffe}


@compiled
def _excitation(net, x, targets, *, layer):
  return gradients(net, x, (layer,), targets).gradients[layer].sum(-1)


def _head(net: Pretrained) -> str:
  """The layer that the classifier reads: where the contrast is taken."""
  return net.network.layers()[-2].inputs[0]


def _negated(net: Pretrained) -> Pretrained:
  """The network whose logits are the negated ones: the dual units of Zhang et al., section 3.3."""
  layer = net.network.logits
  params = net.variables['params']
  negated = {name: -value for name, value in params[layer].items()}
  variables = net.variables | {'params': params | {layer: negated}}
  return dataclasses.replace(net, variables=variables)


@compiled
def _contrastive(net, x, targets, *, layer):
  head = _head(net)
  tops = [part.part(start=head) for part in (net, _negated(net))]

  def contrast(h: jax.Array) -> jax.Array:
    """A score of h `[N, c]` whose derivative is the difference of the two signals at h."""

    def signal(top: Pretrained) -> jax.Array:
      score, back = jax.vjp(lambda h: pick(top(h), targets), jax.lax.stop_gradient(h))
      return back(jnp.ones_like(score))[0]

    difference = signal(tops[0]) - signal(tops[1])
    return (h * difference).reshape(h.shape[0], -1).sum(-1)

  passed = net.part(stop=head).gradients(x, (layer,), contrast)
  return jnp.maximum(passed.gradients[layer].sum(-1), 0)


def _prepare(
  net: Pretrained, x: Images, target: Target, layer: str | None, mode: Mode
) -> tuple[Pretrained, jax.Array, jax.Array, str]:
  check_choice('mode', mode, list(_RULES))
  name = 'excitation backprop'
  net = with_added_rules(network_of(net, name), name, _RULES[mode])
  return net, *check_at_layer(net, x, target, layer)


@checked
def excitation_backprop(
  net: Pretrained,
  x: Images,
  target: Target,
  layer: str | None = None,
  *,
  mode: Mode = 'torchray',
  resize: bool = True,
) -> jax.Array:
  """sum_k p_k, the marginal winning probability of each position (Zhang et al., eq. 5-10).

  Args:
    net, x, target: see `perturb.base`; net is a network of `perturb.nets`. Rules that it is bound
      to hold too.
    layer: name of the layer where the probability is read: `'features.23'` of VGG16 and `'layer3'`
      of ResNet50 in the published comparisons; by default the last one with spatial extent before
      the classifier.
    mode: how a residual sum shares the signal: 'torchray' as its inputs share the sum, 'caffe' (the
      authors' code) all of it to the branch.
    resize: whether the heatmap is resized, bilinearly, to the image's size.

  Returns:
    `[B, H, W]`, not negative where the layer's activations are not. Without `resize` and with such
    activations everywhere it sums to at most one.

  Raises:
    UserError: as `extract_aggregate`; for a rule of the network that concerns the same layers.
  """
  net, x, targets, layer = _prepare(net, x, target, layer, mode)
  heat = _excitation(net, x, targets, layer=layer)
  return to_size(heat, x.shape[1:3]) if resize else heat


@checked
def contrastive_excitation_backprop(
  net: Pretrained,
  x: Images,
  target: Target,
  layer: str | None = None,
  *,
  mode: Mode = 'torchray',
  resize: bool = True,
) -> jax.Array:
  """Excitation for the target minus that against it, positive part (Zhang et al., section 3.3).

  Against it speaks the classifier with negated weights; the two are subtracted below the classifier
  and the difference goes down. See `excitation_backprop` for arguments and errors.
  """
  net, x, targets, layer = _prepare(net, x, target, layer, mode)
  head = _head(net)
  if head == INPUT or net.stop:
    raise UserError('contrastive excitation backprop needs a whole network, up to its classifier')
  heat = _contrastive(net, x, targets, layer=layer)
  return to_size(heat, x.shape[1:3]) if resize else heat
