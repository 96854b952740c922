"""Every method by name; `perturb.base` says what a method is."""

from collections.abc import Callable, Mapping
import functools
from typing import Any, NamedTuple

import jax

from perturb import options as options_module
from perturb.base import Images, Method, ResultMethod, Target
from perturb.errors import UserError, did_you_mean
from perturb.methods import averaged_gradients as averaged
from perturb.methods import backprop, class_activation, excitation
from perturb.methods.combine_layers import combine_layers
from perturb.methods.extremal import every_setting, extremal_perturbation
from perturb.methods.lime import lime
from perturb.methods.meaningful import meaningful_perturbation
from perturb.methods.meta_saliency import meta_saliency
from perturb.methods.minimal_image import minimal_image
from perturb.methods.occlusion import occlusion, variable_occlusion
from perturb.methods.rise import rise
from perturb.options import Option, options_of


class Entry(NamedTuple):
  """A method of attribution.

  Attributes:
    title: what a figure calls it.
    function: the method itself; see `perturb.base`.
    result: whether it returns a result with a heatmap in it, and not the heatmap.
    more: options that its signature does not name.
  """

  title: str
  function: Method | ResultMethod
  result: bool = False
  more: Mapping[str, Option] = {}


METHODS: dict[str, Entry] = {
  'gradient': Entry('Gradient', backprop.gradient),
  'gradient_sum': Entry('Gradient [sum]', backprop.gradient_sum),
  'linear_approximation': Entry('Linear approx.', backprop.linear_approximation),
  'norm_grad': Entry('NormGrad', backprop.norm_grad),
  'selective_norm_grad': Entry('Sel. NormGrad', backprop.selective_norm_grad),
  'guided_backprop': Entry('Guided backprop', backprop.guided_backprop),
  'deconvnet': Entry('DeconvNet', backprop.deconvnet),
  'smooth_grad': Entry('SmoothGrad', averaged.smooth_grad),
  'integrated_gradients': Entry('Integrated grad.', averaged.integrated_gradients),
  'expected_gradients': Entry('Expected grad.', averaged.expected_gradients),
  'cam': Entry('CAM', class_activation.cam),
  'grad_cam': Entry('Grad-CAM', class_activation.grad_cam),
  'grad_cam_plus_plus': Entry('Grad-CAM++', class_activation.grad_cam_plus_plus),
  'guided_grad_cam': Entry('Guided Grad-CAM', class_activation.guided_grad_cam),
  'excitation_backprop': Entry('Excitation BP', excitation.excitation_backprop),
  'contrastive_excitation_backprop': Entry(
    'Contrastive EBP', excitation.contrastive_excitation_backprop
  ),
  'occlusion': Entry('Occlusion', occlusion),
  'variable_occlusion': Entry('Var. occlusion', variable_occlusion),
  'rise': Entry('RISE', rise),
  'lime': Entry('LIME', lime, result=True),
  'minimal_image': Entry('Minimal image', minimal_image, result=True),
  'meaningful_perturbation': Entry('Meaningful pert.', meaningful_perturbation, result=True),
  'extremal_perturbation': Entry(
    'Extremal pert.', extremal_perturbation, result=True, more=every_setting()
  ),
}
# Written before a method's name: 'meta:norm_grad'.
WRAPPERS: dict[str, tuple[str, Callable[..., jax.Array]]] = {
  'meta': ('meta', meta_saliency),
  'layers': ('layers', combine_layers),
}


def heatmap_of(
  entry: Entry, f: Any, x: Images, target: Target, *layer: Any, **options: Any
) -> jax.Array:
  """The heatmap that a method gives: `[B, H, W]`."""
  out = entry.function(f, x, target, *layer, **options)
  return out if isinstance(out, jax.Array) else out.heatmap


def method_named(name: str) -> tuple[str, Method, dict[str, Option]]:
  """A method, or a wrapped one, by name.

  Args:
    name: a key of `METHODS`; or, of one that returns a heatmap, 'meta:' for meta-saliency or
      'layers:' for several layers combined, and such a key.

  Returns:
    (title, function of (f, x, target, **options), its options).

  Raises:
    UserError: for an unknown name, with its near matches.
  """
  wrapper, _, base = name.rpartition(':')
  if base not in METHODS:
    hint = did_you_mean(base, list(METHODS)) or f'; the methods are {", ".join(METHODS)}'
    raise UserError(f'method {name!r} is not known{hint}')
  entry = METHODS[base]
  options = {**options_of(entry.function), **entry.more}
  if not wrapper:
    return entry.title, functools.partial(heatmap_of, entry), options
  if wrapper not in WRAPPERS:
    raise UserError(f'method {name!r}: {wrapper!r} must be one of {", ".join(WRAPPERS)}')
  if entry.result:
    raise UserError(f'method {name!r}: {base} gives no plain heatmap to wrap')
  title, wrap = WRAPPERS[wrapper]
  every = options | options_of(wrap, 4)
  return f'{entry.title}, {title}', functools.partial(wrap, entry.function), every


def check_options(name: str, options: Mapping[str, Any]) -> None:
  """Refuses options that a method does not have, or of another type, or lacking.

  Args:
    name: of the method, as `method_named`.
    options: option -> value.

  Raises:
    UserError: names the first one and what would be right.
  """
  options_module.check_options(f'method {name!r}', method_named(name)[2], options)
