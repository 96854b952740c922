"""The task of configs/benchmark.py and the protocols: methods x metrics on one dataset."""

from collections.abc import Mapping, Sequence
import dataclasses
import sys
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.data.datasets import Dataset
from perturb.data.fitted_regions import fitted_heatmap
from perturb.data.images import Fit
from perturb.errors import UserError, check_choice
from perturb.evaluate.deletion import Fill
from perturb.evaluate.localisation import GRIDS
from perturb.evaluate.pixel_order import image_bits
from perturb.evaluate.pointing import Mode
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.ops.heatmaps import resize
from perturb.run import devices
from perturb.run.experiment import Experiment, Share, Step
from perturb.run.labels import targets_of
from perturb.run.layout import place_images
from perturb.run.loop import Outcome, Run
from perturb.run.shown import shown_pictures
from perturb.run.steps import ON_THE_HOST, heatmap, heatmap_field, prediction, step_name
from perturb.run.subjects import dataset_of, load_network, options_of, references_of
from perturb.run.summary import sum_up
from perturb.store import failures, files
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks import heatmap_files
from perturb.tasks.adopted import (
  Adopted,
  adopt,
  adopted_heatmaps,
  adopted_step,
  check_origins,
)
from perturb.tasks.checks import FREE, check_least, check_methods, check_run
from perturb.tasks.deleted_parts import delete_parts, parts_of
from perturb.tasks.measure import measure
from perturb.tasks.metric_tables import draw, tabulate
from perturb.tasks.metrics import METRICS, Asked
from perturb.tasks.scores import write_scores

# What changes the tables, and nothing that is stored.
OF_TABLES = ('mode', 'tolerance', 'smooth', 'threshold', 'top', 'resamples')

MOST_DEPTHS = 100  # Each is another network, and another heatmap of every image.


def _check(config: ml_collections.ConfigDict, adopted: Sequence[Adopted]) -> None:
  if config.methods or not adopted:
    check_methods(config, get_args(Fit))
  else:
    check_run(config)
  if config.depths > MOST_DEPTHS:
    raise UserError(f'config.depths must be at most {MOST_DEPTHS}, not {config.depths}')
  check_least(config, multiple=1, tolerance=0, smooth=0, top=0, steps=2, depths=2, resamples=1)
  check_choice('config.mode', config.mode, get_args(Mode))
  check_choice('config.threshold', config.threshold, tuple(GRIDS))
  check_choice('config.fill', config.fill, get_args(Fill))
  if not config.metrics:
    raise UserError('config.metrics: give at least one')
  for name in config.metrics:
    check_choice('config.metrics', name, tuple(METRICS))
  for name in config.baselines:
    check_choice('config.baselines', name, tuple(BASELINES))
  names = [one.name for one in adopted]
  for method in (*config.methods, *config.baselines):
    if step_name(method) in names:
      raise UserError(f'config.heatmaps has {method!r} already; leave it out of config.methods')


def _centre(share: Share) -> jax.Array:
  """Highest in the middle of each image, `[n, H, W]`."""
  n, height, width = share['x'].shape[:3]
  down, across = ((jnp.arange(side) + 0.5) / side - 0.5 for side in (height, width))
  return jnp.broadcast_to(1 - jnp.hypot(down[:, None], across), (n, height, width))


def _noise(share: Share) -> jax.Array:
  """Uniform noise, of each image by its values `[n, H, W]`."""
  x = share['x']

  def of_one(bits: jax.Array) -> jax.Array:
    return jax.random.uniform(jax.random.key(bits), x.shape[1:3])

  return jax.vmap(of_one)(image_bits(x))


# Heatmaps that look at nothing: what a method has to beat.
BASELINES = {'centre': ('Centre', _centre), 'noise': ('Noise', _noise)}


def _baseline(name: str) -> Step:
  function = BASELINES[name][1]

  def explain(_net: Pretrained, share: Share) -> dict[str, jax.Array]:
    return {'heatmap': function(share)}

  return Step(explain, heatmap_field, name=name, needs=('target',))


class Plan(NamedTuple):
  """What a run of the benchmark does.

  Attributes:
    experiment: its steps.
    asked: the methods that are measured.
  """

  experiment: Experiment
  asked: list[Asked]


