"""Where the objects of a benchmark are, as heatmaps are compared with them."""

import ml_collections
import numpy as np

from perturb.data.datasets import Dataset
from perturb.data.fitted_regions import fitted_boxes, fitted_mask
from perturb.data.fitting import keeps_all, place_fitted
from perturb.errors import ImageError
from perturb.nets import Pretrained
from perturb.tasks.metrics import View

_ROWS_FIRST = [1, 0, 3, 2]  # (left, top, right, bottom) as (top, left, bottom, right).
_NOTHING = View(np.zeros((1, 1), bool), np.zeros((0, 4)), False, 1.0)


class Views:
  """The objects of a dataset, by name of the item.

  Where a fit keeps all of a picture, heatmaps are compared at the size of the picture; else what it
  cuts off does not count, and they are compared as the network saw it.

  Args:
    dataset: that is annotated.
    net: the network, to whose size pictures are fitted.
    config: `fit` and, if it has one, `multiple`.

  Attributes:
    problems: (name, place, reason) of the items whose annotation cannot be read.
  """

  def __init__(self, dataset: Dataset, net: Pretrained, config: ml_collections.ConfigDict):
    self.problems = list[tuple[str, str, str]]()
    self._dataset = dataset
    self._index = {source.name: i for i, source in enumerate(dataset.sources)}
    self._fit = {'size': net.size, 'fit': config.fit, 'multiple': config.get('multiple', 1)}

  def of(self, name: str) -> View:
    """What is marked in an item; nothing, where that cannot be read."""
    index = self._index[name]
    try:
      region = self._dataset.region(index)
      mask = region.mask()
    except ImageError as error:
      self.problems.append((name, self._dataset.sources[index].place, str(error)))
      return _NOTHING
    if keeps_all(*region.size, **self._fit):
      return View(mask, region.boxes[:, _ROWS_FIRST], region.difficult, 1.0)
    boxes = fitted_boxes(region.boxes, *region.size, **self._fit)
    scale = place_fitted(*region.size, **self._fit).scaled[0] / region.size[0]
    fitted = fitted_mask(mask, **self._fit)
    return View(fitted, boxes[:, _ROWS_FIRST], region.difficult, scale)

  def parts(self, masks: np.ndarray) -> np.ndarray:
    """Which part each pixel shows: 1 + its index, or 0.

    Args:
      masks: bool `[P, H, W]`, the parts of a picture.
    """
    if not keeps_all(*masks.shape[:0:-1], **self._fit):
      masks = np.stack([fitted_mask(mask, **self._fit) for mask in masks])
    return np.max(masks * np.arange(1, 1 + len(masks))[:, None, None], axis=0)
