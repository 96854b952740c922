"""The task of configs/composites.py: pictures composed of cut-out objects, with exact masks."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.data.composites import Composite, Cutout, compose, on_grey
from perturb.data.cutouts import read_backgrounds, read_objects, read_stamps
from perturb.data.names import unique_names
from perturb.errors import UserError, check_choice
from perturb.figures.composites import contact_sheet
from perturb.figures.style import png
from perturb.nets import Pretrained
from perturb.run.subjects import named_network
from perturb.store import files
from perturb.store.workdir import Workdir
from perturb.tasks.checks import check_least

HEADER = ('image', 'class', 'mask')
IMAGES, MASKS = 'images', 'masks'
SHOWN = 36  # Pictures on the contact sheet: the first ones.
BATCH = 16  # Objects that the network is shown at once.


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Composes pictures; the same config, objects and backgrounds give the same bytes.

  The workdir gets `images/*.png`; `masks/*.png`, 255 where an object is seen; `labels.csv`, a row
  for each object of each picture, last, so that it lists what is there; `contact_sheet.png`, the
  first pictures with the outlines of their masks; `config.json` and `versions.json`.
  """
  _check(config)
  objects = read_objects(config.objects) if config.objects else read_stamps(config.stamps)
  backgrounds = read_backgrounds(config.backgrounds)
  if config.keep == 'known':
    objects = _known(named_network(config), objects, config.top)
  folder = Workdir(workdir, config, [IMAGES, MASKS])
  if jax.process_index() == 0:
    (folder.path / MASKS).mkdir(exist_ok=True)
    _write(folder, objects, backgrounds)
  return 0


def _check(config: ml_collections.ConfigDict) -> None:
  check_choice('config.keep', config.keep, ('known', 'all'))
  check_least(config, top=1, pictures=1, per_picture=1, size=64, seed=0)


def _known(net: Pretrained, objects: Sequence[Cutout], top: int) -> list[Cutout]:
  """The objects whose class is among the highest scores for each alone on plain grey.

  How many these are is printed. Of labels that name one class, all get the first.

  Raises:
    UserError: for a label that is no class of the network.
  """
  classes = [_class_of(net, one) for one in objects]
  first = {index: one.label for index, one in zip(classes[::-1], objects[::-1], strict=True)}
  objects = [one._replace(label=first[i]) for i, one in zip(classes, objects, strict=True)]
  pictures = np.stack([on_grey(one, net.size) for one in objects])
  padded = np.pad(pictures, [(0, -len(pictures) % BATCH), (0, 0), (0, 0), (0, 0)])
  scores = np.concatenate(
    [net(jnp.asarray(net.preprocess(padded[i : i + BATCH]))) for i in range(0, len(padded), BATCH)]
  )[: len(objects)]
  own = scores[np.arange(len(objects)), classes]
  known = np.sum(scores > own[:, None], axis=1) < top
  kept = [one for one, right in zip(objects, known, strict=True) if right]
  place = 'the highest' if top == 1 else f'among the {top} highest'
  print(
    f'kept {len(kept)} of {len(objects)} objects, '
    f'{len({one.label for one in kept})} of {len({one.label for one in objects})} classes: those '
    f'whose class is {place} of the network for the object alone'
  )
  return kept


def _class_of(net: Pretrained, one: Cutout) -> int:
  try:
    return net.class_index(one.label)
  except UserError as error:
    raise UserError(f'{one.name}: {error}; config.keep=all takes any class') from error


def _write(folder: Workdir, objects: Sequence[Cutout], backgrounds: Sequence[np.ndarray]) -> None:
  config = folder.config
  labels = sorted({one.label for one in objects})
  in_files = dict(zip(labels, unique_names([x.replace(' ', '_') for x in labels]), strict=True))
  rows: list[tuple[str, str, str]] = []
  shown: list[tuple[np.ndarray, np.ndarray, str]] = []
  for name, made in _composed(config, objects, backgrounds):
    folder.write(f'{IMAGES}/{name}.png', files.png_bytes(made.picture))
    seen = [objects[i].label for i in made.objects]
    for label, mask in zip(seen, made.masks, strict=True):
      place = f'{MASKS}/{name}_{in_files[label]}.png'
      folder.write(place, files.png_bytes(np.uint8(255) * mask))
      rows.append((f'{IMAGES}/{name}.png', label, place))
    if len(shown) < SHOWN:
      shown.append((made.picture, made.masks, ', '.join(seen)))
  folder.write('contact_sheet.png', png(contact_sheet(shown)))
  files.write_table(folder.path / 'labels.csv', HEADER, rows)
  print(f'the pictures are in {folder.path / IMAGES}, their classes and masks in labels.csv')


def _composed(
  config: ml_collections.ConfigDict, objects: Sequence[Cutout], backgrounds: Sequence[np.ndarray]
) -> Iterator[tuple[str, Composite]]:
  """(name, what it is made of) of each picture."""
  for index in range(config.pictures):
    yield (
      f'{index:04d}',
      compose(
        objects,
        backgrounds,
        seed=config.seed,
        index=index,
        size=config.size,
        count=config.per_picture,
      ),
    )
