"""The task of configs/minimal_boxes.py: the smallest box that suppresses a class, by method."""

import jax
import ml_collections
import numpy as np

from perturb.console import format_table, percent
from perturb.evaluate.boxes import THRESHOLDS, MinimalBoxes, smallest_boxes, threshold_boxes
from perturb.figures import studies as figures
from perturb.figures.style import png
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment, Share, Step
from perturb.run.labels import targets_of
from perturb.run.loop import Outcome, Run
from perturb.run.shown import shown_pictures
from perturb.run.steps import heatmap, prediction, step_name
from perturb.run.subjects import dataset_of, load_network, options_of
from perturb.run.summary import sum_up
from perturb.store import files
from perturb.store.arrays import Field
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks import heatmap_files
from perturb.tasks.checks import FREE, check_methods

BOXES = ('image', 'method', 'suppression', 'area', 'top', 'left', 'bottom', 'right', 'doubt')
UNSEEN = 'the class is no more probable in the image than in the blurred one'


def _boxes(method: str, config: ml_collections.ConfigDict) -> Step:
  """The boxes of a method's heatmap at all thresholds, and what each leaves."""
  source = f'{step_name(method)}/heatmap'
  thresholds = len(THRESHOLDS[config.mode])

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    boxes, scores = threshold_boxes(
      net,
      share['x'],
      share['target'],
      share[source],
      mode=config.mode,
      sigma_max=config.sigma_max,
    )
    return {'boxes': boxes, 'scores': scores}

  fields = {
    'boxes': Field('int32', ('threshold', 'side'), (thresholds, 4)),
    'scores': Field('float32', ('threshold',), (thresholds,)),
  }
  return Step(explain, lambda _: fields, name=_name(method), needs=('target', source))


def _name(method: str) -> str:
  return f'{step_name(method)}_boxes'


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """The smallest box around each method's heatmap that suppresses the class (sec. 5.3, fig. 8).

  The workdir gets what every run gets, with a method's heatmap and its boxes in subgroups;
  `boxes.csv`, `boxes.png`; and the heatmaps of the first pictures as files.
  """
  check_methods(config)
  dataset, net = dataset_of(config), load_network(config)
  methods = [heatmap(method, options_of(config, method)) for method in config.methods]
  boxes = [_boxes(method, config) for method in config.methods]
  experiment = Experiment(net, (prediction(), *methods, *boxes), targets_of(net, dataset, config))
  folder = Workdir(workdir, config, [RESULTS, heatmap_files.FOLDER], free=(*FREE, 'methods'))
  heatmap_files.adopt_heatmaps(folder, experiment, dataset, config)
  outcome = Run(experiment, dataset, config, folder.path)()
  names = outcome.done()
  if names and jax.process_index() == 0:
    stored = Results(folder.path)
    _tabulate_and_draw(folder, (net.size, net.size), outcome, stored)
    shown = shown_pictures(net, dataset, names[: config.figures], config, stored)
    heatmap_files.write_heatmaps(folder, config.methods, outcome, stored, shown)
  return sum_up(folder, outcome)


def _tabulate_and_draw(
  folder: Workdir, size: tuple[int, int], outcome: Outcome, stored: Results
) -> None:
  """Writes the table of boxes, the means of their areas, and their figure."""
  config = folder.config
  found = {method: _smallest(method, config, size, outcome, stored) for method in config.methods}
  rows = [
    (
      *(name, method, f'{suppression:g}', f'{boxes.areas[i, s]:.6g}', *boxes.boxes[i, s].tolist()),
      UNSEEN if np.isnan(boxes.areas[i, s]) else '',
    )
    for method, (names, boxes) in found.items()
    for i, name in enumerate(names)
    for s, suppression in enumerate(boxes.suppressions)
  ]
  order = {name: i for i, name in enumerate(outcome.done())}
  files.write_table(folder.path / 'boxes.csv', BOXES, sorted(rows, key=lambda row: order[row[0]]))
  seen = {m: boxes.areas[~np.isnan(boxes.areas).any(1)] for m, (_, boxes) in found.items()}
  areas = {method_named(m)[0]: values for m, values in seen.items() if len(values)}
  unseen = list(dict.fromkeys(row[0] for row in rows if row[-1]))
  if unseen:
    print(f'left out of the means, since {UNSEEN}: {", ".join(unseen)}')
  if not areas:
    return
  folder.write('boxes.png', png(figures.box_sizes(areas, config.suppressions)))
  table = [
    (title, len(values), *map(percent, values.mean(axis=0))) for title, values in areas.items()
  ]
  titles = ('size of the minimal box', 'images', *map(percent, config.suppressions))
  print(format_table(titles, table))


def _smallest(
  method: str,
  config: ml_collections.ConfigDict,
  size: tuple[int, int],
  outcome: Outcome,
  stored: Results,
) -> tuple[list[str], MinimalBoxes]:
  """(the images that have a method's boxes, the smallest boxes of each)."""
  step, thresholds = _name(method), len(THRESHOLDS[config.mode])
  names = outcome.done('', step)
  values = list(stored.columns(names, (f'{step}/boxes', f'{step}/scores')))
  boxes = np.array([row[1] for row in values]).reshape(-1, thresholds, 4)
  scores = np.array([row[2] for row in values]).reshape(-1, thresholds)
  return names, smallest_boxes(
    boxes, scores, size, suppressions=config.suppressions, mode=config.mode
  )
