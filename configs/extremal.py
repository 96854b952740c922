"""Extremal perturbations of photographs, by the fast solver."""

import ml_collections

from configs import subjects


def get_config() -> ml_collections.ConfigDict:
  """The default experiment; any field can be set on the command line: --config.field=value."""
  config = subjects.get_config()
  config.task = 'extremal'

  # What is explained, beside configs/subjects.py; here `fit` can also be 'aspect'.
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
  config.mode = 'fast'  # 'fast' (ours), 'paper' or 'torchray'.
  config.settings = ml_collections.ConfigDict(
    {  # Of the mode; see perturb/methods/extremal_solvers.py.
      'iterations': 50,  # Steps of Adam.
      'learning_rate': 0.1,
    }
  )
  config.seed = 0  # Of the PRNG key.
  config.chunk = 0  # Problems solved side by side; 0: as many as suit the machine.

  # The run.
  config.batch = 0  # Images that a device explains in one call; 0: as many as suit it.
  config.workers = 4  # Threads of each process that read and resize pictures.
  config.figures = 16  # Pictures drawn, and shown in the report: the first ones.

  config.threshold = 1.0  # a* is the smallest area that keeps this part of the score.
  return config
