"""an8Flower: flowers whose classes differ in one part, or in its colour, with exact masks.

Oramas, Wang and Tuytelaars, "Visual Explanation by Interpretation", ICLR 2019, sections 4.3 and 9:
of each class 40 viewpoints; of each the crops at the four corners and in the middle; of each of
these five rotations. These 1000 pictures a class are rendered here
(`perturb.data.flower_pictures`), as the authors' files cannot be shipped. A folder may have theirs.
"""

import functools
import itertools
import pathlib
import re
import threading
from typing import NamedTuple

import numpy as np

from perturb.data.flower_parts import PARTS
from perturb.data.flower_pictures import (
  CROPS,
  ROTATIONS,
  VARIANTS,
  VIEWPOINTS,
  Rendered,
  discriminative_part,
  render_whole,
  view,
)
from perturb.data.images import Source, is_hidden, may_be_picture, open_picture, png_file
from perturb.data.names import harmless, unique_names
from perturb.data.records import Dataset, Parts, Record
from perturb.data.regions import Region, masked_region, region_of_mask
from perturb.errors import UserError, did_you_mean

MASKS = '_MASK'  # What the name of the folder of the masks ends with.
WITHOUT = 64  # Frames without a part that are kept: the 25 pictures of a frame take up to 7.


class Item(NamedTuple):
  """What the name of a picture says.

  Attributes:
    label: the index of its class, from 0; the name counts from 1.
    viewpoint: from 0.
    crop: from 1.
    rotation: from 1.
  """

  label: int
  viewpoint: int
  crop: int
  rotation: int

  @property
  def name(self) -> str:
    """As the authors name files, `class1_img0_p1_r1`, without the ending."""
    return f'class{self.label + 1}_img{self.viewpoint}_p{self.crop}_r{self.rotation}'


def items_of(
  classes: int, viewpoints: int = VIEWPOINTS, crops: int = CROPS, rotations: int = ROTATIONS
) -> list[Item]:
  """The items of so many classes, viewpoints, crops and rotations, in the order of a dataset."""
  counts = range(classes), range(viewpoints), range(1, crops + 1), range(1, rotations + 1)
  return [Item(*numbers) for numbers in itertools.product(*counts)]


def open_an8flower(name: str) -> Dataset:
  """Flowers with the exact mask of what makes their class.

  `groups` are the viewpoints: the 25 pictures of a frame are nearly the same, and those of one
  viewpoint in several classes differ in nothing but the class. A split that parts them would leak.
  What is rendered is also there without each of its parts.

  Args:
    name: one of `VARIANTS`, which is rendered when it is read, with a plain background; or a folder
      with a folder of pictures for each class, `class1_img0_p1_r1.png` or `.jpg`, and beside it
      the same names with masks: `an8Flower_single_6c/petals_red/` and
      `an8Flower_single_6c_MASK/petals_red/`. Both give the same items.

  Raises:
    UserError: if it is neither, or a folder without pictures or masks.
  """
  if pathlib.Path(name).is_dir():
    return _of_folder(pathlib.Path(name))
  if name not in VARIANTS:
    known = list(VARIANTS)
    raise UserError(
      f"config.images: 'an8flower:{name}' is no folder and none of {', '.join(known)}"
      f'{did_you_mean(name, known)}; configs/an8flower.py makes a folder'
    )
  return _rendered(name)


def folder_of(variant: str) -> str:
  """The name of the folder of a set's pictures, `an8Flower_single_6c`; masks are in `_MASK`."""
  return f'an8Flower_{variant.replace("-", "_")}'


