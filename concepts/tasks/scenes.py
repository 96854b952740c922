"""The task of configs/scenes.py: generated scenes as a probe dataset in BRODEN's format."""

from collections.abc import Mapping, Sequence
import io
import pathlib
from typing import NamedTuple
import zlib

import jax
import ml_collections
import numpy as np
from PIL import Image

from concepts.broden import IMAGES
from concepts.figures.scenes import label_sheet
from concepts.probes import open_probe
from concepts.scenes import Scene, compose_scene
from concepts.splits import hash_fraction, is_trained
from concepts.tasks.broden_tables import (
  Row,
  Shares,
  number_labels,
  shares_of,
  write_index,
  write_labels,
)
from perturb.data.composites import Cutout
from perturb.data.cutouts import read_stamps
from perturb.errors import UserError
from perturb.figures.style import png
from perturb.store import files
from perturb.store.workdir import Workdir
from perturb.tasks.checks import check_least

FOLDER, SOURCE = 'broden', 'scenes'  # The dataset in the workdir; its pictures in `images/`.
SHOWN = 24  # Pictures on the sheet: the first ones.


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Composes a probe dataset; the same config gives the same bytes.

  The workdir gets `broden/`, which `concepts.broden.open_broden` reads, index.csv last, so that it
  lists what is there; `labels.png`, the first pictures with their label maps; `config.json` and
  `versions.json`.
  """
  check_least(config, pictures=1, size=64, seed=0)
  if config.size % 2:
    raise UserError(f'config.size must be even, not {config.size}: label maps have half of it')
  cutouts = read_stamps(config.stamps) if config.stamps else []
  folder = Workdir(workdir, config, [FOLDER])
  if jax.process_index() == 0:
    root = folder.path / FOLDER
    write_scenes(root, config.pictures, config.size, config.seed, cutouts)
    probe = open_probe(f'broden:{root}')
    folder.write('labels.png', png(label_sheet(probe, min(SHOWN, config.pictures))))
    print(f'{config.pictures} pictures, {len(probe.concepts)} concepts: broden:{root}')
  return 0


class _Made(NamedTuple):
  """A scene that is written, but for its maps, whose numbers are known once all are composed."""

  name: str
  shares: Shares
  maps: Mapping[str, list[bytes]]
  whole: Mapping[str, tuple[str, ...]]
  names: tuple[str, ...]


def write_scenes(
  root: pathlib.Path, pictures: int, size: int, seed: int, cutouts: Sequence[Cutout] = ()
) -> None:
  """Writes a dataset of generated scenes into a folder, which is made.

  Args:
    root: the folder.
    pictures: how many.
    size: their side in pixels, even.
    seed: of what is in them.
    cutouts: as of `concepts.scenes.compose_scene`.
  """
  (root / IMAGES / SOURCE).mkdir(parents=True, exist_ok=True)
  made = [_write_picture(root, i, compose_scene(seed, i, size, cutouts)) for i in range(pictures)]
  made.sort(key=lambda one: hash_fraction(f'{one.name}.jpg'))
  shares = [one.shares for one in made]
  labels = number_labels(shares)
  numbers = {label.name: label.number for label in labels}
  rows = [_write_maps(root, one, numbers, size // 2) for one in made]
  write_index(root, write_labels(root, labels, shares), size, rows)


def _write_picture(root: pathlib.Path, index: int, scene: Scene) -> _Made:
  name = f'{SOURCE}/{index:05d}'
  buffer = io.BytesIO()
  Image.fromarray(scene.picture).save(buffer, 'jpeg', quality=95, subsampling=0)
  files.write_atomically(root / IMAGES / f'{name}.jpg', buffer.getvalue())
  maps = {k: [zlib.compress(one.tobytes()) for one in maps] for k, maps in scene.maps.items()}
  return _Made(name, shares_of(scene), maps, scene.whole, scene.names)


def _write_maps(root: pathlib.Path, made: _Made, numbers: Mapping[str, int], side: int) -> Row:
  """Writes the label maps of a picture; returns its row of the index."""
  of_code = np.array([0, *(numbers.get(name, 0) for name in made.names)])
  cells = {
    category: ';'.join(str(numbers[name]) for name in names)
    for category, names in made.whole.items()
  }
  for category, packed in made.maps.items():
    places = [f'{made.name}_{category}{_layer(i, len(packed))}.png' for i in range(len(packed))]
    for place, one in zip(places, packed, strict=True):
      codes = np.frombuffer(zlib.decompress(one), np.uint16).reshape(side, side)
      found = of_code[codes]
      pixels = np.stack([found % 256, found // 256, np.zeros_like(found)], axis=-1)
      files.write_atomically(root / IMAGES / place, files.png_bytes(pixels.astype(np.uint8)))
    cells[category] = ';'.join(places)
  image = f'{made.name}.jpg'
  return Row(image, 'train' if is_trained(image) else 'val', cells)


def _layer(index: int, count: int) -> str:
  """`_1` of the first of several."""
  return f'_{index + 1}' if count > 1 else ''
