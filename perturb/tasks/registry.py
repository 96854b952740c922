"""Every task by name: what a config's field `task` can say, and what runs it.

A task is a function `run(config, workdir)`. `config` is as the file in configs/ of the task's name
gives it; `workdir` is a folder, made if missing. It returns the number of images, methods of an
image and items that failed; each has been named on stderr and in `failures.csv`. It raises a
`UserError` for a config that cannot be run at all, or a workdir that cannot be written any more;
what that holds stays readable.

Every run over a dataset leaves `config.json`, `versions.json`, `images.csv`, `results.zarr`,
`timings.zarr`, `metrics/` and `summary.json`; what else a task leaves is said by its `run`.
"""

from collections.abc import Callable

import ml_collections

from perturb.tasks import (
  adversarial,
  an8flower,
  augmentations,
  benchmark,
  box,
  channels,
  compare,
  composites,
  extremal,
  heatmaps,
  minimal_boxes,
  occlusion_robustness,
  parts,
  representativeness,
  roar,
  train,
)

TASKS: dict[str, Callable[[ml_collections.ConfigDict, str], int]] = {
  'extremal': extremal.run,
  'heatmaps': heatmaps.run,
  'compare': compare.run,
  'channels': channels.run,
  'representativeness': representativeness.run,
  'minimal_boxes': minimal_boxes.run,
  'occlusion_robustness': occlusion_robustness.run,
  'box': box.run,
  'parts': parts.run,
  'adversarial': adversarial.run,
  'train': train.run,
  'benchmark': benchmark.run,
  'augmentations': augmentations.run,
  'roar': roar.run,
  'composites': composites.run,
  'an8flower': an8flower.run,
}
