"""Datasets of annotated pictures: an item is a picture and one of the categories that it shows."""

from collections.abc import Callable, Sequence
import pathlib
from typing import NamedTuple

from perturb.data.images import Source
from perturb.data.names import harmless, unique_names
from perturb.data.records import Dataset, Record
from perturb.data.regions import Region
from perturb.errors import UserError


class Pair(NamedTuple):
  """A picture and a category.

  Attributes:
    path: of the picture.
    category: its name; '' for none.
    region: gives the place of the category in the picture; raises `ImageError`.
  """

  path: str
  category: str
  region: Callable[[], Region]


def of_pairs(
  pairs: Sequence[Pair], categories: Sequence[str], problems: Sequence[str], name: str
) -> Dataset:
  """Pairs as a dataset: `000012_dog` and `000012_car` are items that read the same picture.

  Args:
    pairs: in the order of the items.
    categories: the names that labels stand for, in order; those of the pairs are among them.
    problems: a line for each annotation or picture that gives no pair.
    name: of the dataset, for an error.

  Raises:
    UserError: if there is no pair.
  """
  if not pairs:
    first = f'; the first of {len(problems)} problems: {problems[0]}' if problems else ''
    raise UserError(f'config.images: {name!r} has no annotated picture{first}')
  labels = {category: label for label, category in enumerate(categories)}
  names = unique_names(['_'.join(filter(None, _name_parts(pair))) for pair in pairs])
  return Dataset(
    sources=[Source(name, pair.path) for name, pair in zip(names, pairs, strict=True)],
    read=lambda i: Record(pairs[i].path, labels.get(pairs[i].category)),
    class_names=tuple(map(harmless, categories)),
    problems=tuple(problems),
    regions=lambda i: pairs[i].region(),
  )


def _name_parts(pair: Pair) -> tuple[str, str]:
  return pathlib.PurePath(pair.path).stem, pair.category
