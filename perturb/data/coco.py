"""COCO: instances as JSON, `images`, `annotations` and `categories`, and a folder of pictures.

https://cocodataset.org/#format-data
"""

import functools
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from perturb.data.coco_instances import Instance, instance_or_same, instances_mask, total_area
from perturb.data.pairs import Pair, of_pairs
from perturb.data.records import Dataset
from perturb.data.regions import Region, annotated_region, is_inside
from perturb.data.stored import Size, stored_layout
from perturb.errors import UserError

_LISTS = ('images', 'annotations', 'categories')


class _Image(NamedTuple):
  path: pathlib.Path
  size: Size


def open_coco(name: str) -> Dataset:
  """The pictures of a file of instances.

  An item is a picture and a category that it shows; crowds count. Items are in the order of the
  ids of pictures, then of categories; labels number the categories in the order of their ids. A
  picture without annotations gives no item.

  Args:
    name: `FILE.json` or `FILE.json:FOLDER`, where the pictures are. Without one, a folder called
      as the set, `val2014` for `instances_val2014.json`, beside the file, beside its folder, or in
      a folder `images` there.

  Raises:
    UserError: if the file or the folder does not exist or is something else, or no picture is
      annotated.
  """
  path, folder = _places_of(name)
  data = _read(path)
  problems: list[str] = []
  categories = _categories_of(data['categories'], path)
  images = _images_of(data['images'], path, folder, problems)
  found: dict[int, dict[int, list[Instance]]] = {}
  for one in data['annotations']:
    problem = _problem_of(one, images, categories)
    if problem:
      problems.append(f'{path}: {problem}')
    elif images[one.picture]:
      found.setdefault(one.picture, {}).setdefault(one.category, []).append(one)
  pairs = [
    Pair(
      str(image.path),
      categories[category],
      functools.partial(_region, path, image, tuple(instances), len(shown) > 1),
    )
    for picture, shown in sorted(found.items())
    if (image := images[picture])
    for category, instances in sorted(shown.items())
  ]
  return of_pairs(pairs, list(categories.values()), problems, f'coco:{name}')


def _region(
  path: pathlib.Path, image: _Image, instances: tuple[Instance, ...], others: bool
) -> Region:
  return annotated_region(
    stored_layout(str(image.path), str(image.path), image.size),
    np.array([one.box for one in instances]),
    others=others,
    area=total_area(instances, image.size, str(path)),
    draw=lambda size: instances_mask(instances, size, str(path)),
  )


def _places_of(name: str) -> tuple[pathlib.Path, pathlib.Path]:
  """(the file, the folder of the pictures)."""
  file, _, folder = (name, '', '') if pathlib.Path(name).is_file() else name.partition('.json:')
  path = pathlib.Path(f'{file}.json' if folder else file)
  if not path.is_file():
    what = 'is a folder; name the file of annotations' if path.is_dir() else 'does not exist'
    raise UserError(f'config.images: the file {str(path)!r} {what}')
  if folder:
    places = [pathlib.Path(folder)]
  else:
    part, above = path.stem.removeprefix('instances_'), path.absolute().parent
    places = [above / part, above.parent / part, above.parent / 'images' / part]
  for place in places:
    if place.is_dir():
      return path, place
  raise UserError(
    f'config.images: there is no folder {" or ".join(map(str, places))}; give that of the '
    f"pictures: 'coco:{path}:FOLDER'"
  )


def _read(path: pathlib.Path) -> dict[str, list[Any]]:
  try:
    with path.open(encoding='utf-8') as file:
      data = json.load(file, object_hook=instance_or_same)
  except (ValueError, RecursionError, OSError) as error:
    raise UserError(f'config.images: {path} cannot be read as JSON ({error})') from error
  if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in _LISTS):
    raise UserError(f'config.images: {path} has no lists {", ".join(_LISTS)}, as instances have')
  if not all(isinstance(one, Instance) for one in data['annotations']):
    raise UserError(
      f'config.images: {path} has annotations that are no instances, with integers image_id and '
      'category_id'
    )
  return data


def _categories_of(entries: list[Any], path: pathlib.Path) -> dict[int, str]:
  """Id -> name, in the order of the ids."""
  try:
    names = {int(entry['id']): str(entry['name']) for entry in entries}
  except (KeyError, TypeError, ValueError) as error:
    raise UserError(f'config.images: {path} has a category without id or name') from error
  if len(set(names.values())) < len(entries):
    raise UserError(f'config.images: {path} has two categories of the same id or name')
  return dict(sorted(names.items()))


def _images_of(
  entries: list[Any], path: pathlib.Path, folder: pathlib.Path, problems: list[str]
) -> dict[int, _Image | None]:
  """Id -> picture; None for one whose file is not there, which is a problem."""
  images: dict[int, _Image | None] = {}
  for entry in entries:
    try:
      image = _Image(folder / entry['file_name'], (int(entry['width']), int(entry['height'])))
      images[int(entry['id'])] = image
    except (KeyError, TypeError, ValueError) as error:
      raise UserError(
        f'config.images: {path} has an image without id, file_name, width or height'
      ) from error
  missing = {key: one.path for key, one in images.items() if one and not one.path.is_file()}
  problems += [f'{place}: no such file, but {path} names it' for place in missing.values()]
  return images | dict.fromkeys(missing)


def _problem_of(one: Instance, images: dict[int, _Image | None], categories: dict[int, str]) -> str:
  """What is wrong with an annotation; '' if nothing is."""
  if one.picture not in images:
    return f'annotation {one.key}: there is no image {one.picture}'
  if one.category not in categories:
    return f'annotation {one.key}: there is no category {one.category}'
  if one.wrong:
    return f'annotation {one.key}: {one.wrong}'
  image = images[one.picture]
  if image and not is_inside(one.box, image.size):
    return f'annotation {one.key}: its bbox is empty or outside {image.path}'
  return ''
