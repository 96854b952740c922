"""The task of configs/overlays.py: an interactive page of similar patches, and measurements."""

from collections.abc import Sequence
import json
from typing import Any

import jax
import ml_collections
import numpy as np

from concepts.features import features_of
from concepts.figures.overlay_views import Picture
from concepts.figures.overlays import Matches, correspondence_figure
from concepts.figures.overlays_page import overlays_page
from concepts.overlays import Layer, Series, amount_name, check_extent, class_indices, view_of
from concepts.patch_similarity import correspondence, similarity
from concepts.tasks.overlay_article import write_article
from concepts.tasks.overlay_runs import (
  SENSITIVITY,
  TRANSFORMED,
  Setting,
  activations_of,
  measure,
  record,
  record_transformed,
  say,
  transformed_dataset,
  weights_for,
)
from concepts.tasks.overlay_sensitivity import TURNING, write_sensitivity
from concepts.transforms import Kind
from perturb.console import format_table
from perturb.errors import UserError, check_choice
from perturb.figures.style import png
from perturb.nets import Pretrained
from perturb.run.loop import Outcome
from perturb.run.shown import shown_pictures
from perturb.run.subjects import dataset_of, named_network
from perturb.store import files
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import VERSION, Workdir
from perturb.tasks.checks import FREE, check_least, check_run

# What is drawn from stored results, or stored beside them.
DRAWN = ('groups', 'tolerance', 'mode', 'transformed', 'measured')
SIMILARITY = ('layer', 'first', 'second', 'mean', 'nearest', 'mutual')


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Stores activations of pictures, and writes what they say about patches that are alike.

  The workdir gets `overlays.html`, the page; `similarity.csv`, a row for each two pictures in each
  layer; `correspondence.png` of the first two pictures; `sensitivity.csv`, `turning.csv` and
  `sensitivity.png`; with `mode='article'` the folder `article/`; and the results of the runs over
  the pictures themselves, over the transformed ones of the page, in `transformed/`, and over the
  measured ones, in `sensitivity/`.

  Source: Fong, Mordvintsev, Vedaldi and Olah, "Interactive Similarity Overlays", VISxAI 2021.
  """
  amounts = _check(config)
  dataset, net = dataset_of(config), named_network(config)
  layers = _layers(net, config.layers, config.groups)
  classes = class_indices(net, config.classes, 'config.classes')
  held = [RESULTS, f'{TRANSFORMED}/{RESULTS}', f'{SENSITIVITY}/{RESULTS}']
  folder = Workdir(workdir, config, held, free=(*FREE, *DRAWN))
  setting = Setting(net, dataset, layers, classes, amounts, config, folder.path)
  outcome = record(setting)
  steps = [step for step in outcome.status if step]
  names = outcome.done('', *steps)
  failed, rows = outcome.failed, list[dict[str, Any]]()
  if names:
    turned, measured = names[: config.transformed], names[: config.measured]
    others = []
    if amounts and turned:
      others.append(record_transformed(setting, turned))
    if amounts and measured:
      others.append(measure(setting, measured))
      if jax.process_index() == 0:
        rows = write_sensitivity(setting, folder, others[-1].done())
    failed += sum(one.failed for one in others)
    if jax.process_index() == 0:
      _show(setting, folder, names)
  _sum_up(folder, outcome, len(names), failed, rows)
  return failed


def _check(config: ml_collections.ConfigDict) -> dict[Kind, tuple[float, ...]]:
  """Refuses wrong values; returns the amounts of each kind that has some."""
  check_run(config)
  check_least(config, multiple=1, groups=0, transformed=0, measured=0, figures=1)
  check_choice('config.mode', config.mode, ('page', 'article'))
  if not config.tolerance > 0:
    raise UserError(f'config.tolerance must be larger than 0, not {config.tolerance}')
  kinds: dict[Kind, tuple[float, ...]] = {
    'rotation': tuple(config.rotations),
    'scale': tuple(config.scales),
  }
  for field, found in zip(('rotations', 'scales'), kinds.values(), strict=True):
    named = [f'{one:g}' for one in found]  # As in the names of pictures.
    twice = next((one for one in named if named.count(one) > 1), None)
    if twice:
      raise UserError(f'config.{field} has {twice} twice')
  if min(config.scales, default=1) < 1:
    raise UserError(f'config.scales are factors of the area from 1, not {min(config.scales):g}')
  return {kind: found for kind, found in kinds.items() if found}


def _layers(net: Pretrained, layers: tuple[str, ...], groups: int) -> dict[str, str]:
  """Name as it was given -> name in the network, in the order of the network."""
  check_extent(net, layers, 'config.layers')
  found = features_of(net, layers)
  given = dict[str, str]()
  for layer in layers:
    if given.setdefault(net.network.resolve(layer), layer) != layer:
      raise UserError(f'config.layers names {layer!r} twice')
  for layer, size in zip(found.layers, found.sizes, strict=True):
    if groups > size:
      raise UserError(f'config.groups: {layer} has {size} channels, too few for {groups} groups')
  return {given[name]: name for name in found.layers}


def _show(setting: Setting, folder: Workdir, names: Sequence[str]) -> None:
  """The page, the figure of the first two pictures, the numbers, and the article's files."""
  config, stored = setting.config, Results(folder.path)
  seen = shown_pictures(setting.net, setting.dataset, names[: config.figures], config, stored)
  if not seen:
    return
  say(f'writing the page, {folder.path / "overlays.html"}')
  names = [one.name for one in seen]
  pictures = [Picture(one.name, one.picture) for one in seen]
  series, changed = _series(setting, [one for one in names if one in names[: config.transformed]])
  layers = [
    Layer(
      given,
      [
        *(activations_of(stored, name, layer) for name in names),
        *(
          activations_of(changed, picture.name, layer)
          for one in series
          for picture in one.pictures
          if changed
        ),
      ],
      weights_for(setting, stored, names, layer),
    )
    for given, layer in setting.layers.items()
  ]
  overlay = view_of(
    pictures,
    layers,
    series=series,
    groups=config.groups,
    tolerance=config.tolerance,
    title=f'Similarity overlays: {config.network}',
    about=f'{type(setting.net.network).__name__}, perturb {VERSION}',
  )
  folder.write('overlays.html', overlays_page(overlay))
  files.write_table(folder.path / 'similarity.csv', SIMILARITY, _pairs(names, layers))
  (folder.path / 'correspondence.png').unlink(missing_ok=True)  # It may be of other pictures.
  if len(pictures) > 1:
    matches = [_matches(layer) for layer in layers]
    figure = correspondence_figure(pictures[0], pictures[1], matches)
    folder.write('correspondence.png', png(figure))
  if config.mode == 'article':
    write_article(folder.path / 'article', names, layers, overlay.transforms)


