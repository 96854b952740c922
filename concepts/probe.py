"""What a probe dataset is: pictures by index, whose pixels are labelled with many concepts."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import NamedTuple

import numpy as np

from perturb.data.records import Dataset
from perturb.errors import ImageError


class Concept(NamedTuple):
  """Something that pixels or pictures are labelled with.

  Attributes:
    number: in label maps, from 1.
    name: 'wheel'.
    categories: in which it occurs: 'object', 'part', 'material', 'texture', 'color', 'scene'.
  """

  number: int
  name: str
  categories: tuple[str, ...]


class Labels(NamedTuple):
  """What is labelled in a picture, by category; a category that is not labelled is missing.

  Attributes:
    maps: numbers of concepts, int32 `[M, sh, sw]`: a pixel may have several in one category. 0
      where nothing is labelled.
    whole: numbers of the concepts of the whole picture.
  """

  maps: Mapping[str, np.ndarray]
  whole: Mapping[str, tuple[int, ...]]

  def categories(self) -> set[str]:
    """The categories in which the picture is labelled."""
    return {*self.maps, *(name for name, numbers in self.whole.items() if numbers)}


@dataclasses.dataclass(frozen=True)
class Probe:
  """A probe dataset: N pictures and C concepts.

  Attributes:
    pictures: N.
    train: which of them are for training, bool `[N]`; the others are for validation.
    concepts: C, by rising number.
    size: (sh, sw) of the label maps, in pixels.
    read: index of a picture -> its labels; raises what its library raises.
  """

  pictures: Dataset
  train: np.ndarray
  concepts: tuple[Concept, ...]
  size: tuple[int, int]
  read: Callable[[int], Labels]

  def labels(self, index: int) -> Labels:
    """What is labelled in a picture.

    Raises:
      ImageError: names the picture and what is wrong.
    """
    try:
      return self.read(index)
    except ImageError:
      raise
    except Exception as error:  # Whatever a library raises for a damaged file.
      raise self.pictures.unreadable(index, error) from error

  def masks(self, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The concepts of a picture, and where each is.

    A concept is where any map of any category has its number; everywhere, if it is one of the whole
    picture.

    Returns:
      (indices into `concepts`, rising, int `[P]`; bool `[P, sh, sw]`).

    Raises:
      ImageError: as `labels`; for a number that is no concept's.
    """
    _, indices, masks = self.labelled(index)
    return indices, masks

  def labelled(self, index: int) -> tuple[Labels, np.ndarray, np.ndarray]:
    """What `labels` and `masks` give, from one reading of the picture's label maps.

    Raises:
      ImageError: as `masks`.
    """
    labels, known = self.labels(index), [one.number for one in self.concepts]
    stacked = [found for maps in labels.maps.values() for found in maps]
    whole = {number for numbers in labels.whole.values() for number in numbers}
    there = whole.union(*(np.unique(found).tolist() for found in stacked)) - {0}
    if unknown := sorted(there - set(known)):
      place = self.pictures.sources[index].place
      raise ImageError(f'{place}: label {unknown[0]} is none of the {len(known)} concepts')
    indices = np.flatnonzero([number in there for number in known])
    masks = np.zeros((len(indices), *self.size), bool)
    for mask, number in zip(masks, (known[i] for i in indices), strict=True):
      for found in stacked:
        mask |= found == number
      mask |= number in whole
    return labels, indices, masks
