"""Every method side by side, on the same images, class and network."""

import ml_collections

from configs import common

METHODS = (
  'gradient',
  'smooth_grad',
  'integrated_gradients',
  'linear_approximation',
  'norm_grad',
  'selective_norm_grad',
  'meta:selective_norm_grad',
  'guided_backprop',
  'deconvnet',
  'cam',
  'grad_cam',
  'grad_cam_plus_plus',
  'guided_grad_cam',
  'contrastive_excitation_backprop',
  'occlusion',
  'rise',
  'lime',
  'minimal_image',
  'meaningful_perturbation',
  'extremal_perturbation',
)


def get_config() -> ml_collections.ConfigDict:
  """The default comparison; any field can be set on the command line: --config.field=value."""
  config = common.subjects()
  config.task = 'compare'

  config.references = 'astronaut, camera, motorcycle_left, rocket'  # Of expected_gradients.

  # By which methods: see docs/methods.md. 'meta:' before a name is meta-saliency,
  # 'layers:' combines several layers (here those of the default network).
  config.methods = METHODS
  config.options = ml_collections.ConfigDict(
    {  # Method -> its arguments.
      'rise': {'masks': 2000},
      'layers:linear_approximation': {'layers': ('blocks.4', 'blocks.9', 'head')},
      'extremal_perturbation': {'areas': (0.025, 0.05, 0.1, 0.2)},
    }
  )
  common.add_run(config)
  return config
