"""Methods x metrics on one annotated dataset, in one table."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default benchmark; any field can be set on the command line: --config.field=value."""
  config = common.subjects()
  config.task = 'benchmark'
  config.images = 'masks:data/composites'  # Annotated pictures; see docs/benchmarks.md.
  config.target = 'label'
  # How pictures are fitted: here `fit` can also be 'aspect'.
  config.multiple = 16  # With 'aspect', longer sides are cropped to a multiple of so many pixels.

  # Whose heatmaps are measured; see docs/methods.md.
  config.methods = (
    'gradient',
    'guided_backprop',
    'smooth_grad',
    'integrated_gradients',
    'linear_approximation',
    'norm_grad',
    'selective_norm_grad',
    'grad_cam',
    'excitation_backprop',
    'contrastive_excitation_backprop',
    'occlusion',
    'rise',
    'extremal_perturbation',
  )
  config.options = ml_collections.ConfigDict(
    {  # Method -> its arguments.
      # Masks of the mode 'fast' point at the object no more often than the centre does.
      'extremal_perturbation': {'mode': 'robust', 'areas': (0.025, 0.05, 0.1, 0.2)},
    }
  )
  config.references = 'astronaut, camera, motorcycle_left, rocket'  # Of expected_gradients.
  # Heatmaps that are there already, comma-separated: workdirs of other runs, or folders with a .npy
  # or .png for each picture.
  config.heatmaps = ''
  config.baselines = ('centre', 'noise')  # Heatmaps that look at nothing.
  # 'pointing', 'localisation', 'overlap', 'parts', 'deletion', 'box_occlusion',
  # 'class_sensitivity', 'sanity'; see docs/benchmarks.md.
  config.metrics = ('pointing', 'localisation', 'overlap', 'deletion', 'class_sensitivity')
  add_metrics(config)
  common.add_run(config)
  return config


def add_metrics(config: ml_collections.ConfigDict) -> None:
  """How the metrics are computed."""
  # Only images whose class is among so many of the network's highest scores count; 0: all of them.
  config.top = 0
  config.mode = 'paper'  # Of the pointing game; 'torchray': as the authors' released code.
  config.tolerance = 15  # Of the pointing game, in pixels of the picture.
  config.smooth = 0.0  # Sigma of a blur before that, as a share of the shorter side; 0: none.
  config.threshold = 'value'  # Of the localisation: 'value', 'energy' or 'mean'.
  config.steps = 64  # Of the deletion and insertion curves; RISE's 224 pixels a step are 224.
  config.fill = 'constant'  # What deleted pixels become: 'constant', 'blur' or 'road'.
  config.depths = 6  # To so many layers, from the top to all, weights are drawn for 'sanity'.
  config.resamples = 1000  # Of the bootstrap intervals.
  config.seed = 0  # Of the intervals, and of the weights that are drawn anew.
