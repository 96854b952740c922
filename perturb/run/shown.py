"""The pictures that figures of a run show, read again once their results are stored."""

from collections.abc import Sequence
import sys
from typing import NamedTuple
import zlib

import ml_collections
import numpy as np

from perturb.data.datasets import Dataset
from perturb.data.fitting import fit_picture
from perturb.errors import UserError
from perturb.nets import Pretrained
from perturb.store.results import Results


class Shown(NamedTuple):
  """A picture of a run, for a figure.

  Attributes:
    name: of the image.
    image: uint8 `[H, W, 3]`, as the network saw it, before its normalisation.
    picture: uint8 `[2H, 2W, 3]`, the same at twice the resolution.
  """

  name: str
  image: np.ndarray
  picture: np.ndarray


def shown_pictures(
  net: Pretrained,
  dataset: Dataset,
  names: Sequence[str],
  config: ml_collections.ConfigDict,
  stored: Results,
) -> list[Shown]:
  """Some pictures of a run; those that cannot be shown any more are named on stderr.

  Args:
    net: the network that saw them.
    dataset: of the pictures.
    names: of those that are shown; they have results.
    config: `fit` and, if it has one, `multiple`.
    stored: the results.
  """
  index = {source.name: i for i, source in enumerate(dataset.sources)}
  found = []
  for name in names:
    try:
      found.append(_shown(net, dataset, index[name], config, stored))
    except UserError as error:
      print(f'not drawn: {error}', file=sys.stderr)
  return found


def _shown(
  net: Pretrained, dataset: Dataset, index: int, config: ml_collections.ConfigDict, stored: Results
) -> Shown:
  source, (picture, _) = dataset.sources[index], dataset.picture(index)
  multiple = config.get('multiple', 1)
  image, large = (
    fit_picture(
      picture,
      size=net.size,
      fit=config.fit,
      multiple=multiple,
      scale=scale,
      place=source.place,
    )
    for scale in (1, 2)
  )
  if zlib.crc32(image.tobytes()) != stored.field(source.name, 'digest'):
    raise UserError(f'{source.place}: has changed since it was explained')
  return Shown(source.name, image, large)
