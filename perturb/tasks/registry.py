"""What a config can ask for: its field `task`, and what runs it."""

from collections.abc import Callable

import ml_collections

from perturb.tasks import adversarial as adversarial_study
from perturb.tasks import channels as channel_study
from perturb.tasks import compare, experiments
from perturb.tasks import extremal as extremal_run
from perturb.tasks import heatmaps as heatmap_run

# Task -> function of (config, workdir), which returns how many items failed.
TASKS: dict[str, Callable[[ml_collections.ConfigDict, str], int]] = {
  'extremal': extremal_run.run,
  'heatmaps': heatmap_run.run,
  'compare': compare.run,
  'channels': channel_study.run,
  'representativeness': experiments.run_representativeness,
  'minimal_boxes': experiments.run_minimal_boxes,
  'box': experiments.run_box,
  'parts': experiments.run_parts,
  'adversarial': adversarial_study.run,
}
