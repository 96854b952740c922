"""The task of configs/extremal.py: extremal perturbations of a dataset."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.chunks import default_chunk
from perturb.console import format_table
from perturb.data.datasets import Dataset
from perturb.errors import UserError, check_choice
from perturb.figures import extremal as figures
from perturb.figures import report
from perturb.figures.style import png
from perturb.methods.area_growth import trusted_fraction
from perturb.methods.class_activation import grad_cam
from perturb.methods.extremal import (
  check_areas,
  extremal_perturbation,
  settings_of,
)
from perturb.methods.extremal_reward import Game, Objective
from perturb.methods.extremal_solvers import searches_of
from perturb.methods.heatmap_regions import region_scores
from perturb.nets import Pretrained
from perturb.ops.perturbations import Perturbation, pyramid
from perturb.run.experiment import Experiment, Shape, Share, Step, Targets, Values
from perturb.run.labels import targets_of, warn_at_chance
from perturb.run.loop import Run
from perturb.run.shown import Shown, shown_pictures
from perturb.run.steps import predict
from perturb.run.subjects import dataset_of, named_network
from perturb.run.summary import sum_up
from perturb.store import files
from perturb.store.doubts import game_value, in_words, star_of
from perturb.store.explanations import (
  CHEAP,
  OF_SEARCHES,
  PER_AREA,
  PER_IMAGE,
  SCORES,
  Explanation,
  Explanations,
  fields,
)
from perturb.store.results import RESULTS
from perturb.store.workdir import VERSION, Workdir
from perturb.tasks.checks import FREE, check_least, check_run

TABLE = (
  *('image', 'class', 'probability', 'rank', 'area asked', 'area got'),
  *('score kept', 'a*', 'seconds'),
)
GROWTH_ROWS = 8  # Pictures in figures/growth.png: the first ones of one shape.
MEANS = ('mean_area', 'score', 'deleted_score', 'full_score', 'kept')  # In summary.json.

Row = tuple[Any, ...]


def _check(config: ml_collections.ConfigDict) -> None:
  """Everything that can be refused before any work is done."""
  check_run(config)
  try:
    check_areas(config.areas)
  except UserError as error:
    raise UserError(f'config.areas: {error}') from error
  settings_of(config.mode, **config.settings)
  for name, choices in (('game', Game), ('objective', Objective), ('perturbation', Perturbation)):
    check_choice(f'config.{name}', config[name], get_args(choices))
  check_least(config, multiple=1, levels=2, chunk=0, sigma_max=0)
  iterations = config.settings.get('iterations', 1)
  if iterations < 1:
    raise UserError(f'config.settings.iterations must be at least 1, not {iterations}')


def _targets(net: Pretrained, dataset: Dataset, config: ml_collections.ConfigDict) -> Targets:
  """What is explained of each image: a class, or a channel of a layer."""
  if not config.layer:
    return targets_of(net, dataset, config)
  net.part(stop=config.layer)  # Refuses a layer that is not there.
  if not config.target.isdigit():
    raise UserError(
      f'config.target: a channel of {config.layer} is a number, not {config.target!r}'
    )
  channel = int(config.target)
  channels = net.shapes([config.layer])[config.layer].shape[-1]
  if channel >= channels:
    raise UserError(
      f'config.target: {config.layer} has channels 0 to {channels - 1}, not {channel}'
    )
  return Targets(lambda _: channel)


def _perturbation(net: Pretrained, config: ml_collections.ConfigDict) -> dict[str, Any]:
  """What becomes of a pixel that is not kept."""
  options = {name: config[name] for name in ('perturbation', 'levels', 'sigma_max')}
  if config.mode != 'torchray':  # TorchRay fades to zero, the training mean.
    options['fade_to'] = tuple(net.preprocess(np.zeros(3, np.uint8)).tolist())
  return options


def _chunk(config: ml_collections.ConfigDict, shape: Shape, images: int) -> int:
  return min(config.chunk or default_chunk(shape), images * len(config.areas))


def experiment_of(
  net: Pretrained, config: ml_collections.ConfigDict, targets: Targets
) -> Experiment:
  """What a config asks to be computed of each image."""
  areas, settings = check_areas(config.areas), settings_of(config.mode, **config.settings)
  options = {name: config[name] for name in ('mode', 'game', 'objective')}
  options |= {**_perturbation(net, config), **config.settings}
  key = jax.random.key(config.seed)
  of_searches = OF_SEARCHES if searches_of(settings) else ()

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    f, x = net.part(stop=config.layer or None), share['x']
    predicted = predict(f, share)
    target = predicted['target']
    chunk = _chunk(config, (x.shape[1], x.shape[2]), x.shape[0])
    result = extremal_perturbation(f, x, target, areas, key=key, chunk=chunk, **options)
    unknown = jnp.full(x.shape[0], jnp.nan, jnp.float32)
    return {
      'target': target,
      'rank': predicted['rank'],
      'probability': unknown if config.layer else predicted['probability'],
      'parameters': result.parameters,
      CHEAP: _cheap_values(f, x, target, areas, config, _perturbation(net, config)),
      **{name: getattr(result, name) for name in (*PER_IMAGE, *PER_AREA, *of_searches)},
    }

  def attributes(shape: Shape, block: int) -> dict[str, Any]:
    chunk = _chunk(config, shape, block)
    return {'mode': config.mode, 'settings': dict(config.settings), 'chunk': chunk}

  return Experiment(
    net,
    (Step(explain, lambda shape: fields(shape, len(areas), settings), _wrong),),
    targets,
    attributes,
    {'area': ('area', np.asarray(areas, np.float32))},
  )


def _cheap_values(
  f: Pretrained,
  x: jax.Array,
  target: jax.Array,
  areas: Sequence[float],
  config: ml_collections.ConfigDict,
  perturbation: dict[str, Any],
) -> jax.Array:
  """What the game maximises, of the largest pixels of Grad-CAM: `[n, A]`.

  It takes a pass back, and two forward for each area.
  """
  if config.layer and len(f.shapes([config.layer], x)[config.layer].shape) != 4:
    return jnp.full((x.shape[0], len(areas)), jnp.nan, jnp.float32)  # It has no positions.
  heatmap = grad_cam(f, x, target, config.layer or None)
  blanked = pyramid(x, normalised=config.mode != 'torchray', **perturbation)[..., 0, :, :, :]
  found = region_scores(f, x, target, heatmap, areas, blanked)
  return game_value(config.game, found.scores, found.deleted_scores)


def _wrong(results: Values, index: int) -> str:
  if not np.isfinite(results['full_score'][index]):
    return 'the network gives a score that is not a number'
  for name in (*PER_IMAGE, *PER_AREA, 'parameters'):
    if not np.isfinite(results[name][index]).all():
      return 'the solver reached a score that is not a number'
  return ''


def explanation(
  net: Pretrained, shown: Shown, config: ml_collections.ConfigDict, stored: Explanations
) -> Explanation:
  """One picture with its stored result."""
  x = jnp.asarray(net.preprocess(shown.image))
  blank = pyramid(x, normalised=config.mode != 'torchray', **_perturbation(net, config))[0]
  target = int(stored.field(shown.name, 'target'))
  return Explanation(
    shown.name,
    class_name(net, config, target),
    target,
    float(stored.field(shown.name, 'probability')),
    int(stored.field(shown.name, 'rank')),
    shown.image,
    shown.picture,
    net.to_image(np.asarray(blank)),
    config.threshold,
    config.game,
    stored.doubts(shown.name, config.threshold, config.game),
    stored[shown.name],
  )


def class_name(net: Pretrained, config: ml_collections.ConfigDict, target: int) -> str:
  """What is explained, in words."""
  return f'{config.layer}, channel {target}' if config.layer else net.class_name(target)


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Explains the images of a config; what a workdir already holds is not computed again.

  The workdir gets `config.json`, `versions.json`, `images.csv`, `results.zarr` and `timings.zarr`
  (see `perturb.results` and `perturb.Explanations`), `scores.csv`, `summary.json`, `metrics/`,
  `figures/*.png` and `report.html` of the first pictures, and `failures.csv` where something
  failed.
  """
  _check(config)
  dataset = dataset_of(config)
  net = named_network(config)
  experiment = experiment_of(net, config, _targets(net, dataset, config))
  folder = Workdir(workdir, config, [RESULTS], free=(*FREE, 'threshold'))
  outcome = Run(experiment, dataset, config, folder.path)()
  names, rows = outcome.done(), list[dict[str, Any]]()
  if names and jax.process_index() == 0:
    stored = Explanations(folder.path)
    rows = _tabulate(net, folder, names, stored)
    probabilities = [float(row[1]) for row in stored.columns(names, ('probability',))]
    warn_at_chance(net, config, probabilities)
    shown = shown_pictures(net, dataset, names[: config.figures], config, stored)
    explanations = [explanation(net, one, config, stored) for one in shown]
    _print(explanations, stored)
    _draw(folder, explanations)
  return sum_up(folder, outcome, rows)


