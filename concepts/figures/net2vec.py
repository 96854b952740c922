"""Figures of concept vectors (Fong and Vedaldi, CVPR 2018, fig. 2, 3, 5 and 8 to 10).

Each category has its colour and its marker, which the figures share; the colours are those of Okabe
and Ito, which every eye tells apart.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from concepts.concept_scores import CategoryScore, by_category
from concepts.figures.net2vec_views import (
  ConceptView,
  DistanceView,
  ExampleView,
  LayerView,
  PictureView,
  SubsetView,
)
from perturb.errors import UserError, printable
from perturb.figures.studies import tidy
from perturb.figures.style import (
  KEPT,
  PANEL,
  REMOVED,
  STYLE,
  any_letters,
  bare,
  enlarge,
  foot_title,
  side_title,
  title,
)

# By category: its colour, and the marker of its points.
CATEGORIES = {
  'color': ('#cc79a7', 'o'),
  'texture': ('#e69f00', 's'),
  'material': ('#009e73', 'D'),
  'part': ('#56b4e9', '^'),
  'object': ('#0072b2', 'v'),
  'scene': ('#d55e00', 'P'),
}
OTHER = ('#6c757d', 'X')
METRICS = {'segmentation': 'IoU', 'classification': 'accuracy'}
BINS = ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, None))  # Concepts of a filter.
MOST_NAMES = 70  # Concepts whose names are legible beside a matrix.
_GRID: Any = {'linewidth': 0.3, 'color': '#dee2e6'}


def _style(category: str) -> tuple[str, str]:
  return CATEGORIES.get(category, OTHER)


def _categories(concepts: Sequence[ConceptView]) -> list[str]:
  """Those that occur: the known ones in their order, then others by name."""
  there = {name for one in concepts for name in one.categories}
  return [name for name in CATEGORIES if name in there] + sorted(there - set(CATEGORIES))


def _scores(scores: np.ndarray, concepts: Sequence[ConceptView]) -> dict[str, CategoryScore]:
  return by_category(scores, [one.categories for one in concepts])


def results_by_category(layers: Sequence[LayerView], concepts: Sequence[ConceptView]) -> Figure:
  """Mean score of each category over the layers, combined and single (fig. 2).

  A row a task: what the combinations reach on the left, the best single filters on the right. Bars
  are standard errors.

  Raises:
    UserError: where there are no layers.
  """
  tasks = list(dict.fromkeys(layer.task for layer in layers))
  if not tasks:
    raise UserError('results_by_category: there are no layers; give at least one')
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(4.4, 0.5 + 1.6 * len(tasks)))
    panels = figure.subplots(len(tasks), 2, sharey='row', squeeze=False)
    alike = len({tuple(one.name for one in layers if one.task == task) for task in tasks}) == 1
    figure.subplots_adjust(wspace=0.08, hspace=0.15 if alike else 0.6)
    for (left, right), task in zip(panels, tasks, strict=True):
      of_task = [layer for layer in layers if layer.task == task]
      for axes, field in ((left, 'combined'), (right, 'single')):
        found = [_scores(getattr(layer, field), concepts) for layer in of_task]
        _category_lines(axes, np.arange(len(of_task)), found, concepts)
        names = [layer.name if task == tasks[-1] or not alike else '' for layer in of_task]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.3, len(names) - 0.7)
        _slanted(axes, names)
      left.set_ylabel(f'{METRICS[task]}, {task}', fontsize=7)
    panels[0, 0].set_title('combination of filters', fontsize=7, pad=4)
    panels[0, 1].set_title('best single filter', fontsize=7, pad=4)
    _legend(panels[0, 1], panels.flat, concepts)
  return figure


def _category_lines(
  axes: Axes,
  places: np.ndarray,
  found: Sequence[dict[str, CategoryScore]],
  concepts: Sequence[ConceptView],
) -> None:
  """A line of each category with a known score, a little beside the others where they overlap."""
  for name in _categories(concepts):
    mean, error = (np.array([getattr(one[name], of) for one in found]) for of in ('mean', 'error'))
    if np.isnan(mean).all():
      continue
    colour, marker = _style(name)
    axes.errorbar(
      places, mean, np.nan_to_num(error), color=colour, marker=marker, markersize=3, linewidth=1.1,
      elinewidth=0.8, label=name,
    )  # fmt: skip
  axes.grid(axis='y', **_GRID)
  axes.set_axisbelow(True)
  tidy(axes)


def _slanted(axes: Axes, names: Sequence[str]) -> None:
  """Long names of layers do not run into each other."""
  if sum(map(len, names)) > 16:
    axes.tick_params(axis='x', labelrotation=35)
    for label in axes.get_xticklabels():
      label.set(ha='right', rotation_mode='anchor')


def _legend(axes: Axes, panels: Iterable[Axes], concepts: Sequence[ConceptView]) -> None:
  """The categories that are in any of the panels, beside one of them."""
  lines: dict[str, Any] = {}
  for panel in panels:
    handles, labels = panel.get_legend_handles_labels()
    lines |= dict(zip(labels, handles, strict=True))
  names = [name for name in _categories(concepts) if name in lines]
  shown: Any = [lines[name] for name in names]
  axes.legend(
    shown, names, frameon=False, fontsize=6.5, loc='upper left',
    bbox_to_anchor=(1, 1.03), handlelength=1.6,
  )  # fmt: skip


def filters_needed(subsets: Sequence[SubsetView], concepts: Sequence[ConceptView]) -> Figure:
  """Mean score of each category over the number F of filters that may be used (fig. 3).

  Raises:
    UserError: where there are no subsets.
  """
  if not subsets:
    raise UserError('filters_needed: there are no subsets; give at least one')
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(0.4 + 2.3 * len(subsets), 1.9))
    panels = figure.subplots(1, len(subsets), squeeze=False)[0]
    figure.subplots_adjust(wspace=0.42)
    for axes, subset in zip(panels, subsets, strict=True):
      found = [_scores(scores, concepts) for scores in subset.scores]
      _category_lines(axes, np.asarray(subset.counts), found, concepts)
      axes.set_xscale('log', base=2)
      axes.set_xticks(subset.counts, [str(count) for count in subset.counts])
      axes.minorticks_off()
      axes.set_xlabel('filters F', fontsize=7, labelpad=1.5)
      axes.set_ylabel(f'{METRICS[subset.task]}, {subset.task}', fontsize=7)
      title(axes, subset.layer, 7)
    _legend(panels[-1], panels, concepts)
  return figure


def unique_detectors(counts: Mapping[str, Mapping[str, int]]) -> Figure:
  """How many concepts have a filter that detects them, by category (Bau et al., CVPR 2017).

  Args:
    counts: by layer, from the first, then by category.

  Raises:
    UserError: where there are no layers.
  """
  if not counts:
    raise UserError('unique_detectors: there are no layers; give at least one')
  there = {name for each in counts.values() for name in each}
  order = [name for name in CATEGORIES if name in there] + sorted(there - set(CATEGORIES))
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(1.2 + 0.45 * len(counts), 2.0))
    axes, below = figure.add_subplot(), np.zeros(len(counts))
    for name in order:
      high = np.array([each.get(name, 0) for each in counts.values()])
      axes.bar(
        range(len(counts)), high, 0.72, below, color=_style(name)[0], edgecolor='white',
        linewidth=0.5, label=name,
      )  # fmt: skip
      below += high
    for place, total in enumerate(below):
      axes.annotate(
        f'{total:.0f}', (place, total), (0, 1.5), textcoords='offset points', ha='center',
        fontsize=6.5,
      )  # fmt: skip
    axes.set_xticks(range(len(counts)), list(counts))
    _slanted(axes, list(counts))
    axes.set_ylim(0, max(1, 1.1 * below.max()))
    axes.set_ylabel('unique detectors', fontsize=7)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
      handles[::-1], labels[::-1], frameon=False, fontsize=6.5, loc='upper left',
      bbox_to_anchor=(1, 1.03), handlelength=1,
    )  # fmt: skip
    tidy(axes)
  return figure


def shared_filters(counts: Mapping[str, np.ndarray]) -> Figure:
  """Share of the filters that are the best one of so many concepts (fig. 5).

  Args:
    counts: by layer, how many concepts each filter is the best one of, `[K]`.

  Raises:
    UserError: where there are no layers.
  """
  if not counts:
    raise UserError('shared_filters: there are no layers; give at least one')
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(3.6, 2.0))
    axes, width = figure.add_subplot(), 0.8 / len(counts)
    most = max(int(np.max(of_filters, initial=0)) for of_filters in counts.values())
    bins = [ends for ends in BINS if ends[0] <= max(most, 1)]
    shades = matplotlib.colormaps['viridis'](np.linspace(0.05, 0.9, len(counts)))
    for i, (name, of_filters) in enumerate(counts.items()):
      shares = [100 * np.mean(_in_bin(np.asarray(of_filters), *ends)) for ends in bins]
      places = np.arange(len(bins)) + (i - (len(counts) - 1) / 2) * width
      axes.bar(places, shares, 0.9 * width, color=shades[i], label=f'{name} ({len(of_filters)})')
    axes.set_xticks(range(len(bins)), [_bin_name(*ends) for ends in bins])
    axes.set_xlabel('concepts that a filter is the best one of', fontsize=7, labelpad=2)
    axes.set_ylabel('filters (%)', fontsize=7)
    axes.grid(axis='y', **_GRID)
    axes.set_axisbelow(True)
    axes.legend(
      frameon=False, fontsize=6.5, loc='upper right', title='layer (filters)', title_fontsize=6.5,
      alignment='left', handlelength=1,
    )  # fmt: skip
    tidy(axes)
  return figure


def _in_bin(values: np.ndarray, low: int, high: int | None) -> np.ndarray:
  return (values >= low) & (values <= (np.inf if high is None else high))


def _bin_name(low: int, high: int | None) -> str:
  if high is None:
    return f'≥ {low}'
  return str(low) if low == high else f'{low}–{high}'  # noqa: RUF001


def similarity_matrix(similarity: np.ndarray, concepts: Sequence[ConceptView]) -> Figure:
  """Cosines of the concepts, by category, and within one so that near concepts stand together.

  Args:
    similarity: `[C, C]`, as of `concepts.embeddings.similarities`; concepts without are left out.
    concepts: C of them.

  Raises:
    UserError: where no concept has a vector.
  """
  order = list(_near_together(np.asarray(similarity), concepts))
  if not order:
    raise UserError('similarity_matrix: no concept has a vector')
  shown, legible = np.asarray(similarity)[np.ix_(order, order)], len(order) <= MOST_NAMES
  side = 0.7 + (0.085 * len(order) if legible else 4.5)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(side, side))
    axes = figure.add_subplot()
    image = axes.imshow(shown, cmap='RdBu_r', vmin=-1, vmax=1, interpolation='nearest')
    colours = [_style(concepts[index].categories[0])[0] for index in order]
    names = [concepts[index].name for index in order] if legible else [''] * len(order)
    axes.set_xticks(range(len(order)), names, rotation=90)
    axes.set_yticks(range(len(order)), names)
    axes.tick_params(length=0, pad=5, labelsize=5.2)
    _edges(axes, colours)
    for spine in axes.spines.values():
      spine.set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.035, pad=0.02, ticks=(-1, 0, 1))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=6)
    bar.set_label('cosine', fontsize=6.5, labelpad=1)
    _category_key(axes, [concepts[index] for index in order])
  return figure


def _near_together(similarity: np.ndarray, concepts: Sequence[ConceptView]) -> Iterator[int]:
  """The concepts with a vector, by category, leaves of a tree of average linkage within each."""
  known = ~np.isnan(np.diagonal(similarity))
  for name in _categories(concepts):
    here = [i for i, one in enumerate(concepts) if known[i] and one.categories[0] == name]
    if len(here) < 3:
      yield from here
      continue
    apart = 1 - similarity[np.ix_(here, here)]
    np.fill_diagonal(apart, 0)
    tree = hierarchy.linkage(
      squareform(np.maximum(apart, 0), checks=False), 'average', optimal_ordering=True
    )
    yield from (here[leaf] for leaf in hierarchy.leaves_list(tree))


def _edges(axes: Axes, colours: Sequence[str]) -> None:
  """Below and on the left, the colour of the category of each row and column."""
  spans = [(place - 0.5, place + 0.5) for place in range(len(colours))]
  below = [((low, -0.012), (high, -0.012)) for low, high in spans]
  left = [((-0.012, low), (-0.012, high)) for low, high in spans]
  for pieces, transform in (
    (below, axes.get_xaxis_transform()),
    (left, axes.get_yaxis_transform()),
  ):
    lines = LineCollection(
      pieces, colors=colours, linewidths=3, transform=transform, clip_on=False, capstyle='butt'
    )
    axes.add_collection(lines, autolim=False)


def _category_key(axes: Axes, concepts: Sequence[ConceptView]) -> None:
  firsts = {one.categories[0] for one in concepts}
  for name in _categories(concepts):
    if name in firsts:
      axes.plot([], [], 's', color=_style(name)[0], markersize=4, label=name)
  axes.legend(
    frameon=False, fontsize=6.5, loc='lower left', bbox_to_anchor=(0, 1), ncols=6,
    handletextpad=0.1, columnspacing=1,
  )  # fmt: skip


def concept_map(layer: LayerView, concepts: Sequence[ConceptView]) -> Figure:
  """The concepts in the plane, with the names that have room.

  Raises:
    UserError: for a layer without a map.
  """
  if layer.map is None:
    raise UserError(f'concept_map: layer {layer.name!r} has no map')
  firsts = np.array([one.categories[0] for one in concepts])
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(5, 4.2))
    axes = figure.add_axes((0, 0, 1, 0.95))
    for name in (name for name in _categories(concepts) if name in firsts):
      colour, marker = _style(name)
      places = layer.map[firsts == name]
      axes.plot(
        *places.T, marker, color=colour, markersize=3.6, markeredgewidth=0, alpha=0.9, label=name
      )
    bare(axes)
    axes.margins(0.06)
    axes.legend(
      frameon=False, fontsize=6.5, loc='lower left', bbox_to_anchor=(0, 1), ncols=6,
      handletextpad=0.1, columnspacing=1,
    )  # fmt: skip
    axes.text(
      1, 1.02, f'{layer.name}, {layer.task}', fontsize=6.5, ha='right', transform=axes.transAxes
    )
    _named(axes, layer.map, concepts)
  return figure


def _named(axes: Axes, places: np.ndarray, concepts: Sequence[ConceptView]) -> None:
  """The names of points, each beside its point where it covers no other; else it is left out.

  Concepts of many pictures come first.
  """
  known = np.flatnonzero(~np.isnan(places).any(1)).tolist()
  axes.autoscale_view()
  points = axes.transData.transform(places[known])
  taken: list[Sequence[float]] = [(x - 3, y - 3, x + 3, y + 3) for x, y in points]
  for k in sorted(range(len(known)), key=lambda k: (-concepts[known[k]].val, k)):
    text = axes.annotate(
      printable(concepts[known[k]].name), places[known[k]], (0, 0), textcoords='offset points',
      fontsize=5.6, ha='center', va='center', color='#212529', parse_math=False,
    )  # fmt: skip
    with any_letters():
      x0, y0, x1, y1 = text.get_window_extent().extents
    for dx, dy in _beside((x1 - x0) * 72 / axes.figure.dpi, (y1 - y0) * 72 / axes.figure.dpi):
      right, up = dx * axes.figure.dpi / 72, dy * axes.figure.dpi / 72
      box = (x0 + right, y0 + up, x1 + right, y1 + up)
      if not any(_covers(box, other) for n, other in enumerate(taken) if n != k):
        taken.append(box)
        text.set_position((dx, dy))
        break
    else:
      text.remove()


def _beside(width: float, height: float) -> Iterator[tuple[float, float]]:
  """Where the middle of a name may be, from its point: right, left, above, below; all in points."""
  aside, over = width / 2 + 3, height / 2 + 2.5
  yield from ((aside, 0), (-aside, 0), (0, over), (0, -over))


def _covers(box: Sequence[float], other: Sequence[float]) -> bool:
  return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def embedding_distances(view: DistanceView) -> Figure:
  """D_ij of each pair of embeddings (fig. 10, left), divided by the number of pairs of concepts.

  Raises:
    UserError: where there are no embeddings.
  """
  count = len(view.names)
  if not count:
    raise UserError('embedding_distances: there are no embeddings; give at least one')
  values = np.asarray(view.distances) / max(view.concepts, 1) ** 2
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(0.9 + 0.34 * count, 0.5 + 0.34 * count))
    axes = figure.add_subplot()
    top = max(np.nanmax(values), 1e-12)
    axes.imshow(values, cmap='Blues', vmin=0, vmax=1.15 * top)
    for (row, column), value in np.ndenumerate(values):
      text = f'{value:.2f}'.removeprefix('0') if row != column else '0'
      axes.text(
        column, row, text, ha='center', va='center', fontsize=5.6,
        color='white' if value > 0.62 * top else '#212529',
      )  # fmt: skip
    axes.set_xticks(range(count), view.names, rotation=40, ha='right', rotation_mode='anchor')
    axes.set_yticks(range(count), view.names)
    axes.tick_params(length=0, labelsize=6.5, pad=2)
    for spine in axes.spines.values():
      spine.set_visible(False)
    title(axes, f'mean squared difference of cosines, {view.concepts} concepts', 6.5)
  return figure


def weights_and_scores(layer: LayerView, concepts: Sequence[ConceptView], index: int) -> Figure:
  """Each filter's weight for a concept against what the filter is worth alone (fig. 9).

  Raises:
    UserError: for a concept without a vector.
  """
  weights, scores = layer.vectors[index], layer.filter_scores[index]
  if np.isnan(weights).any():
    raise UserError(f'weights_and_scores: {concepts[index].name!r} has no vector in {layer.name!r}')
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(2.4, 1.9))
    axes = figure.add_subplot()
    axes.axvline(0, color='#adb5bd', linewidth=0.6)
    axes.plot(weights, scores, 'o', color=KEPT, markersize=2.6, markeredgewidth=0, alpha=0.7)
    best = int(layer.best[index])
    if best >= 0:
      axes.plot(
        weights[best], scores[best], 'o', color=REMOVED, markersize=4, label=f'filter {best}'
      )
      axes.legend(frameon=False, fontsize=6.5, loc='upper left', handletextpad=0.1)
    axes.set_xlabel('weight w', fontsize=7, labelpad=1.5)
    axes.set_ylabel(f'{METRICS[layer.task]} of the filter alone', fontsize=7)
    title(axes, f'{concepts[index].name}, {layer.name}', 7)
    tidy(axes)
  return figure


def example_masks(
  examples: Sequence[ExampleView],
  pictures: Sequence[PictureView],
  concepts: Sequence[ConceptView],
  layer: str,
) -> Figure:
  """Examples from left to right, such as the deciles of IoU_ind (fig. 8).

  Above the mask of the best single filter, below that of the combination; the truth is outlined,
  the IoU_ind is below each.

  Raises:
    UserError: where there are no examples, or one has no masks of the layer.
  """
  if not examples:
    raise UserError('example_masks: there are no examples; give at least one')
  if any(layer not in one.masks for one in examples):
    raise UserError(f'example_masks: an example has no masks of layer {layer!r}')
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(0.2 + PANEL * len(examples), 2.45 * PANEL))
    panels = figure.subplots(2, len(examples), squeeze=False)
    figure.subplots_adjust(wspace=0.04, hspace=0.16)
    for column, one in enumerate(examples):
      masks, pixels = one.masks[layer], pictures[one.picture].pixels
      _masked(panels[0, column], pixels, masks.single, one.truth, masks.single_iou)
      _masked(panels[1, column], pixels, masks.combined, one.truth, masks.combined_iou)
      title(panels[0, column], f'{concepts[one.concept].name} {one.note}'.strip(), 6.5)
    side_title(panels[0, 0], 'single filter', 6.5)
    side_title(panels[1, 0], 'combination', 6.5)
  return figure


def _masked(
  axes: Axes, pixels: np.ndarray, mask: np.ndarray, truth: np.ndarray, iou: float
) -> None:
  """A picture, dark where the mask is not, with the outline of the truth."""
  kept = enlarge(mask, pixels.shape)[..., None] > 0.5
  grey = 0.3 * pixels.mean(-1, keepdims=True) + 12
  axes.imshow(np.where(kept, pixels, grey).astype(np.uint8))
  height, width = pixels.shape[:2]
  x, y = (
    (np.arange(n) + 0.5) * m / n - 0.5
    for n, m in zip(truth.shape[::-1], (width, height), strict=True)
  )
  for colour, thickness in (('black', 1.6), ('white', 0.8)):
    axes.contour(x, y, truth, levels=[0.5], colors=colour, linewidths=thickness)
  bare(axes)
  foot_title(axes, f'IoU {iou:.2f}', 6, pad=1.5)
