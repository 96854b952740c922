"""Heatmaps that are there already: of another run, or of another tool, in files."""

from collections.abc import Callable, Iterator, Sequence
import functools
import json
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from perturb.errors import UserError
from perturb.nets import Pretrained
from perturb.run.experiment import Share, Step
from perturb.run.steps import heatmap_field, step_name, wrong_heatmap
from perturb.store import files
from perturb.store.arrays import DONE, Group
from perturb.store.explanations import Explanations
from perturb.store.manifest import group_shape
from perturb.store.results import RESULTS, Results, manifest_of, results_group, timings_group

ENDINGS = ('.npy', '.png')
ORIGINS = 'origins.json'  # Of a workdir: method -> where its heatmaps come from.


class Adopted(NamedTuple):
  """Heatmaps of another origin.

  Attributes:
    name: of the method, in results and files.
    place: where they come from.
    read: name of an image -> `[h, w]`, or None where there is none.
    explained: name of an image -> the class explained, and CRC-32 of the pixels that were; None
      where that is not known.
  """

  name: str
  place: str
  read: Callable[[str], np.ndarray | None]
  explained: Callable[[str], tuple[int, int] | None] = lambda _: None


def adopted_heatmaps(places: str) -> list[Adopted]:
  """The heatmaps in some places, separated by commas.

  Args:
    places: each is the workdir of a run of configs/heatmaps.py, configs/extremal.py or
      configs/compare.py, finished or not; or a folder with a file `<image>.npy` (float `[h, w]`) or
      `<image>.png` (grey) for each image, which may stand in one folder for each method.

  Raises:
    UserError: for a place that holds no heatmaps; or for two of one name.
  """
  found = [one for place in filter(None, map(str.strip, places.split(','))) for one in _of(place)]
  names = [one.name for one in found]
  for name in names:
    if names.count(name) > 1:
      where = ' and '.join(one.place for one in found if one.name == name)
      raise UserError(f'config.heatmaps: {where} both hold {name!r}; rename one of the folders')
  return found


def _of(place: str) -> Iterator[Adopted]:
  folder = pathlib.Path(place)
  if not folder.is_dir():
    raise UserError(f'config.heatmaps: the folder {place!r} does not exist')
  if (folder / RESULTS).is_dir():
    yield from _of_run(folder)
    return
  folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
  some = [one for one in folders if any(path.suffix in ENDINGS for path in one.iterdir())]
  if not some:
    raise UserError(
      f'config.heatmaps: {place!r} is no workdir of a run, and has no .npy or .png of heatmaps'
    )
  for one in some:
    yield Adopted(step_name(one.name), str(one), functools.partial(_of_file, one))


def _of_run(folder: pathlib.Path) -> Iterator[Adopted]:
  config, stored = json.loads((folder / 'config.json').read_text()), Results(folder)
  task = config.get('task')

  def explained(image: str) -> tuple[int, int]:
    target, digest = (int(stored.field(image, field)) for field in ('target', 'digest'))
    return target, digest

  if task == 'extremal':
    masks = Explanations(folder)

    def summed(image: str) -> np.ndarray | None:
      return np.asarray(masks[image].heatmap[0]) if image in masks else None

    yield Adopted(step_name(folder.name), str(folder), summed, explained)
    return
  steps = {'heatmap': step_name(config['method'])} if task == 'heatmaps' else {}
  for method in () if steps else config.get('methods', ()):
    steps[f'{step_name(method)}/heatmap'] = step_name(method)
  if not steps:
    raise UserError(f'config.heatmaps: {folder} is a run of {task!r}, which stores no heatmaps')
  for field, name in steps.items():
    status = field.replace('heatmap', 'status')

    def read(image: str, field: str = field, status: str = status) -> np.ndarray | None:
      done = image in stored and int(stored.field(image, status)) == DONE
      return stored.field(image, field) if done else None

    yield Adopted(name, str(folder), read, explained)


