"""PASCAL VOC: `JPEGImages/ID.jpg`, `Annotations/ID.xml`, `ImageSets/Main/SET.txt`."""

import pathlib

from perturb.data.annotation_files import pairs_of_annotation
from perturb.data.pairs import Pair, of_pairs
from perturb.data.records import Dataset
from perturb.errors import ImageError, UserError, did_you_mean

CLASSES = (
  'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
  'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train',
  'tvmonitor',
)  # fmt: skip

_PICTURES = 'JPEGImages'


def open_voc(name: str) -> Dataset:
  """A set of VOC, such as the 4952 pictures of `VOCdevkit/VOC2007:test`.

  An item is a picture and a class of which it has an object that is not marked difficult. Objects
  that are, count in its boxes and its mask, as in TorchRay's pointing game.

  Args:
    name: `FOLDER` or `FOLDER:SET`: a folder with `JPEGImages`, or one that has a single such
      folder; and a file of `ImageSets/Main`, by default `test`.

  Raises:
    UserError: if a folder or a set does not exist, or no picture is annotated.
  """
  folder, _, chosen = (name, '', '') if pathlib.Path(name).is_dir() else name.rpartition(':')
  root = _year_of(pathlib.Path(folder or name))
  problems: list[str] = []
  pairs: list[Pair] = []
  for key in _ids_of(root, chosen or 'test'):
    picture = root / _PICTURES / f'{key}.jpg'
    try:
      if not picture.is_file():
        raise ImageError(f'{picture}: no such file, but the set {chosen or "test"!r} names it')
      found = pairs_of_annotation(
        str(picture), root / 'Annotations' / f'{key}.xml', problems, CLASSES.__contains__
      )
    except ImageError as error:
      problems.append(str(error))
    else:
      pairs += found
  return of_pairs(pairs, CLASSES, problems, f'voc:{name}')


def _year_of(folder: pathlib.Path) -> pathlib.Path:
  """The folder that has the pictures: it, or one in it."""
  if not folder.is_dir():
    raise UserError(f'config.images: the folder {str(folder)!r} does not exist')
  if (folder / _PICTURES).is_dir():
    return folder
  years = sorted(path.parent for path in folder.glob(f'*/{_PICTURES}'))
  if len(years) == 1:
    return years[0]
  which = f'is one of {", ".join(path.name for path in years)}' if years else 'has JPEGImages'
  raise UserError(f'config.images: {str(folder)!r} is no folder of VOC; give that which {which}')


def _ids_of(root: pathlib.Path, chosen: str) -> list[str]:
  """The first word of each line of a set."""
  sets = root / 'ImageSets' / 'Main'
  try:
    lines = (sets / f'{chosen}.txt').read_text().splitlines()
  except (OSError, ValueError) as error:
    known = sorted(path.stem for path in sets.glob('*.txt'))
    raise UserError(
      f'config.images: {str(sets)!r} has no set {chosen!r}{did_you_mean(chosen, known)}'
    ) from error
  return [line.split()[0] for line in lines if line.strip()]