def _counted(rows: Iterable[Row], totals: dict[str, np.ndarray]) -> Iterator[Row]:
  """The rows of scores as they are, while area -> (counts, sums) `[2, MEANS]` is filled."""
  columns = [SCORES.index(name) for name in MEANS]
  for row in rows:
    numbers = np.array([float(row[column]) for column in columns])
    area = row[SCORES.index('area')]
    totals[area] = totals.get(area, 0) + np.stack([np.isfinite(numbers), np.nan_to_num(numbers)])
    yield row


def _tabulate(
  net: Pretrained, folder: Workdir, names: list[str], stored: Explanations
) -> list[dict[str, Any]]:
  """Writes the table of scores; returns its means over the images, by area."""
  config, totals = folder.config, dict[str, np.ndarray]()
  rows = stored.rows(
    names, config.threshold, config.game, lambda target: class_name(net, config, target)
  )
  files.write_table(folder.path / 'scores.csv', SCORES, _counted(rows, totals))
  return [
    {'area': float(area)}
    | {name: s / n if n else None for name, n, s in zip(MEANS, counts, sums, strict=True)}
    for area, (counts, sums) in totals.items()
  ]


def _print(explanations: Sequence[Explanation], stored: Explanations) -> None:
  rows = [row for one in explanations for row in _table(one, stored.seconds(one.name))]
  if rows:
    print(format_table(TABLE, rows))
  for one in explanations:
    for line in in_words(one.doubts, one.result.areas):
      print(f'do not trust {one.name}: {line}')