def _series(setting: Setting, names: Sequence[str]) -> tuple[list[Series], Results | None]:
  """(the transformed pictures that have results, these results)."""
  if not (names and setting.amounts):
    return [], None
  stored, dataset = Results(setting.path / TRANSFORMED), transformed_dataset(setting, names)
  wanted = [source.name for source in dataset.sources if source.name in stored]
  shown = shown_pictures(setting.net, dataset, wanted, setting.config, stored)
  pixels = {one.name: one.image for one in shown}
  found = []
  for name in names:
    for kind, amounts in setting.amounts.items():
      copies = {float(one): amount_name(name, kind, one) for one in amounts}
      there = {one: copy for one, copy in copies.items() if copy in pixels}
      if there:
        pictures = [Picture(copy, pixels[copy]) for copy in there.values()]
        found.append(Series(kind, name, tuple(there), pictures))
  return found, stored


def _matches(layer: Layer) -> Matches:
  first, second = (np.asarray(one) for one in layer.activations[:2])
  grids = (first.shape[0], first.shape[1]), (second.shape[0], second.shape[1])
  return Matches(layer.name, grids, correspondence(first, second))


def _pairs(names: Sequence[str], layers: Sequence[Layer]) -> list[tuple[str | int, ...]]:
  """Of each layer and two pictures: mean cosine, that of each patch's nearest, mutual pairs."""
  rows = list[tuple[str | int, ...]]()
  for layer in layers:
    for i, first in enumerate(names):
      for j in range(i + 1, len(names)):
        a, b = layer.activations[i], layer.activations[j]
        cosines = similarity(a, b)
        nearest = cosines.max((2, 3)).mean()
        mutual = len(correspondence(a, b).first)
        numbers = f'{cosines.mean():.6g}', f'{nearest:.6g}', mutual
        rows.append((layer.name, first, names[j], *numbers))
  return rows


def _sum_up(
  folder: Workdir, outcome: Outcome, done: int, failed: int, rows: list[dict[str, Any]]
) -> None:
  if jax.process_index() == 0:
    summary = {'images': outcome.asked, 'done': done, 'failed': failed, 'rows': rows}
    folder.write('summary.json', json.dumps(summary, indent=2) + '\n')
    if rows:
      print('\n' + format_table(TURNING, [tuple(row.values()) for row in rows]))
    where = f'; the page is {folder.path / "overlays.html"}' if done else ''
    print(f'\n{done} of {outcome.asked} pictures{where}')
