"""Boxes in records of tensorflow-datasets."""

from collections.abc import Callable
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from perturb.data.images import Source
from perturb.data.names import unique_names
from perturb.data.records import Dataset, Record
from perturb.data.regions import Region, annotated_region
from perturb.data.stored import stored_layout
from perturb.errors import UserError

Row = dict[str, Any]


class Boxes(NamedTuple):
  """How records have boxes.

  Attributes:
    objects: the feature that is a sequence of objects; '' if a record has one box.
    label: the class of an object; '' if it has none.
    class_names: of the objects; empty if they have no label.
    first: what the first pixel is called: VOC counts from 1, and its builder keeps that.
  """

  objects: str
  label: str
  class_names: tuple[str, ...]
  first: int

  def of(self, row: Row) -> np.ndarray:
    """The boxes of a record, `[n, 4]`: top, left, bottom, right, as shares of the picture."""
    boxes = row[self.objects]['bbox'] if self.objects else [row['bbox']]
    return np.asarray(boxes, float).reshape(-1, 4)


class _Item(NamedTuple):
  """A record and a class that it shows: their numbers, its boxes, whether others are there."""

  record: int
  label: int
  boxes: np.ndarray
  others: bool


def feature_of(features: Any, kind: type, usual: str) -> str:
  """The name of a feature of a kind: the usual one, or the first; '' if there is none."""
  names = [name for name, feature in features.items() if isinstance(feature, kind)]
  return usual if usual in names else (names or [''])[0]


def boxes_of(features: Any, builder: str) -> Boxes | None:
  """How the records of a dataset have boxes, as shares of the picture; None if they have none."""
  import tensorflow_datasets as tfds

  first = 1 if builder == 'voc' else 0
  for name, feature in features.items():
    objects = getattr(feature, 'feature', None)  # Of a sequence.
    if isinstance(objects, tfds.features.FeaturesDict) and _has_boxes(objects):
      label = feature_of(objects, tfds.features.ClassLabel, 'label')
      return Boxes(name, label, tuple(objects[label].names) if label else (), first)
  return Boxes('', '', (), first) if _has_boxes(features) else None


def _has_boxes(features: Any) -> bool:
  """Whether there is `bbox`, as shares: top, left, bottom, right."""
  form = getattr(dict(features.items()).get('bbox'), 'bbox_format', None)
  return form is not None and form.value == 'REL_YXYX'


def with_regions(dataset: Dataset, row: Callable[[int], Row], boxes: Boxes) -> Dataset:
  """A dataset of labelled pictures with the region of all boxes of each; none is difficult."""

  def region(index: int) -> Region:
    return _region(dataset, index, boxes.of(row(index)), boxes.first, others=False)

  return dataclasses.replace(dataset, regions=region)


def with_pairs(dataset: Dataset, row: Callable[[int], Row], boxes: Boxes) -> Dataset:
  """The pairs of a picture and a class of its boxes; see `perturb.data.voc` for difficult ones.

  Raises:
    UserError: if no record has a box.
  """
  items: list[_Item] = []
  problems: list[str] = []
  for record in range(len(dataset.sources)):
    try:
      items += _items_of(dataset, record, row(record), boxes, problems)
    except Exception as error:  # Whatever the library raises for a damaged record.
      problems.append(str(dataset.unreadable(record, error)))
  if not items:
    raise UserError(f'config.split: none of {len(dataset.sources)} records has a box')
  names = unique_names(
    [f'{dataset.sources[one.record].name}_{boxes.class_names[one.label]}' for one in items]
  )
  places = [dataset.sources[one.record].path for one in items]

  def read(index: int) -> Record:
    return Record(dataset.read(items[index].record).file, items[index].label)

  def region(index: int) -> Region:
    one = items[index]
    return _region(dataset, one.record, one.boxes, boxes.first, others=one.others)

  return Dataset(list(map(Source, names, places)), read, boxes.class_names, tuple(problems), region)


def _items_of(
  dataset: Dataset, record: int, row: Row, boxes: Boxes, problems: list[str]
) -> list[_Item]:
  objects, shares = row[boxes.objects], boxes.of(row)
  labels = np.asarray(objects[boxes.label], int)
  difficult = np.asarray(objects.get('is_difficult', np.zeros(len(labels))), bool)
  sides = shares[:, 2:] - shares[:, :2]  # Inside a picture, or they would not have been stored.
  filled = ((sides >= 0) if boxes.first else (sides > 0)).all(axis=1)
  problems += [
    f'{dataset.sources[record].place}: a box of {boxes.class_names[label]!r} is empty'
    for label in labels[~filled]
  ]
  shown = np.unique(labels[filled])
  return [
    _Item(record, int(label), shares[filled & (labels == label)], len(shown) > 1)
    for label in shown
    if not difficult[filled & (labels == label)].all()
  ]


def _region(
  dataset: Dataset, record: int, shares: np.ndarray, first: int, *, others: bool
) -> Region:
  layout = stored_layout(dataset.read(record).file, dataset.sources[record].place)
  boxes = shares[:, [1, 0, 3, 2]] * np.tile(layout.size, 2) - [first, first, 0, 0]
  return annotated_region(layout, boxes, others=others)
