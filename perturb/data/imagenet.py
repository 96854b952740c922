"""ImageNet's validation pictures with boxes, as in ILSVRC's localisation task."""

import pathlib
import re

from perturb.data.annotation_files import pairs_of_annotation
from perturb.data.images import is_hidden, may_be_picture
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
  pictures_root, boxes_root = _or_root(root, 'Data'), _or_root(root, 'Annotations')
  pictures = [path for path in _files_of(pictures_root) if _is_picture(path)]
  files = [path for path in _files_of(boxes_root) if path.suffix == '.xml']
  found = _Annotations(files, boxes_root)
  matches = {path: found.of(path.relative_to(pictures_root)) for path in pictures}
  alone = sorted(set(files) - set(matches.values()))
  problems = [f'{path}: its picture is not there' for path in alone]
  without = [path for path in pictures if matches[path] is None]
  if without:
    problems.append(f'{without[0]}: has no annotation, like {len(without)} pictures in all')
  pairs: list[Pair] = []
  for picture, annotation in matches.items():
    if annotation is None:
      continue
    try:
      pairs += pairs_of_annotation(str(picture), annotation, problems, _is_wnid)
    except ImageError as error:
      problems.append(str(error))
  return of_pairs(pairs, sorted({pair.category for pair in pairs}), problems, f'imagenet:{folder}')


def _or_root(root: pathlib.Path, kind: str) -> pathlib.Path:
  """`root/Data/CLS-LOC/val`, if it is there."""
  return root / kind / _PART if (root / kind / _PART).is_dir() else root


class _Annotations:
  """XML files in a folder, and in folders in it."""

  def __init__(self, files: list[pathlib.Path], root: pathlib.Path):
    self.places = {path.relative_to(root).with_suffix(''): path for path in files}
    self.stems = {path.stem: path for path in files}

  def of(self, picture: pathlib.Path) -> pathlib.Path | None:
    """That of a picture, whose path is given from the root: of the same folder, or one has none."""
    stem = pathlib.Path(picture.stem)
    known = self.places.get(picture.with_suffix('')) or self.places.get(stem)
    return known or (self.stems.get(picture.stem) if len(picture.parts) == 1 else None)


def _files_of(folder: pathlib.Path) -> list[pathlib.Path]:
  """Those in it, and in folders in it."""
  found = sorted([*folder.glob('*.*'), *folder.glob('*/*.*')])
  return [path for path in found if not any(map(is_hidden, _parts(path, folder)))]


def _parts(path: pathlib.Path, root: pathlib.Path) -> list[pathlib.Path]:
  return [pathlib.Path(part) for part in path.relative_to(root).parts]


def _is_picture(path: pathlib.Path) -> bool:
  return path.suffix != '.xml' and may_be_picture(path)


def _is_wnid(name: str) -> bool:
  return re.fullmatch(r'n\d{8}', name) is not None
