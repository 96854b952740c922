"""Every task by name: what a config's field `task` can say, and what runs it."""

from collections.abc import Callable

import ml_collections

from perturb.tasks import (
  adversarial,
  box,
  channels,
  compare,
  extremal,
  heatmaps,
  minimal_boxes,
  parts,
  representativeness,
  train,
)

# Function of (config, workdir), which returns how many items failed.
TASKS: dict[str, Callable[[ml_collections.ConfigDict, str], int]] = {
  'extremal': extremal.run,
  'heatmaps': heatmaps.run,
  'compare': compare.run,
  'channels': channels.run,
  'representativeness': representativeness.run,
  'minimal_boxes': minimal_boxes.run,
  'box': box.run,
  'parts': parts.run,
  'adversarial': adversarial.run,
  'train': train.run,
}
