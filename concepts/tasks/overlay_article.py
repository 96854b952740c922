"""The files of the published article: sprites of similarities, and tables of its line charts."""

from collections.abc import Sequence
import itertools
import pathlib
import shutil

import numpy as np

from concepts.figures.overlay_views import TransformView
from concepts.overlays import Layer
from concepts.patch_similarity import similarity
from concepts.sprites import line_table, sprite
from perturb.data.names import unique_names
from perturb.store import files

PICTURES = ('number', 'picture')


def write_article(
  path: pathlib.Path,
  names: Sequence[str],
  layers: Sequence[Layer],
  transforms: Sequence[TransformView],
) -> None:
  """Writes `LAYER/multi_I_J.png`, the sprite of pictures I and J, and those of the transforms.

  Those are in `LAYER/KIND_SOURCE/`: `I_J.png`, and `lines/I.csv` of the chart, by the numbers of
  the amounts. `pictures.csv` says which number a picture has.

  Args:
    path: of a folder, which is made anew: numbers of earlier pictures would not be these.
    names: of the N pictures.
    layers: their activations.
    transforms: of the page; their `pictures` are indices into the activations.
  """
  if path.exists():  # Of other pictures, whose numbers would mean these.
    shutil.rmtree(path)
  path.mkdir()
  files.write_table(path / 'pictures.csv', PICTURES, enumerate(names))
  for layer, name in zip(layers, unique_names([one.name for one in layers]), strict=True):
    folder = path / name
    folder.mkdir(exist_ok=True)
    _write_sprites(folder, 'multi_', layer, range(len(names)))
    for view in transforms:
      place = folder / f'{view.kind}_{view.source}'
      (place / 'lines').mkdir(parents=True, exist_ok=True)
      _write_sprites(place, '', layer, view.pictures)
      for number in range(len(view.pictures)):
        text = _lines(layer, view, number)
        files.write_atomically(place / 'lines' / f'{number}.csv', text.encode())


def _write_sprites(
  folder: pathlib.Path, prefix: str, layer: Layer, pictures: Sequence[int]
) -> None:
  for (i, first), (j, second) in itertools.product(enumerate(pictures), repeat=2):
    cosines = similarity(layer.activations[first], layer.activations[second])
    data = files.png_bytes(sprite(cosines, own=i == j))
    files.write_atomically(folder / f'{prefix}{i}_{j}.png', data)


def _lines(layer: Layer, view: TransformView, number: int) -> str:
  each = [np.asarray(layer.activations[at]) for at in view.pictures]
  similarities = [similarity(each[number], one) for one in each]
  return line_table(similarities, view.places[layer.name][number], number)
