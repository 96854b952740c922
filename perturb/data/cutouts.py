"""Cut-out objects and backgrounds from files, for `perturb.data.composites`."""

import csv
import importlib.resources
import pathlib

import numpy as np
from PIL import Image

from perturb.data.composites import OPAQUE, Cutout
from perturb.data.datasets import of_class_folders
from perturb.data.images import bundled_folder, find_images, open_cutout, open_picture
from perturb.errors import ImageError, UserError

PACKAGE = 'tuxpaint-stamps-default'  # Of Debian.
# Photographs among the stamps that show one of ImageNet's classes, and which one.
TABLE = 'stamps.csv'

# Parts of photographs of scikit-image that show no object: the file; the part as (left, top, right,
# bottom), None for all; what white becomes in a grey one, where 160 leaves a channel as it is.
_PARTS: tuple[tuple[str, tuple[int, int, int, int] | None, tuple[int, int, int]], ...] = (
  ('brick.png', None, (195, 122, 98)),
  ('grass.png', None, (145, 182, 92)),
  ('gravel.png', None, (205, 190, 168)),
  ('moon.png', None, (235, 205, 160)),
  ('hubble_deep_field.jpg', None, (160, 160, 160)),
  ('coffee.png', (490, 0, 600, 100), (160, 160, 160)),
  ('rocket.jpg', (95, 0, 555, 120), (160, 160, 160)),
)
_UNCHANGED = 160


def read_stamps(folder: str) -> list[Cutout]:
  """The stamps of Tux Paint that show a class of ImageNet, each with its usual name.

  Args:
    folder: of the stamps, as Debian's package `tuxpaint-stamps-default` installs them.

  Raises:
    UserError: if the folder or one of the stamps is not there.
  """
  root = pathlib.Path(folder).expanduser()
  if not root.is_dir():
    raise UserError(
      f'config.stamps: the folder {folder!r} does not exist; apt-get install {PACKAGE}, or give '
      'objects of your own as config.objects'
    )
  table = importlib.resources.files('perturb.data') / TABLE
  rows = list(csv.DictReader(table.read_text(encoding='utf-8').splitlines()))
  return [_read(str(root / row['file']), row['file'], row['class']) for row in rows]


def read_objects(folder: str) -> list[Cutout]:
  """Objects of one's own: `FOLDER/<class name>/*.png`, with an alpha channel.

  Raises:
    UserError: if the folder has no subfolder with pictures.
    ImageError: for a picture that cannot be read, or that has no transparency.
  """
  dataset = of_class_folders(folder, 'config.objects')
  found = []
  for i, source in enumerate(dataset.sources):
    label = dataset.record(i).label
    assert label is not None
    found.append(_read(source.path, source.name, dataset.class_names[label]))
  return found


def _read(path: str, name: str, label: str) -> Cutout:
  """A picture of a file, cut to what of it is not clear."""
  pixels = np.asarray(open_cutout(path, path))
  rows, columns = (np.flatnonzero(np.any(pixels[..., 3] > 0, axis=axis)) for axis in (1, 0))
  if np.max(pixels[..., 3]) < OPAQUE or np.min(pixels[..., 3]) == 255:
    what = 'clear' if np.max(pixels[..., 3]) < OPAQUE else 'opaque'
    raise ImageError(f'{path}: is {what} everywhere; the alpha of an object is 255, around it 0')
  return Cutout(name, label, pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def read_backgrounds(images: str) -> list[np.ndarray]:
  """Backgrounds, uint8 `[H, W, 3]` each.

  Args:
    images: as `perturb.data.images.find_images` takes it; '' for parts of photographs that
      scikit-image carries, the grey ones tinted, in which there is no object.

  Raises:
    UserError: for what matches nothing.
    ImageError: for a picture that cannot be read.
  """
  if not images:
    return [_part(*part) for part in _PARTS]
  sources, problems = find_images(images)
  if problems or not sources:
    raise UserError(f'config.backgrounds: {(problems or ["there is no picture"])[0]}')
  return [np.asarray(open_picture(source.path, source.place)) for source in sources]


def _part(
  name: str, box: tuple[int, int, int, int] | None, tint: tuple[int, int, int]
) -> np.ndarray:
  path = str(bundled_folder() / name)
  picture: Image.Image = open_picture(path, path).crop(box)
  return np.minimum(np.asarray(picture, np.int32) * tint // _UNCHANGED, 255).astype(np.uint8)
