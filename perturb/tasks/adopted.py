"""Heatmaps that are there already: of another run, or of another tool, in files."""

from collections.abc import Callable, Iterator, Sequence
import functools
import json
import pathlib
import sys
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from PIL import Image

from perturb.errors import UserError
from perturb.nets import Pretrained
from perturb.ops.heatmaps import resize
from perturb.run.experiment import Share, Step
from perturb.run.steps import heatmap_field, step_name, wrong_heatmap
from perturb.store.arrays import DONE
from perturb.store.explanations import Explanations
from perturb.store.manifest import group_shape
from perturb.store.results import Results, manifest_of, results_group, timings_group

ENDINGS = ('.npy', '.png')


class Adopted(NamedTuple):
  """Heatmaps of another origin.

  Attributes:
    name: of the method, in results and files.
    place: where they come from.
    read: name of an image -> `[h, w]`, or None where there is none.
  """

  name: str
  place: str
  read: Callable[[str], np.ndarray | None]


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
  if (folder / 'images.csv').exists():
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
  if task == 'extremal':
    masks = Explanations(folder)

    def summed(image: str) -> np.ndarray | None:
      return np.asarray(masks[image].heatmap[0]) if image in masks else None

    yield Adopted(step_name(folder.name), str(folder), summed)
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

    yield Adopted(name, str(folder), read)


def _of_file(folder: pathlib.Path, image: str) -> np.ndarray | None:
  path = next((p for e in ENDINGS if (p := folder / f'{image}{e}').exists()), None)
  if path is None:
    return None
  try:
    if path.suffix == '.npy':
      return np.asarray(np.load(path, allow_pickle=False), np.float32)
    return np.asarray(Image.open(path).convert('F'), np.float32)
  except (OSError, ValueError) as error:
    raise UserError(f'{path}: not a heatmap ({error})') from error


def adopted_step(one: Adopted) -> Step:
  """The step that stands for adopted heatmaps: of an image that has none it says so."""

  def explain(_net: Pretrained, _share: Share) -> dict[str, Any]:
    raise UserError(f'{one.place} has no heatmap of it')

  return Step(explain, heatmap_field, wrong_heatmap, one.name, needs=('target',), compiled=False)


def adopt(workdir: pathlib.Path, found: Sequence[Adopted]) -> None:
  """Stores heatmaps that a workdir does not have yet; what cannot be read is named on stderr.

  Args:
    workdir: of the run; its images have their places.
    found: the heatmaps; one of another size than its image is resized.
  """
  for image, entry in manifest_of(workdir).entries.items():
    group, timings = results_group(workdir, entry.group), timings_group(workdir, entry.group)
    rows = np.array([entry.row])
    for one in found:
      if group.read(f'{one.name}/status', rows)[0] == DONE:
        continue
      try:
        values = one.read(image)
        if values is None:
          continue
        if values.ndim != 2:
          raise UserError(f'{one.place}: {image} has the shape {values.shape}; a heatmap is [h, w]')
      except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        continue
      heatmap = resize(jnp.asarray(values, jnp.float32), group_shape(entry.group))
      timings.write(rows, {f'{one.name}/seconds': np.float32(np.nan)})
      stored = {f'{one.name}/heatmap': np.asarray(heatmap)[None], f'{one.name}/status': DONE}
      group.write(rows, stored)
