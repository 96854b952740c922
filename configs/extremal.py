"""Extremal perturbations of photographs, by the fast solver."""

import ml_collections

from configs import common


def get_config() -> ml_collections.ConfigDict:
  """The default experiment; any field can be set on the command line: --config.field=value."""
  config = common.subjects()
  config.task = 'extremal'

  # What is explained, beside configs/common.py; here `fit` can also be 'aspect'.
  config.multiple = 16  # With 'aspect', longer sides are cropped to a multiple of so many pixels.
  config.layer = ''  # Explain channel `target` of this layer (its spatial mean), not a class.

  # The perturbation.
  config.areas = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)  # Fractions of the image, each in (0, 1).
  config.game = 'preserve'  # 'preserve', 'delete' or 'hybrid'.
  config.objective = 'score'  # 'score', or 'contrastive': minus the best other class.
  config.perturbation = 'blur'  # 'blur', or 'fade' to black.
  config.levels = 8  # Of the blur pyramid.
  config.sigma_max = 20.0  # Of the strongest blur, in pixels.

  # The solver.
  config.mode = 'fast'  # 'fast' or 'robust' (ours), 'paper' or 'torchray'.
  config.settings = ml_collections.ConfigDict(
    {  # Of the mode; see perturb/methods/extremal_solvers.py.
      'iterations': 50,  # Steps of Adam.
      'learning_rate': 0.1,
    }
  )
  config.seed = 0  # Of the PRNG key.
  config.chunk = 0  # Problems solved side by side; 0: as many as suit the machine.

  common.add_run(config)

  # The smallest area.
  config.threshold = 1.0  # a* is the smallest area that keeps this part of the score.
  return config
