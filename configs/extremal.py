"""Extremal perturbations of photographs, by the fast solver."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """The default experiment; any field can be set on the command line: --config.field=value."""
  config = ml_collections.ConfigDict()
  config.task = 'extremal'

  # What is explained.
  config.images = 'chelsea, coffee'  # Paths, folders, globs or bundled names, comma-separated.
  config.fit = 'crop'  # To the network's size: 'crop', 'aspect' or 'squash'.
  config.target = ''  # Class name or index; '' for the class predicted.
  config.layer = ''  # Explain channel `target` of this layer (its spatial mean), not a class.
  config.network = 'efficientnet_lite0'  # A name of perturb.nets.NETWORKS, or a saved one's folder.
  config.weights = ''  # Path of a .pth or .safetensors file; '' for the package's; 'random'.
  config.preprocessing = ''  # 'imagenet', 'caffe', ...; '' for the usual one of the network.
  config.class_names = ''  # Path of a text file, a class a line; '' for ImageNet's.

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
    {  # Of the mode; see perturb/solvers.py.
      'iterations': 50,  # Steps of Adam.
      'learning_rate': 0.1,
    }
  )
  config.seed = 0  # Of the PRNG key.
  config.chunk = 0  # Problems solved side by side; 0: 1 on a CPU, else 32.

  config.threshold = 1.0  # a* is the smallest area that keeps this part of the score.
  return config
