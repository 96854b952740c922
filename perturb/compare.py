"""The loop of a comparison: images x methods -> heatmaps, times, one figure."""

import csv
import pathlib
import sys
import time
from typing import Any

import jax
import ml_collections
import numpy as np
from PIL import Image

from perturb import store
from perturb.data.images import Source, find_images, load_image
from perturb.errors import UserError, check_choice
from perturb.figures import png
from perturb.folder import Folder
from perturb.heatmap_figures import Panel, Row, colour, comparison
from perturb.methods import check_options, method_named
from perturb.nets import Pretrained
from perturb.run import Progress, format_table
from perturb.subjects import load_network, load_subject

REPEAT_BELOW = 5.0  # A first call shorter than this is made again, to time it without compilation.
TIMINGS = ('image', 'method', 'seconds', 'compilation')


def _options(config: ml_collections.ConfigDict, method: str) -> dict[str, Any]:
  return dict(config.options.get(method, {}))


def _check(config: ml_collections.ConfigDict) -> None:
  """Everything that can be refused before any work is done."""
  check_choice('config.fit', config.fit, ['crop', 'squash'])
  if not config.methods:
    raise UserError('config.methods: give at least one')
  for method in config.methods:
    check_options(method, _options(config, method))
  for method in config.options:
    method_named(method)


class Heatmaps(Folder):
  """The folder of a comparison.

  `heatmaps/<image>/<method>.npy` (float32 `[H, W]`) and `.png`, `heatmaps/<image>/image.png`.
  """

  def __init__(self, path: str, config: ml_collections.ConfigDict):
    super().__init__(path, config, 'heatmaps', free=('images', 'methods'))
    self.timings = self._read_timings()

  def _read_timings(self) -> dict[tuple[str, str], tuple[float, bool]]:
    try:
      with open(self.path / 'timings.csv', newline='') as file:
        return {
          (row['image'], row['method']): (float(row['seconds']), row['compilation'] == 'yes')
          for row in csv.DictReader(file)
        }
    except (OSError, KeyError, ValueError):
      return {}

  def heatmap_path(self, image: str, method: str) -> pathlib.Path:
    """Where a heatmap is, or will be."""
    return self.results / image / f'{method.replace(":", "_")}.npy'

  def begin(self, source: Source, image: np.ndarray) -> None:
    """Refuses another picture of the same name."""
    path = self.results / source.name / 'image.png'
    if path.exists() and not np.array_equal(np.asarray(Image.open(path)), image):
      raise UserError(
        f'{source.path}: the workdir holds another picture named {source.name!r}; '
        'rename this one, or use another workdir'
      )
    path.parent.mkdir(exist_ok=True)
    store.write_atomically(path, store.png_bytes(image))

  def add(
    self, image: str, method: str, heatmap: np.ndarray, picture: np.ndarray, seconds: float,
    compilation: bool,
  ) -> None:  # fmt: skip
    """Stores a heatmap, its picture and how long it took."""
    path = self.heatmap_path(image, method)
    store.write_atomically(path.with_suffix('.png'), store.png_bytes(colour(heatmap, picture)))
    self.timings[image, method] = (seconds, compilation)
    rows = [(*key, f'{s:.4f}', 'yes' if c else 'no') for key, (s, c) in self.timings.items()]
    store.write_table(self.path / 'timings.csv', TIMINGS, rows)
    store.write_atomically(path, store.npy_bytes(heatmap))  # Last: it says that all is there.

  def seconds(self, method: str) -> float:
    """The median time of a method, without compilation where there is such a time."""
    known = [value for (_, name), value in self.timings.items() if name == method]
    warm = [seconds for seconds, compilation in known if not compilation]
    return float(np.median(warm or [seconds for seconds, _ in known] or [np.nan]))


def _timed(call: Any) -> tuple[np.ndarray, float]:
  start = time.perf_counter()
  heat = np.asarray(jax.block_until_ready(call()))
  return heat, time.perf_counter() - start


def explain(
  net: Pretrained, x: np.ndarray, target: int, method: str, options: dict[str, Any], *, warm: bool
) -> tuple[np.ndarray, float, bool]:
  """The heatmap `[H, W]` of one image `[H, W, C]`.

  Args:
    net: the network.
    x: the preprocessed image.
    target: index of the class.
    method: its name, see `perturb.methods`.
    options: of the method.
    warm: whether the method is compiled already.

  Returns:
    (heatmap, seconds, whether these include compilation).

  Raises:
    UserError: as the method, or for a heatmap that is not finite.
  """
  function = method_named(method)[1]

  def call() -> jax.Array:
    return function(net, x[None], target, **options)[0]

  heat, seconds = _timed(call)
  if not warm and seconds < REPEAT_BELOW:
    heat, seconds = _timed(call)
    warm = True
  if not np.isfinite(heat).all():
    raise UserError('the heatmap has values that are not numbers')
  return heat.astype(np.float32), seconds, not warm


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
  _check(config)
  sources, problems = find_images(config.images)
  net = load_network(config)
  folder = Heatmaps(workdir, config)
  progress = Progress(len(sources) * len(config.methods), 'map')
  failures = [('', '', problem) for problem in problems]
  rows, warm = [], set[tuple[str, tuple[int, ...]]]()
  references = _references(net, config) if 'expected_gradients' in config.methods else None

  for source in sources:
    progress.begin(source.name)
    try:
      subject = load_subject(net, source, config)
      folder.begin(source, subject.image)
    except UserError as error:
      failures.append((source.name, '', str(error)))
      continue
    x, target, picture = subject.x, subject.target, subject.picture
    panels = {}
    for method in config.methods:
      path = folder.heatmap_path(source.name, method)
      try:
        if not path.exists():
          options = _options(config, method)
          if method == 'expected_gradients':
            options['references'] = references
          done = explain(net, x, target, method, options, warm=(method, x.shape) in warm)
          folder.add(source.name, method, done[0], picture, *done[1:])
          warm.add((method, x.shape))
        heat = np.load(path, allow_pickle=False)
        panels[method] = Panel(method_named(method)[0], heat, np.nan)
      except (UserError, ValueError, OSError) as error:
        failures.append((source.name, method, str(error)))
      progress.bar.update(1)
    rows.append(Row(subject.class_name, picture, panels))
  progress.bar.close()
  for failure in failures:
    progress.say('error: ' + ': '.join(part for part in failure if part))
  folder.fail(failures, ('image', 'method', 'reason'))
  _summarise(folder, rows, config)
  return len(failures)


def _references(net: Pretrained, config: ml_collections.ConfigDict) -> np.ndarray:
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
      panels={
        name: panel._replace(seconds=folder.seconds(name)) for name, panel in row.panels.items()
      }
    )
    for row in rows
  ]
  folder.write('compare.png', png(comparison(timed, shown)))
  table = [(method_named(m)[0], m, f'{folder.seconds(m):.3f}') for m in shown]
  print(format_table(('method', 'name', 'seconds an image'), table))
  print(f'\nsee {folder.path / "compare.png"}', file=sys.stdout)