def _table(explanation: Explanation, seconds: float) -> list[tuple[Any, ...]]:
  result = explanation.result
  smallest = star_of(result, explanation.threshold, explanation.game)[0]
  star = '-' if np.isnan(smallest) else f'{smallest:g}'
  kept = trusted_fraction(result, np.inf)[0]
  return [
    (
      explanation.name,
      explanation.class_name,
      '-' if np.isnan(explanation.probability) else f'{explanation.probability:.2g}',
      explanation.rank if explanation.rank > 0 else '-',
      f'{area:g}',
      f'{result.mean_area[0, i]:.4f}',
      '-' if np.isnan(kept[i]) else f'{kept[i]:.2f}',
      star,
      f'{seconds / len(result.areas):.1f}',
    )
    for i, area in enumerate(result.areas)
  ]


def _draw(folder: Workdir, explanations: Sequence[Explanation]) -> None:
  """Figures of each picture, the area growth of several, and the report."""
  if not explanations:
    return
  (folder.path / 'figures').mkdir(exist_ok=True)
  for one in explanations:
    for kind, figure in (
      ('growth', figures.area_growth([one])),
      ('mask', figures.extremal_mask(one)),
      ('scores', figures.score_curves(one)),
    ):
      folder.write(f'figures/{one.name}_{kind}.png', png(figure))
  shape = explanations[0].picture.shape
  alike = [one for one in explanations if one.picture.shape == shape][:GROWTH_ROWS]
  folder.write('figures/growth.png', png(figures.area_growth(alike)))
  made = f'perturb {VERSION}, JAX {jax.__version__}\n{folder.config.to_json(indent=2)}'
  folder.write('report.html', report.html_report(explanations, made, folder.config.game))
