"""Annotations of one picture as XML, in the form of PASCAL VOC, which ILSVRC has too.

`annotation/size/{width,height}` and, for each object, `object/{name,difficult}` and
`object/bndbox/{xmin,ymin,xmax,ymax}`, counted from 1, the last included.
"""

from collections.abc import Callable
import functools
import math
import pathlib
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from perturb.data.pairs import Pair
from perturb.data.regions import Region, annotated_region, is_inside
from perturb.data.stored import Size, stored_layout
from perturb.errors import ImageError

_SIDES = ('xmin', 'ymin', 'xmax', 'ymax')


class MarkedObject(NamedTuple):
  """An object in a picture.

  Attributes:
    category: its name.
    box: left, top, right, bottom in pixels, the last two excluded.
    difficult: whether the annotators say so.
  """

  category: str
  box: tuple[float, ...]
  difficult: bool


class Annotation(NamedTuple):
  """What a file says.

  Attributes:
    size: (width, height) of the picture; None if it is not said.
    objects: in the order of the file.
  """

  size: Size | None
  objects: list[MarkedObject]


class _Builder(ElementTree.TreeBuilder):
  """Refuses what could define entities, before they are read."""

  def doctype(self, *_: object) -> None:
    raise ValueError('it has a DOCTYPE, which an annotation does not need')


def read_annotation(path: pathlib.Path) -> Annotation:
  """Reads a file.

  Raises:
    ImageError: names the file and what is wrong with it.
  """
  try:
    root = ElementTree.XML(path.read_bytes(), ElementTree.XMLParser(target=_Builder()))
    size = tuple(int(root.findtext(f'size/{side}', '0')) for side in ('width', 'height'))
    objects = [_object_of(element) for element in root.iterfind('object')]
  except FileNotFoundError as error:
    raise ImageError(f'{path}: no such file') from error
  except (ValueError, LookupError, ElementTree.ParseError, OSError) as error:
    raise ImageError(f'{path}: cannot be read as an annotation ({error})') from error
  return Annotation((size[0], size[1]) if min(size) > 0 else None, objects)


def _object_of(element: ElementTree.Element) -> MarkedObject:
  category = element.findtext('name', '').strip()
  sides = [element.findtext(f'bndbox/{side}') for side in _SIDES]
  if not category or None in sides:
    raise ValueError('an object has no name, or not all of bndbox/xmin, ymin, xmax, ymax')
  left, top, right, bottom = (float(side or '') for side in sides)
  if not all(map(math.isfinite, (left, top, right, bottom))):
    raise ValueError('a side of a box is no finite number')
  difficult = element.findtext('difficult', '0').strip() == '1'
  return MarkedObject(category, (left - 1, top - 1, right, bottom), difficult)


def pairs_of_annotation(
  picture: str, path: pathlib.Path, problems: list[str], known: Callable[[str], bool]
) -> list[Pair]:
  """The pairs of a picture and its annotation, in the order of the names of the categories.

  A category all of whose objects are difficult gives no pair. The difficult objects of another
  count as its others do.

  Args:
    picture: its path.
    path: of the annotation.
    problems: gets a line for each category that is not known, and each box that is not in the
      picture.
    known: whether a name is that of a category of the dataset.

  Raises:
    ImageError: if the annotation cannot be read.
  """
  annotation = read_annotation(path)
  found: dict[str, list[MarkedObject]] = {}
  for one in annotation.objects:
    if not known(one.category):
      problems.append(f'{path}: {one.category!r} is no category of this dataset')
    elif not is_inside(one.box, annotation.size):
      problems.append(f'{path}: a box of {one.category!r} is empty or outside the picture')
    else:
      found.setdefault(one.category, []).append(one)
  return [
    Pair(
      picture,
      category,
      functools.partial(
        _region,
        picture,
        annotation.size,
        np.array([one.box for one in objects]),
        len(found) > 1,
      ),
    )
    for category, objects in sorted(found.items())
    if not all(one.difficult for one in objects)
  ]


def _region(picture: str, stated: Size | None, boxes: np.ndarray, others: bool) -> Region:
  return annotated_region(stored_layout(picture, picture, stated), boxes, others=others)