def _plan(
  net: Pretrained,
  dataset: Dataset,
  config: ml_collections.ConfigDict,
  adopted: Sequence[Adopted],
) -> Plan:
  options = {method: options_of(config, method) for method in config.methods}
  inputs = dict[str, Any]()
  if 'expected_gradients' in options:
    inputs['references'] = references_of(net, config)
    options['expected_gradients'] |= inputs
  asked, steps = list[Asked](), [prediction()]
  for name in config.methods:
    title, function, _ = method_named(name)
    given = options[name]

    def method(f: Any, x: Any, target: Any, function=function, given=given) -> jax.Array:
      return function(f, x, target, **given)

    asked.append(Asked(step_name(name), title, method, name not in ON_THE_HOST, config))
    steps.append(heatmap(name, given))
  for one in adopted:
    asked.append(Asked(one.name, one.name, None, True, config))
    steps.append(adopted_step(one))
  for name in config.baselines:
    asked.append(Asked(name, BASELINES[name][0], None, True, config))
    steps.append(_baseline(name))
  for metric in config.metrics:
    make = METRICS[metric].step
    steps += [step for one in asked if make and (step := make(one))]
  targets = targets_of(net, dataset, config)
  return Plan(Experiment(net, tuple(steps), targets, inputs=inputs), asked)


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Measures the heatmaps of several methods by several metrics on one dataset.

  The workdir gets what every run gets, with the heatmaps of each method and what the network says
  of them in subgroups; `metrics.csv`, the numbers of each image; `benchmark.csv`, `.md` and `.png`,
  the means with intervals; `differences.csv`, paired, between methods; the curves as figures; and,
  for the metric of parts, what the network says without each in `parts/`. What it holds is not
  computed again: methods, metrics and images can be added.
  """
  adopted = adopted_heatmaps(config.heatmaps)
  _check(config, adopted)
  dataset, net = dataset_of(config), load_network(config)
  if dataset.regions is None:
    without = [name for name in config.metrics if METRICS[name].annotated]
    if without:
      raise UserError(
        f'config.metrics: {without[0]!r} needs to know where the objects are, and config.images '
        f'{config.images!r} does not say; see docs/benchmarks.md for datasets that do'
      )
  of_parts = any(METRICS[name].parts for name in config.metrics)
  if of_parts:
    parts_of(dataset, config)
  plan = _plan(net, dataset, config, adopted)
  free = (*FREE, 'methods', 'metrics', 'baselines', 'heatmaps', *OF_TABLES)
  folder = Workdir(workdir, config, [RESULTS, heatmap_files.FOLDER], free=free)
  if jax.process_index() == 0:
    check_origins(folder.path, [step_name(name) for name in config.methods], adopted)
  unusable = _adopt(folder, plan.experiment, dataset, adopted) if adopted else {}
  outcome = Run(plan.experiment, dataset, config, folder.path)()
  names, rows = outcome.done(), list[dict[str, Any]]()
  if names and of_parts:
    targets = dict(Results(folder.path).columns(names, ['target']))
    deleted = delete_parts(net, dataset, targets, config, folder.path)
    outcome = outcome._replace(failed=outcome.failed + deleted.failed)
  if names and jax.process_index() == 0:
    stored = Results(folder.path)
    rows = write_scores(net, folder, names, stored)
    shown = shown_pictures(net, dataset, names[: config.figures], config, stored)
    heatmap_files.write_heatmaps(folder, list(config.methods), outcome, stored, shown)
    numbers = measure(names, plan.asked, stored, dataset, net, config)
    draw(folder, plan.asked, numbers, tabulate(folder, plan.asked, numbers))
    outcome = _with_failures(folder, outcome, unusable, numbers.problems)
  return sum_up(folder, outcome, rows)


def _adopt(
  folder: Workdir, experiment: Experiment, dataset: Dataset, adopted: Sequence[Adopted]
) -> dict[tuple[str, str], str]:
  """Takes heatmaps of another origin into the store, once the class of each image is known.

  Returns:
    (image, method) -> why its heatmap cannot be used.
  """
  first = dataclasses.replace(experiment, steps=experiment.steps[:1])
  Run(first, dataset, folder.config, folder.path)()
  config, index = folder.config, {source.name: i for i, source in enumerate(dataset.sources)}

  def fitted(image: str, heatmap: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As the picture, if it has the picture's size; else it is one of what the network saw."""
    height, width = heatmap.shape
    if (height, width) != size and dataset.size(index[image]) == (width, height):
      more = {'fit': config.fit, 'multiple': config.get('multiple', 1)}
      return fitted_heatmap(heatmap, size=experiment.net.size, **more)
    return np.asarray(resize(jnp.asarray(heatmap, jnp.float32), size))

  problems = dict[tuple[str, str], str]()
  if jax.process_index() == 0:
    place_images(folder.path, dataset, experiment, config, lambda *_: None)
    problems = adopt(folder.path, adopted, fitted)
  devices.barrier('heatmaps are adopted')
  return problems


def _with_failures(
  folder: Workdir,
  outcome: Outcome,
  unusable: Mapping[tuple[str, str], str],
  unmarked: Sequence[tuple[str, str, str]],
) -> Outcome:
  """Says why heatmaps cannot be used and where objects are not known, also in `failures.csv`.

  Args:
    folder: of the run.
    outcome: of the run, which has counted the heatmaps that are missing.
    unusable: (image, method) -> why its heatmap cannot be used.
    unmarked: (name, place, reason) of the images whose annotation cannot be read.
  """
  if not (unusable or unmarked):
    return outcome
  path = folder.path / 'failures.csv'
  rows = [
    (name, place, method, unusable.get((name, method), reason))
    for name, place, method, reason in (files.read_table(path) if path.exists() else [])
  ]
  rows += [(name, place, 'annotation', reason) for name, place, reason in unmarked]
  for reason in (*unusable.values(), *(reason for _, _, reason in unmarked)):
    print(f'error: {reason}', file=sys.stderr)
  files.write_table(path, failures.HEADER, rows)
  return outcome._replace(failed=outcome.failed + len(unmarked))
