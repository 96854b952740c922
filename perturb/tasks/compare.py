"""The loop of a comparison: images x methods -> heatmaps, times, one figure."""

from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from perturb.console import Progress, format_table
from perturb.data.images import find_images, load_image
from perturb.errors import UserError, check_choice
from perturb.figures.heatmaps import Panel, Row, comparison
from perturb.figures.style import png
from perturb.methods.registry import check_options, method_named
from perturb.nets import Pretrained
from perturb.run.subjects import Subject, load_network, load_subjects
from perturb.store.workdir import Folder
from perturb.tasks.heatmap_store import Heatmaps

Failure = tuple[str, ...]


def check_methods(config: ml_collections.ConfigDict) -> None:
  """Everything about the methods that can be refused before any work is done."""
  check_choice('config.fit', config.fit, ['crop', 'squash'])
  if not config.methods:
    raise UserError('config.methods: give at least one')
  for method in config.methods:
    given = ['references'] if method == 'expected_gradients' else []
    check_options(method, [*options_of(config, method), *given])
  for method in config.options:
    method_named(method)


def options_of(config: ml_collections.ConfigDict, method: str) -> dict[str, Any]:
  """The options that a config gives a method."""
  return dict(config.options.get(method, {}))


def heatmaps_of(
  net: Pretrained,
  subject: Subject,
  methods: Sequence[str],
  options: dict[str, dict[str, Any]],
  folder: Heatmaps,
  failures: list[Failure],
) -> dict[str, np.ndarray]:
  """The heatmaps `[H, W]` of a picture by each method; what fails is added to the failures."""
  name = subject.source.name
  found = {}
  try:
    folder.begin(subject)
  except UserError as error:
    failures.append((name, str(error)))
    return {}
  for method in methods:
    try:
      found[method] = folder.obtain(net, subject, method, options[method])
    except UserError as error:
      failures.append((name, method, str(error)))
  return found


def report(folder: Folder, failures: list[Failure], progress: Progress) -> None:
  """Names what failed, on stderr and in failures.csv: image, method (if one), reason."""
  progress.close()
  for failure in failures:
    progress.say('error: ' + ': '.join(part for part in failure if part))
  rows = [(f[0], f[1] if len(f) == 3 else '', f[-1]) for f in failures]
  folder.fail(rows, ('image', 'method', 'reason'))


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Explains the pictures of a config by each of its methods, and draws them side by side.

  The workdir gets `heatmaps/<image>/<method>.npy` and `.png`, `timings.csv`, `compare.png`, and
  `failures.csv` where something failed. What it already holds is not computed again.

  Args:
    config: as configs/compare.py.
    workdir: folder; made if missing.

  Returns:
    The number of images, or methods of an image, that failed; each has been named on stderr.

  Raises:
    UserError: for a config that cannot be run at all.
  """
  check_methods(config)
  net = load_network(config)
  options = {method: options_of(config, method) for method in config.methods}
  if 'expected_gradients' in options:
    options['expected_gradients']['references'] = references_of(net, config)
  folder = Heatmaps(workdir, config)
  progress, failures = Progress(None, 'image'), list[Failure]()
  rows = []
  for subject in load_subjects(net, config, failures):
    progress.begin(subject.source.name)
    found = heatmaps_of(net, subject, config.methods, options, folder, failures)
    panels = {name: Panel(method_named(name)[0], heat, np.nan) for name, heat in found.items()}
    rows.append(Row(subject.class_name, subject.picture, panels))
    progress.advance(1)
  report(folder, failures, progress)
  _summarise(folder, rows, config)
  return len(failures)


def references_of(net: Pretrained, config: ml_collections.ConfigDict) -> np.ndarray:
  """The images that `config.references` names, as the network takes them: `[R, H, W, C]`."""
  found, problems = find_images(config.references)
  if problems:
    raise UserError(f'config.references: {problems[0]}')
  images = [load_image(source.path, size=net.size, fit=config.fit) for source in found]
  return net.preprocess(np.stack(images))


def _summarise(folder: Heatmaps, rows: list[Row], config: ml_collections.ConfigDict) -> None:
  shown = [method for method in config.methods if any(method in row.panels for row in rows)]
  if not shown:
    return
  timed = [
    row._replace(
      panels={n: panel._replace(seconds=folder.seconds(n)) for n, panel in row.panels.items()}
    )
    for row in rows
    if row.panels
  ]
  folder.write('compare.png', png(comparison(timed, shown)))
  table = [(method_named(m)[0], m, f'{folder.seconds(m):.3f}') for m in shown]
  print(format_table(('method', 'name', 'seconds an image'), table))
  print(f'\nsee {folder.path / "compare.png"}')