def _rendered(variant: str) -> Dataset:
  classes = VARIANTS[variant]
  items = items_of(len(classes))
  lock = threading.Lock()  # Threads that want one frame are not all to render it.

  @functools.lru_cache(maxsize=len(classes) * VIEWPOINTS)  # 0.6 MB each.
  def frame(label: int, viewpoint: int) -> Rendered:
    return render_whole(variant, classes[label], viewpoint)

  @functools.lru_cache(maxsize=WITHOUT)
  def frame_without(label: int, viewpoint: int, part: str) -> Rendered:
    return render_whole(variant, classes[label], viewpoint, without=[part])

  def seen(index: int) -> Rendered:
    item = items[index]
    with lock:
      whole = frame(item.label, item.viewpoint)
    return view(whole, item.crop, item.rotation)

  def parts(index: int) -> Parts:
    item, shown = items[index], seen(index)
    names = tuple(PARTS[i - 1] for i in np.unique(shown.parts) if i)

    def without(part: int) -> np.ndarray:
      with lock:
        whole = frame_without(item.label, item.viewpoint, names[part])
      return view(whole, item.crop, item.rotation).picture

    return Parts(names, np.stack([shown.mask(name) for name in names]), without)

  def read(index: int) -> Record:
    return Record(png_file(seen(index).picture), items[index].label)

  def region(index: int) -> Region:
    mask = seen(index).mask(discriminative_part(classes[items[index].label]))
    return region_of_mask(items[index].name, mask, others=False)

  sources = [Source(item.name, f'an8flower:{variant} {item.name}') for item in items]
  groups = tuple(item.viewpoint for item in items)
  return Dataset(sources, read, classes, regions=region, groups=groups, parts=parts)


class _File(NamedTuple):
  """A picture of a folder: what its name and its folder say, its path, and that of its mask."""

  item: Item
  path: pathlib.Path
  mask: pathlib.Path


def _of_folder(root: pathlib.Path) -> Dataset:
  masks = root.with_name(root.name + MASKS)
  if not masks.is_dir():
    raise UserError(f'config.images: {root} has no masks; they are to be in {masks}')
  folders = sorted(
    (path for path in root.iterdir() if path.is_dir() and not is_hidden(path)), key=_class_name
  )
  problems: list[str] = []
  files: list[_File] = []
  for label, folder in enumerate(folders):
    files += _files_of(label, folder, masks / folder.name, problems)
  if not files:
    first = f'; the first of {len(problems)} problems: {problems[0]}' if problems else ''
    raise UserError(f'config.images: {root} has no picture with a mask{first}')
  names = unique_names([file.path.stem for file in files])

  def region(index: int) -> Region:
    file = files[index]
    place = str(file.path)
    return masked_region(place, place, _open_mask(file.mask), others=False)

  return Dataset(
    [Source(name, str(file.path)) for name, file in zip(names, files, strict=True)],
    lambda i: Record(str(files[i].path), files[i].item.label),
    tuple(_class_name(folder) for folder in folders),
    tuple(problems),
    region,
    tuple(file.item.viewpoint for file in files),
  )


def _class_name(folder: pathlib.Path) -> str:
  return harmless(folder.name.replace('_', ' '))


def _files_of(
  label: int, folder: pathlib.Path, masks: pathlib.Path, problems: list[str]
) -> list[_File]:
  """The pictures of a class that have a mask, in order; what is wrong with others is a problem."""
  found = []
  for path in sorted(filter(may_be_picture, folder.iterdir())):
    numbers = re.fullmatch(r'class(\d+)_img(\d+)_p(\d+)_r(\d+)', path.stem)
    mask = masks / path.name
    if not numbers:
      problems.append(f'{path}: its name is to be as class1_img0_p1_r1')
    elif not mask.is_file():
      problems.append(f'{path}: has no mask; it is to be {mask}')
    else:
      found.append(_File(Item(label, *map(int, numbers.groups()[1:])), path, mask))
  return sorted(found, key=lambda file: file.item)


def _open_mask(path: pathlib.Path) -> np.ndarray:
  """Where a stored mask is bright, bool `[H, W]`: JPEG leaves no zeros around it."""
  return np.asarray(open_picture(str(path), str(path))).max(axis=-1) >= 128
