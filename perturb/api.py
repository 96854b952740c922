"""The names of the package root: what `import perturb` offers."""

from perturb import nets, studies
from perturb.errors import UserError
from perturb.memory import keep_freed_memory
from perturb.methods.area_growth import (
  has_evidence,
  is_monotonic,
  kept_fraction,
  smallest_area,
)
from perturb.methods.averaged_gradients import expected_gradients, integrated_gradients, smooth_grad
from perturb.methods.backprop import (
  deconvnet,
  extract_aggregate,
  gradient,
  gradient_sum,
  guided_backprop,
  linear_approximation,
  norm_grad,
  selective_norm_grad,
)
from perturb.methods.channels import ChannelResult, channel_attribution, class_channels
from perturb.methods.class_activation import cam, grad_cam, grad_cam_plus_plus, guided_grad_cam
from perturb.methods.combine_layers import (
  combine,
  combine_layers,
  feature_spread,
  linear_weights,
  probe_accuracy,
  uniform_weights,
)
from perturb.methods.excitation import contrastive_excitation_backprop, excitation_backprop
from perturb.methods.extremal import ExtremalResult, extremal_perturbation, render_masks
from perturb.methods.heatmap_regions import RegionScores, region_scores
from perturb.methods.inversion import (
  Inversion,
  activation_maximisation,
  caricature,
  feature_inversion,
  pixel_inversion,
)
from perturb.methods.lime import LimeResult, lime
from perturb.methods.meaningful import MeaningfulResult, meaningful_perturbation
from perturb.methods.meta_saliency import meta_saliency
from perturb.methods.minimal_image import MinimalImage, minimal_image
from perturb.methods.nested_regions import Growth, nested_growth, nested_heatmap
from perturb.methods.occlusion import occlusion, variable_occlusion
from perturb.methods.registry import METHODS
from perturb.methods.rise import rise
from perturb.ops.superpixels import superpixels
from perturb.store.explanations import Explanations
from perturb.store.results import Results

__all__ = [
  'METHODS',
  'ChannelResult',
  'Explanations',
  'ExtremalResult',
  'Growth',
  'Inversion',
  'LimeResult',
  'MeaningfulResult',
  'MinimalImage',
  'RegionScores',
  'Results',
  'UserError',
  'activation_maximisation',
  'cam',
  'caricature',
  'channel_attribution',
  'class_channels',
  'combine',
  'combine_layers',
  'contrastive_excitation_backprop',
  'deconvnet',
  'excitation_backprop',
  'expected_gradients',
  'extract_aggregate',
  'extremal_perturbation',
  'feature_inversion',
  'feature_spread',
  'grad_cam',
  'grad_cam_plus_plus',
  'gradient',
  'gradient_sum',
  'guided_backprop',
  'guided_grad_cam',
  'has_evidence',
  'integrated_gradients',
  'is_monotonic',
  'keep_freed_memory',
  'kept_fraction',
  'lime',
  'linear_approximation',
  'linear_weights',
  'meaningful_perturbation',
  'meta_saliency',
  'minimal_image',
  'nested_growth',
  'nested_heatmap',
  'nets',
  'norm_grad',
  'occlusion',
  'pixel_inversion',
  'probe_accuracy',
  'region_scores',
  'render_masks',
  'rise',
  'selective_norm_grad',
  'smallest_area',
  'smooth_grad',
  'studies',
  'superpixels',
  'uniform_weights',
  'variable_occlusion',
]
