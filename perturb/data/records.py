"""What a dataset is: pictures by index, their labels, and where their objects are."""

from collections.abc import Callable, Sequence
import dataclasses
from typing import NamedTuple

import numpy as np
from PIL import Image

from perturb.data.images import File, Source, open_picture, picture_size
from perturb.data.regions import Region
from perturb.errors import ImageError, UserError


class Record(NamedTuple):
  """An encoded picture, and the index of its class in the dataset, if known."""

  file: File
  label: int | None


class Parts(NamedTuple):
  """The P parts that a picture shows, and the pictures that it would be without each.

  Attributes:
    names: of each.
    masks: bool `[P, H, W]`, the pixels of the upright picture that show each.
    without: index of a part -> uint8 `[H, W, 3]`, the picture without it; made when asked for.
  """

  names: tuple[str, ...]
  masks: np.ndarray
  without: Callable[[int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Pictures by index.

  Attributes:
    sources: a distinct name and a place for each: `[N]`.
    read: index -> its record; raises what its library raises.
    class_names: of the labels; empty where there are none.
    problems: a line for each item asked for that matches nothing.
    regions: index -> where the class of an item is in its upright picture; None if no item is
      annotated. It raises `ImageError`, or what its library raises.
    groups: of each item, which group of near-duplicates it belongs to; a split keeps them together.
    parts: index -> the parts that the picture of an item shows; None if no picture can be had
      without one.
  """

  sources: Sequence[Source]
  read: Callable[[int], Record]
  class_names: tuple[str, ...] = ()
  problems: tuple[str, ...] = ()
  regions: Callable[[int], Region] | None = None
  groups: tuple[int, ...] | None = None
  parts: Callable[[int], Parts] | None = None

  def record(self, index: int) -> Record:
    """What is stored of a picture.

    Raises:
      ImageError: names the place and what is wrong there.
    """
    try:
      return self.read(index)
    except Exception as error:  # Whatever a library raises for a damaged record.
      raise self.unreadable(index, error) from error

  def picture(self, index: int) -> tuple[Image.Image, int | None]:
    """(the upright RGB picture, its label).

    Raises:
      ImageError: names the place and what is wrong there.
    """
    file, label = self.record(index)
    return open_picture(file, self.sources[index].place), label

  def size(self, index: int) -> tuple[int, int]:
    """(width, height) of the upright picture, in pixels; see `picture_size`.

    Raises:
      ImageError: names the place and what is wrong there.
    """
    return picture_size(self.record(index).file, self.sources[index].place)

  def region(self, index: int) -> Region:
    """Where the class of an item is in its upright picture.

    Raises:
      ImageError: names the place and what is wrong there.
      UserError: if the pictures have no boxes and no masks.
    """
    if self.regions is None:
      raise UserError(
        "config.images: these pictures have no boxes or masks; 'voc:', 'coco:', 'imagenet:', "
        "'masks:' and 'an8flower:' have"
      )
    try:
      return self.regions(index)
    except ImageError:
      raise
    except Exception as error:  # As of `record`.
      raise self.unreadable(index, error) from error

  def take(self, indices: Sequence[int]) -> 'Dataset':
    """Some of its items, in this order."""
    regions, groups, parts = self.regions, self.groups, self.parts
    return dataclasses.replace(
      self,
      sources=[self.sources[i] for i in indices],
      read=lambda i: self.read(indices[i]),
      regions=None if regions is None else lambda i: regions(indices[i]),
      groups=None if groups is None else tuple(groups[i] for i in indices),
      parts=None if parts is None else lambda i: parts(indices[i]),
    )

  def unreadable(self, index: int, error: Exception) -> ImageError:
    """The error of an item for what a library raises."""
    line = ' '.join(str(error).split()) or type(error).__name__
    return ImageError(f'{self.sources[index].place}: cannot be read ({line})')