def _of_file(folder: pathlib.Path, image: str) -> np.ndarray | None:
  path = next((p for e in ENDINGS if (p := folder / f'{image}{e}').exists()), None)
  if path is None:
    return None
  try:
    if path.suffix == '.npy':
      return np.load(path, allow_pickle=False).astype(np.float32, casting='same_kind')
    return np.asarray(Image.open(path).convert('F'), np.float32)
  except (OSError, ValueError, TypeError) as error:
    raise UserError(f'{path}: not an array of real numbers, nor a picture') from error


def adopted_step(one: Adopted) -> Step:
  """The step that stands for adopted heatmaps: of an image that has none it says so."""

  def explain(_net: Pretrained, _share: Share) -> dict[str, Any]:
    raise UserError(f'{one.place}: has no heatmap of it that can be used')

  return Step(explain, heatmap_field, wrong_heatmap, one.name, needs=('target',), compiled=False)


def check_origins(workdir: pathlib.Path, computed: Sequence[str], found: Sequence[Adopted]) -> None:
  """Refuses heatmaps of one name from two places, and says where those of a workdir come from.

  Args:
    workdir: of the run.
    computed: the methods whose heatmaps the run computes.
    found: those of another origin.

  Raises:
    UserError: for a name under which the workdir holds others.
  """
  path = workdir / ORIGINS
  known = json.loads(path.read_text()) if path.exists() else {}
  here = dict.fromkeys(computed, '') | {one.name: os.path.abspath(one.place) for one in found}
  for name, place in here.items():
    if known.get(name, place) != place:
      raise UserError(
        f'{workdir}: holds heatmaps of {name!r} {_said(known[name])}, and these are '
        f'{_said(place)}; rename the folder, or use another workdir'
      )
  files.write_atomically(path, (json.dumps(known | here, indent=2) + '\n').encode())


def _said(place: str) -> str:
  return f'from {place}' if place else 'computed by the run'


def adopt(
  workdir: pathlib.Path,
  found: Sequence[Adopted],
  fitted: Callable[[str, np.ndarray, tuple[int, int]], np.ndarray],
) -> dict[tuple[str, str], str]:
  """Stores heatmaps that a workdir does not have yet.

  Args:
    workdir: of the run; the classes of its images are known.
    found: the heatmaps.
    fitted: (name of an image, heatmap, (H, W) of the image) -> the heatmap of that size.

  Returns:
    (image, method) -> why its heatmap cannot be used.
  """
  problems = {}
  for image, entry in manifest_of(workdir).entries.items():
    group, timings = results_group(workdir, entry.group), timings_group(workdir, entry.group)
    rows = np.array([entry.row])
    if group.read('status', rows)[0] != DONE:
      continue
    for one in found:
      if group.read(f'{one.name}/status', rows)[0] == DONE:
        continue
      try:
        values = one.read(image)
        if values is None:
          continue
        _check(one, image, values, group, rows)
        heatmap = fitted(image, values, group_shape(entry.group))
      except UserError as error:
        problems[image, one.name] = str(error)
        continue
      timings.write(rows, {f'{one.name}/seconds': np.float32(np.nan)})
      stored = {f'{one.name}/heatmap': heatmap[None], f'{one.name}/status': DONE}
      group.write(rows, stored)
  return problems


def _check(one: Adopted, image: str, values: np.ndarray, group: Group, rows: np.ndarray) -> None:
  """Refuses what is no heatmap of an image, or of another class or picture."""
  if values.ndim != 2 or not values.size:
    raise UserError(f'{one.place}: {image} has the shape {values.shape}; a heatmap is [h, w]')
  if not np.isfinite(values).all():
    raise UserError(f'{one.place}: {image} has values that are not numbers')
  explained = one.explained(image)
  if explained is None:
    return
  target, digest = (int(group.read(field, rows)[0]) for field in ('target', 'digest'))
  if explained[0] != target:
    raise UserError(
      f'{one.place}: {image} is explained for the class {explained[0]}, and here it is {target}; '
      'set config.target alike'
    )
  if explained[1] != digest:
    raise UserError(
      f'{one.place}: {image} was another picture, or fitted otherwise; set config.images, '
      'config.fit and the size of the network alike'
    )
