"""A concept vector as a network, which perturb can explain: where does it see the concept?"""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError
from perturb.nets import Pretrained
from perturb.nets.layers import Dense, GlobalMean
from perturb.nets.network import Layers, Network

SOFTNESS = 0.1  # Of a threshold, as a share of it.
CONCEPT, SOFT = 'concept', 'concept_threshold'


def concept_function(
  net: Pretrained,
  layer: str,
  vector: np.ndarray,
  thresholds: np.ndarray | None = None,
) -> Pretrained:
  """A network whose one output is how much of a concept is in a picture, for `perturb` to explain.

  It is the network up to the layer, then sum_k w_k mean_ij A_ijk; with thresholds, A is replaced by
  sigma((A / T - 1) / 0.1), a threshold that has a gradient. Every method of `perturb` takes it, and
  every layer below is still there: `perturb.cam(f, x, 0)` is the map sum_k w_k A_k itself,
  `perturb.extremal_perturbation(f, x, 0)` says which part of the picture makes it large.

  Example:
    >>> wheel = concepts.concept_function(net, 'relu3', np.ones(10))
    >>> perturb.grad_cam(wheel, x, 0).shape
    (1, 32, 32)

  Args:
    net: the network, from the images.
    layer: whose filters the vector weights.
    vector: w, `[K]`.
    thresholds: T_k, `[K]`; None to sum the activations as they are. Where T_k is 0, 1 stands in
      its place in A / T - 1.

  Raises:
    UserError: for a layer that the network does not have, one without maps, and vectors or
      thresholds of other filters.
  """
  layer = check_vector(net, layer, vector, thresholds)
  params = dict(net.variables['params'])
  kernel = np.asarray(vector, np.float32)[:, None]
  params[CONCEPT] = {'kernel': kernel, 'bias': np.zeros(1, np.float32)}
  if thresholds is not None:
    params[SOFT] = {'levels': np.asarray(thresholds, np.float32)}
  return dataclasses.replace(
    net,
    network=_ConceptNetwork(1, net.network, layer, thresholds is not None),
    variables={**net.variables, 'params': params},
    class_names=('concept',),
    stop=None,
  )


class _SoftThreshold(nn.Module):
  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    levels = self.param('levels', nn.initializers.ones, x.shape[-1:])
    return jax.nn.sigmoid((x - levels) / (SOFTNESS * jnp.where(levels > 0, levels, 1)))


class _ConceptNetwork(Network):
  """The layers of another network up to one of them, then what a vector makes of its filters."""

  classes: int = 1
  base: Any = None
  layer: str = ''
  soft: bool = False

  def build_layers(self) -> Layers:
    layers = Layers()
    for entry in self.base.build_layers():
      layers.append(entry)
      if entry.name == self.layer:
        break
    if self.soft:
      layers.add(SOFT, _SoftThreshold)
    layers.add('concept_mean', GlobalMean)
    layers.add(CONCEPT, functools.partial(Dense, 1))
    return layers

  def aliases(self) -> dict[str, str]:
    kept = {entry.name for entry in self.build_layers()}
    return {alias: name for alias, name in self.base.aliases().items() if name in kept}


def check_vector(
  net: Pretrained, layer: str, vector: np.ndarray, thresholds: np.ndarray | None
) -> str:
  """The layer's own name.

  Raises:
    UserError: as of `concept_function`.
  """
  name = net.network.resolve(layer)
  shape = net.shapes([name])[name].shape
  if len(shape) != 4:
    raise UserError(f'layer {layer!r} has one value a filter, no map: nothing to segment with')
  for what, values in (('vector', vector), ('thresholds', thresholds)):
    if values is not None and np.shape(values) != (shape[-1],):
      raise UserError(
        f'{what} must be [{shape[-1]}], the filters of {layer}, not {np.shape(values)}'
      )
  return name
