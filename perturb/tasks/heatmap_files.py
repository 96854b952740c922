"""The heatmaps of single pictures as files, beside the store: `heatmaps/<image>/<method>.npy`."""

from collections.abc import Mapping, Sequence
import csv
import pathlib
import zlib

import jax
import ml_collections
import numpy as np
from PIL import Image

from perturb.data.datasets import Dataset
from perturb.errors import UserError
from perturb.figures.heatmaps import colour
from perturb.run import devices
from perturb.run.batches import Loaded, Pictures
from perturb.run.experiment import Experiment
from perturb.run.layout import place_images
from perturb.run.loop import Outcome
from perturb.run.shown import Shown
from perturb.run.steps import step_name
from perturb.store import files
from perturb.store.arrays import DONE
from perturb.store.results import Results, manifest_of, results_group, timings_group
from perturb.store.workdir import Workdir

FOLDER = 'heatmaps'
TIMINGS = ('image', 'method', 'seconds', 'compilation')

Heatmaps = dict[str, np.ndarray]  # Method -> `[H, W]`.


def heatmaps_of(name: str, methods: Sequence[str], outcome: Outcome, stored: Results) -> Heatmaps:
  """The heatmaps of an image by the methods that have explained it."""
  steps = {method: step_name(method) for method in methods}
  return {
    method: stored.field(name, f'{step}/heatmap')
    for method, step in steps.items()
    if outcome.status[step][name] == DONE
  }


def write_heatmaps(
  workdir: Workdir,
  methods: Sequence[str],
  outcome: Outcome,
  stored: Results,
  shown: Sequence[Shown],
) -> None:
  """Writes `timings.csv` and, of some pictures, their heatmaps.

  `<image>/<method>.npy` is float32 `[H, W]`; the `.png` beside it has it over the picture;
  `<image>/image.png` is what the network saw.

  Args:
    workdir: of the run.
    methods: whose heatmaps.
    outcome: of the run.
    stored: its results.
    shown: the pictures.
  """
  _write_timings(workdir, methods, outcome, stored)
  for one in shown:
    folder = workdir.path / FOLDER / one.name
    folder.mkdir(parents=True, exist_ok=True)
    files.write_atomically(folder / 'image.png', files.png_bytes(one.image))
    for method, heatmap in heatmaps_of(one.name, methods, outcome, stored).items():
      path = folder / step_name(method)
      files.write_atomically(path.with_suffix('.npy'), files.npy_bytes(heatmap))
      picture = files.png_bytes(colour(heatmap, one.picture))
      files.write_atomically(path.with_suffix('.png'), picture)


def median_seconds(methods: Sequence[str], outcome: Outcome, stored: Results) -> dict[str, float]:
  """Method -> the median time of an image, without compilation; NaN where it explained none."""
  found = {}
  for method in methods:
    step = step_name(method)
    known = [stored.seconds(name, step) for name in outcome.done('', step)]
    found[method] = float(np.median(known)) if known else np.nan
  return found


def _write_timings(
  workdir: Workdir, methods: Sequence[str], outcome: Outcome, stored: Results
) -> None:
  rows = [
    (name, method, f'{stored.seconds(name, step_name(method)):.4f}', 'no')
    for method in methods
    for name in outcome.done('', step_name(method))
  ]
  files.write_table(workdir.path / 'timings.csv', TIMINGS, rows)


def adopt_heatmaps(
  workdir: Workdir,
  experiment: Experiment,
  dataset: Dataset,
  config: ml_collections.ConfigDict,
) -> None:
  """Takes heatmaps from files into the store, in a workdir of perturb 0.1, which had no other.

  Raises:
    UserError: if the workdir holds another picture under the name of one of these.
  """
  folder = workdir.path / FOLDER
  begun_now = (workdir.path / 'images.csv').exists() or not folder.is_dir()
  if jax.process_index() == 0 and not begun_now:
    place_images(workdir.path, dataset, experiment, config, lambda *_: None)
    seconds = _old_timings(workdir.path / 'timings.csv')
    pictures = Pictures(dataset, experiment.net, experiment.targets, config)
    for name, entry in manifest_of(workdir.path).entries.items():
      old = folder / name
      if (old / 'image.png').exists():
        _check_picture(pictures.load(name, entry), old / 'image.png')
        _adopt(workdir.path, experiment, name, seconds)
  devices.barrier('heatmaps of files are in the store')


def _old_timings(path: pathlib.Path) -> dict[tuple[str, str], float]:
  """(image, name of a step) -> seconds."""
  if not path.exists():
    return {}
  with open(path, newline='') as file:
    rows = list(csv.DictReader(file))
  return {(row['image'], step_name(row['method'])): float(row['seconds']) for row in rows}


def _check_picture(image: Loaded, old: pathlib.Path) -> None:
  if image.x is not None and zlib.crc32(np.asarray(Image.open(old)).tobytes()) != image.digest:
    raise UserError(
      f'{image.place}: the workdir holds another picture named {image.name!r}; '
      'rename this one, or use another workdir'
    )


def _adopt(
  workdir: pathlib.Path, experiment: Experiment, name: str, seconds: Mapping[tuple[str, str], float]
) -> None:
  entry = manifest_of(workdir).entries[name]
  rows, group = np.array([entry.row]), results_group(workdir, entry.group)
  timings = timings_group(workdir, entry.group)
  for step in experiment.steps:
    path = workdir / FOLDER / name / f'{step.name}.npy'
    if not step.name or not path.exists():
      continue
    try:
      heatmap = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
      raise UserError(f'{path}: not a heatmap ({error}); remove it') from error
    timings.write(rows, {step.stored('seconds'): seconds.get((name, step.name), np.nan)})
    values = {step.stored('heatmap'): heatmap[None], step.stored('status'): DONE}
    group.write(rows, values)
