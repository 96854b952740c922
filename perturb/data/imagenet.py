"""ImageNet's validation pictures with boxes, as in ILSVRC's localisation task."""

import pathlib
import re

from perturb.data.annotation_files import pairs_of_annotation
from perturb.data.images import may_be_picture
from perturb.data.pairs import Pair, of_pairs
from perturb.data.records import Dataset
from perturb.errors import ImageError, UserError

_PART = pathlib.Path('CLS-LOC', 'val')


def open_imagenet(folder: str) -> Dataset:
  """Pictures and XML files of the same name, whose objects have wnids as names.

  Pictures are in `Data/CLS-LOC/val` if there is such a folder, else in `folder`; XML files in
  `Annotations/CLS-LOC/val`, else in `folder`. Both may be in subfolders, such as those of classes.
  Items are in the order of their paths; labels are the wnids that occur, sorted.

  Raises:
    UserError: if the folder does not exist, or no picture is annotated.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise UserError(f'config.images: the folder {folder!r} does not exist')
  pictures = [path for path in _files_of(_or_root(root, 'Data')) if _is_picture(path)]
  files = [path for path in _files_of(_or_root(root, 'Annotations')) if path.suffix == '.xml']
  annotations = {path.stem: path for path in files}
  stems = {path.stem for path in pictures}
  problems = [f'{path}: its picture is not there' for path in files if path.stem not in stems]
  without = [path for path in pictures if path.stem not in annotations]
  if without:
    problems.append(f'{without[0]}: has no annotation, like {len(without)} pictures in all')
  pairs: list[Pair] = []
  for picture in pictures:
    if picture.stem not in annotations:
      continue
    try:
      pairs += pairs_of_annotation(str(picture), annotations[picture.stem], problems, _is_wnid)
    except ImageError as error:
      problems.append(str(error))
  return of_pairs(pairs, sorted({pair.category for pair in pairs}), problems, f'imagenet:{folder}')


def _or_root(root: pathlib.Path, kind: str) -> pathlib.Path:
  """`root/Data/CLS-LOC/val`, if it is there."""
  return root / kind / _PART if (root / kind / _PART).is_dir() else root


def _files_of(folder: pathlib.Path) -> list[pathlib.Path]:
  """Those in it, and in folders in it."""
  return sorted([*folder.glob('*.*'), *folder.glob('*/*.*')])


def _is_picture(path: pathlib.Path) -> bool:
  return path.suffix != '.xml' and may_be_picture(path)


def _is_wnid(name: str) -> bool:
  return re.fullmatch(r'n\d{8}', name) is not None
