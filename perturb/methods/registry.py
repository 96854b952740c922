"""Every method by name, as `method(f, x, target, **options) -> heatmap [B, H, W]`."""

from collections.abc import Callable, Collection
import functools
import inspect
from typing import Any, NamedTuple

import jax

from perturb.errors import UserError, did_you_mean
from perturb.methods import averaged_gradients as averaged
from perturb.methods import backprop, class_activation, excitation
from perturb.methods.combine_layers import combine_layers
from perturb.methods.extremal import extremal_perturbation
from perturb.methods.lime import lime
from perturb.methods.meaningful import meaningful_perturbation
from perturb.methods.meta_saliency import meta_saliency
from perturb.methods.minimal_image import minimal_image
from perturb.methods.occlusion import occlusion, variable_occlusion
from perturb.methods.rise import rise

Heatmap = Callable[..., jax.Array]


class Method(NamedTuple):
  """A method of attribution.

  Attributes:
    title: as a figure names it.
    function: of (f, x, target, **options).
    result: whether it returns a result with a heatmap in it, and not the heatmap.
  """

  title: str
  function: Callable[..., Any]
  result: bool = False


METHODS: dict[str, Method] = {
  'gradient': Method('Gradient', backprop.gradient),
  'gradient_sum': Method('Gradient [sum]', backprop.gradient_sum),
  'linear_approximation': Method('Linear approx.', backprop.linear_approximation),
  'norm_grad': Method('NormGrad', backprop.norm_grad),
  'selective_norm_grad': Method('Sel. NormGrad', backprop.selective_norm_grad),
  'guided_backprop': Method('Guided backprop', backprop.guided_backprop),
  'deconvnet': Method('DeconvNet', backprop.deconvnet),
  'smooth_grad': Method('SmoothGrad', averaged.smooth_grad),
  'integrated_gradients': Method('Integrated grad.', averaged.integrated_gradients),
  'expected_gradients': Method('Expected grad.', averaged.expected_gradients),
  'cam': Method('CAM', class_activation.cam),
  'grad_cam': Method('Grad-CAM', class_activation.grad_cam),
  'grad_cam_plus_plus': Method('Grad-CAM++', class_activation.grad_cam_plus_plus),
  'guided_grad_cam': Method('Guided Grad-CAM', class_activation.guided_grad_cam),
  'excitation_backprop': Method('Excitation BP', excitation.excitation_backprop),
  'contrastive_excitation_backprop': Method(
    'Contrastive EBP', excitation.contrastive_excitation_backprop
  ),
  'occlusion': Method('Occlusion', occlusion),
  'variable_occlusion': Method('Var. occlusion', variable_occlusion),
  'rise': Method('RISE', rise),
  'lime': Method('LIME', lime, result=True),
  'minimal_image': Method('Minimal image', minimal_image, result=True),
  'meaningful_perturbation': Method('Meaningful pert.', meaningful_perturbation, result=True),
  'extremal_perturbation': Method('Extremal pert.', extremal_perturbation, result=True),
}
# Written before a method's name: 'meta:norm_grad'.
WRAPPERS: dict[str, tuple[str, Callable[..., Any]]] = {
  'meta': ('meta', meta_saliency),
  'layers': ('layers', combine_layers),
}


def heatmap_of(method: Method, *arguments: Any, **options: Any) -> jax.Array:
  """The heatmap that a method gives: `[B, H, W]`."""
  out = method.function(*arguments, **options)
  return out.heatmap if method.result else out


def _options_of(function: Callable[..., Any], first: int) -> dict[str, bool]:
  """The options of a function after its first parameters, and whether each must be given."""
  parameters = list(inspect.signature(function).parameters.values())[first:]
  named = [p for p in parameters if p.kind != inspect.Parameter.VAR_KEYWORD]
  return {p.name: p.default is inspect.Parameter.empty for p in named}


def method_named(name: str) -> tuple[str, Heatmap, dict[str, bool]]:
  """A method, or a wrapped one, by name.

  Args:
    name: a key of `METHODS`; or, of one that returns a heatmap, 'meta:' for meta-saliency or
      'layers:' for several layers combined, and such a key.

  Returns:
    (title, function of (f, x, target, **options), its options and whether each must be given).

  Raises:
    UserError: for an unknown name, with its near matches.
  """
  wrapper, _, base = name.rpartition(':')
  if base not in METHODS:
    hint = did_you_mean(base, list(METHODS)) or f'; the methods are {", ".join(METHODS)}'
    raise UserError(f'method {name!r} is not known{hint}')
  method = METHODS[base]
  options = _options_of(method.function, 3)
  if not wrapper:
    return method.title, functools.partial(heatmap_of, method), options
  if wrapper not in WRAPPERS:
    raise UserError(f'method {name!r}: {wrapper!r} must be one of {", ".join(WRAPPERS)}')
  if method.result:
    raise UserError(f'method {name!r}: {base} gives no plain heatmap to wrap')
  title, wrap = WRAPPERS[wrapper]
  every = options | _options_of(wrap, 4)
  return f'{method.title}, {title}', functools.partial(wrap, method.function), every


def check_options(name: str, options: Collection[str]) -> None:
  """Raises a `UserError` that names an option which the method does not have, or lacks."""
  _, _, known = method_named(name)
  for option in options:
    if option not in known:
      hint = did_you_mean(option, list(known)) or f'; it has {", ".join(known)}'
      raise UserError(f'method {name!r} has no option {option!r}{hint}')
  for option, needed in known.items():
    if needed and option not in options:
      raise UserError(f'method {name!r} needs the option {option!r}: set it in config.options')
