"""What a network says of pictures without one of their parts: a run of its own, in a subfolder."""

from collections.abc import Callable, Mapping
import dataclasses
import pathlib

import ml_collections
import numpy as np

from perturb.data.images import Source, png_file
from perturb.data.records import Dataset, Parts, Record
from perturb.errors import UserError
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment, Targets
from perturb.run.loop import Outcome, Run
from perturb.run.steps import prediction
from perturb.store.results import Results
from perturb.tasks.metrics import Deletions
from perturb.tasks.views import Views

FOLDER = 'parts'  # Of the workdir.


def parts_of(dataset: Dataset, config: ml_collections.ConfigDict) -> Callable[[int], Parts]:
  """`Dataset.parts`.

  Raises:
    UserError: if no picture can be had without a part.
  """
  if dataset.parts is None:
    raise UserError(
      "config.metrics: 'parts' needs the pictures without each of their parts, and config.images "
      f"{config.images!r} has none; 'an8flower:single-6c', 'double-12c' and 'part-2c' have"
    )
  return dataset.parts


def delete_parts(
  net: Pretrained,
  dataset: Dataset,
  targets: Mapping[str, np.ndarray],
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
) -> Outcome:
  """Asks the network of some images without each of their parts, of which nothing is stored yet.

  Args:
    net: the network.
    dataset: with parts.
    targets: name of an image -> the class that is explained, int32.
    config: of the run.
    workdir: of the run; the results are in its subfolder `parts`.
  """
  folder = workdir / FOLDER
  folder.mkdir(exist_ok=True)
  pictures, whole = _without_each(dataset, targets, config)
  given = {name: targets[image] for name, image in whole.items()}
  step = dataclasses.replace(prediction(), needs=('target',))
  experiment = Experiment(net, (step,), Targets(lambda _label: -1), given={'target': given})
  return Run(experiment, pictures, config, folder)()


def _without_each(
  dataset: Dataset, images: Mapping[str, object], config: ml_collections.ConfigDict
) -> tuple[Dataset, dict[str, str]]:
  """(some images of a dataset without each of their parts, name there -> name of the image)."""
  parts, sources, items, whole = parts_of(dataset, config), [], [], dict[str, str]()
  for index, source in enumerate(dataset.sources):
    for part, name in enumerate(parts(index).names if source.name in images else ()):
      sources.append(Source(_name(source.name, name), _name(source.place, name)))
      items.append((index, part))
      whole[sources[-1].name] = source.name

  def read(item: int) -> Record:
    index, part = items[item]
    return Record(png_file(parts(index).without(part)), None)

  return Dataset(sources, read), whole


def _name(image: str, part: str) -> str:
  return f'{image} without {part}'


class DeletedParts:
  """What is lost of the images of a run with each of their parts, once `delete_parts` has run.

  Args:
    stored: the results of the run.
    dataset: with parts.
    net: the network.
    config: of the run.
  """

  def __init__(
    self,
    stored: Results,
    dataset: Dataset,
    net: Pretrained,
    config: ml_collections.ConfigDict,
  ):
    without = Results(stored.workdir / FOLDER)
    self._whole = dict(stored.columns(stored.names, ['score']))
    self._without = dict(without.columns(without.names, ['score']))
    self._views = Views(dataset, net, config)
    self._parts = parts_of(dataset, config)
    self._index = {source.name: i for i, source in enumerate(dataset.sources)}

  def of(self, name: str) -> Deletions:
    """Of an image that is done."""
    parts = self._parts(self._index[name])
    without = [self._without.get(_name(name, part), np.nan) for part in parts.names]
    return Deletions(float(self._whole[name]), np.array(without), self._views.parts(parts.masks))
