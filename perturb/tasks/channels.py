"""The experiment of configs/channels.py: channel attribution and its feature inversions."""

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
from matplotlib.figure import Figure
import ml_collections
import numpy as np

from perturb.console import Progress, format_table
from perturb.errors import check_choice
from perturb.figures.heatmaps import colour
from perturb.figures.style import BLANK, KEPT, PANEL, STYLE, WHOLE, bare, png
from perturb.methods.channels import ChannelResult, channel_attribution, class_channels
from perturb.methods.inversion import feature_inversion
from perturb.run.subjects import Subject, load_network, load_subjects
from perturb.store import files
from perturb.store.workdir import Folder
from perturb.tasks.compare import Failure, report

SCORES = ('image', 'class', 'target', 'channels', 'score', 'deleted_score', 'full_score', 'best')


def diff(subject: Subject, result: ChannelResult, images: np.ndarray) -> Figure:
  """The image with its channel saliency, and both inversions side by side (fig. 8 and 9).

  Args:
    subject: the picture.
    result: its attribution, B = 1.
    images: `[2, H, W, 3]` in [0, 1], inversions of the activations, and of those kept.
  """
  best = int(result.best()[0])
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PANEL * 1.5 * 4.5, PANEL * 1.7))
    grid = figure.add_gridspec(1, 5, width_ratios=[1, 1, 1, 0.12, 1.25], wspace=0.06)
    panels = (
      (colour(np.asarray(result.heatmap)[0], subject.picture), subject.class_name),
      (images[0], 'inversion, all channels'),
      (images[1], f'inversion, {result.areas[best]:g} channels'),
    )
    for i, (panel, title) in enumerate(panels):
      axes = figure.add_subplot(grid[0, i])
      axes.imshow(panel)
      axes.set_title(title, fontsize=7, pad=3)
      bare(axes)
    axes = figure.add_subplot(grid[0, 4])
    areas, scores = np.asarray(result.areas), np.asarray(result.scores)[0]
    axes.plot(areas, scores, '-o', color=KEPT, markersize=2.5, linewidth=1.1)
    axes.axhline(float(result.full_score[0]), color=WHOLE, linewidth=0.8, linestyle=(0, (5, 2)))
    axes.axvline(areas[best], color=BLANK, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_xlabel('channels kept (dots: a*)', fontsize=7, labelpad=1.5)
    axes.set_title('score (dashes: of the image)', fontsize=7, pad=3)
    axes.tick_params(length=2, pad=1.5, labelsize=6)
    axes.set_box_aspect(1)
  return figure


def _rows(subject: Subject, result: ChannelResult) -> list[tuple[Any, ...]]:
  best = result.best()[0]
  return [
    (
      subject.source.name,
      subject.class_name,
      subject.target,
      f'{area:g}',
      f'{result.scores[0, i]:.6g}',
      f'{result.deleted_scores[0, i]:.6g}',
      f'{result.full_score[0]:.6g}',
      'yes' if i == best else '',
    )
    for i, area in enumerate(np.asarray(result.areas))
  ]


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Attributes the pictures of a config to the channels of a layer.

  The workdir gets `channels/<image>.npz` (areas, masks, scores, saliency, inversions) and `.png`,
  `scores.csv`, `classes.csv` (k* of each class) and `failures.csv` where something failed.

  Args:
    config: as configs/channels.py.
    workdir: folder; made if missing.

  Returns:
    The number of pictures that failed; each has been named on stderr.

  Raises:
    UserError: for a config that cannot be run at all.
  """
  check_choice('config.fit', config.fit, ['crop', 'squash'])
  net = load_network(config)
  layer = net.network.resolve(config.layer)
  folder = Folder(workdir, config, 'channels', free=('images',))
  options = {name: config[name] for name in ('game', 'iterations', 'learning_rate')}
  options |= {'area_weight': config.area_weight, 'ramp': config.ramp}
  failures = list[Failure]()
  rows, results, targets = [], [], []
  progress = Progress(None, 'image')
  for subject in load_subjects(net, config, failures):
    progress.begin(subject.source.name)
    x = jnp.asarray(subject.x[None])
    result = channel_attribution(net, x, subject.target, layer, config.areas or None, **options)
    activations = net.activations(x, [layer])[layer]
    kept = activations * result.masks[0, result.best()[0]]
    inverted = feature_inversion(
      net,
      jnp.concatenate([activations, kept]),
      layer,
      key=jax.random.key(config.seed),
      steps=config.steps,
    )
    images = np.asarray(inverted.images)
    arrays = {name: np.asarray(value) for name, value in result._asdict().items()}
    name = f'channels/{subject.source.name}'
    folder.write(f'{name}.npz', files.npz_bytes(arrays | {'inversions': images}))
    folder.write(f'{name}.png', png(diff(subject, result, images)))
    rows += _rows(subject, result)
    results.append(result)
    targets.append(subject.target)
    progress.advance(1)
  report(folder, failures, progress)
  if results:
    files.write_table(folder.path / 'scores.csv', SCORES, rows)
    _write_classes(folder, net.class_names, results, targets)
    best = [row for row in rows if row[-1]]
    print(format_table(SCORES[:-1], [row[:-1] for row in best]))
    print(f'\nsee {folder.path / "channels"}')
  return len(failures)


def _write_classes(
  folder: Folder, names: tuple[str, ...], results: list[ChannelResult], targets: list[int]
) -> None:
  """k* of each class, over its pictures (sec. 5.2); of channels that tie, the first."""
  joined: dict[str, Any] = {
    name: np.concatenate([np.asarray(getattr(result, name)) for result in results])
    for name in ('masks', 'scores', 'deleted_scores', 'full_score', 'saliency')
  }
  whole = ChannelResult(areas=results[0].areas, size=results[0].size, **joined)
  found = class_channels(whole, targets)
  rows = [
    (int(c), names[c].split(',')[0], targets.count(int(c)), int(k), f'{mask[k]:.4f}')
    for c, mask, k in zip(found.classes, found.masks, found.channels, strict=True)
  ]
  header = ('target', 'class', 'images', 'channel', 'mean_mask')
  files.write_table(folder.path / 'classes.csv', header, rows)
