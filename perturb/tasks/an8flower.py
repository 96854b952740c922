"""The task of configs/an8flower.py: flowers whose classes differ in one thing, with its mask."""

from collections.abc import Iterator
import itertools

import jax
import ml_collections
import numpy as np

from perturb.data.an8flower import MASKS, Item, folder_of, items_of
from perturb.data.flower_pictures import (
  CROPS,
  ROTATIONS,
  VARIANTS,
  Rendered,
  Scene,
  discriminative_part,
  render_whole,
  view,
)
from perturb.errors import UserError, check_choice
from perturb.figures.composites import contact_sheet
from perturb.figures.style import png
from perturb.store import files
from perturb.store.workdir import Workdir
from perturb.tasks.checks import check_least

HEADER = ('image', 'class', 'mask', 'viewpoint')
COLUMNS = 6  # Of the contact sheet: viewpoints of each class.


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Renders a set of flowers; the same config gives the same bytes.

  The workdir gets `an8Flower_single_6c/CLASS/class1_img0_p1_r1.png` and so on;
  `an8Flower_single_6c_MASK/` with the same names, 255 where the part is seen that makes the class;
  `contact_sheet.png`, some pictures of each class with the outlines of their masks; `labels.csv`, a
  row for each picture, last, so that it lists what is there; `config.json` and `versions.json`.
  """
  scene = _scene(config)
  pictures = folder_of(config.variant)
  folder = Workdir(workdir, config, [pictures, pictures + MASKS])
  if jax.process_index() == 0:
    _write(folder, scene)
  return 0


def _scene(config: ml_collections.ConfigDict) -> Scene:
  check_choice('config.variant', config.variant, list(VARIANTS))
  check_choice('config.background', config.background, ('plain', 'textured'))
  check_least(config, viewpoints=1, crops=1, rotations=1, jitter=0, seed=0)
  for name, most in (('crops', CROPS), ('rotations', ROTATIONS), ('jitter', 1)):
    if config[name] > most:
      raise UserError(f'config.{name} must be at most {most}, not {config[name]}')
  return Scene(config.viewpoints, config.background, config.jitter, config.seed)


def _write(folder: Workdir, scene: Scene) -> None:
  config = folder.config
  classes, pictures = VARIANTS[config.variant], folder_of(config.variant)
  rows, shown = [], []
  on_sheet = _on_sheet(config)
  for item, seen in _rendered(config, scene):
    label = classes[item.label]
    mask = seen.mask(discriminative_part(label))
    name = f'{label.replace(" ", "_")}/{item.name}.png'
    for place, pixels in ((pictures, seen.picture), (pictures + MASKS, np.uint8(255) * mask)):
      (folder.path / place / name).parent.mkdir(parents=True, exist_ok=True)
      folder.write(f'{place}/{name}', files.png_bytes(pixels))
    rows.append((f'{pictures}/{name}', label, f'{pictures}{MASKS}/{name}', item.viewpoint))
    if item in on_sheet:
      shown.append((seen.picture, mask[None], f'{label}, view {item.viewpoint}'))
  folder.write('contact_sheet.png', png(contact_sheet(shown, COLUMNS, 'black')))
  files.write_table(folder.path / 'labels.csv', HEADER, rows)
  print(f'{len(rows)} pictures: --config.images=an8flower:{folder.path / pictures}')


def _rendered(config: ml_collections.ConfigDict, scene: Scene) -> Iterator[tuple[Item, Rendered]]:
  """Each picture of the set, in order; a frame is rendered once for its pictures."""
  classes = VARIANTS[config.variant]
  items = items_of(len(classes), config.viewpoints, config.crops, config.rotations)
  for (label, viewpoint), of_frame in itertools.groupby(items, lambda item: item[:2]):
    whole = render_whole(config.variant, classes[label], viewpoint, scene=scene)
    for item in of_frame:
      yield item, view(whole, item.crop, item.rotation)


def _on_sheet(config: ml_collections.ConfigDict) -> set[Item]:
  """Viewpoints evenly over the turn, each with another crop and rotation."""
  columns = range(min(COLUMNS, config.viewpoints))
  return {
    Item(
      label, k * config.viewpoints // len(columns), 1 + k % config.crops, 1 + k % config.rotations
    )
    for label in range(len(VARIANTS[config.variant]))
    for k in columns
  }
