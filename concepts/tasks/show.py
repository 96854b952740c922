"""The page and the figures of a study of relevant features."""

from collections.abc import Sequence
import math

import numpy as np

from concepts.figures import relevant as figures
from concepts.figures.relevant_page import relevant_page
from concepts.figures.views import ClassView, Curve, FeatureView, ImageView, Study
from concepts.tasks.explain import OURS, PART, Explained
from concepts.tasks.overlap import Row
from concepts.tasks.respond import Known
from concepts.tasks.select import Weights
from concepts.tasks.setting import Setting
from perturb.data.fitted_regions import fitted_mask
from perturb.errors import UserError
from perturb.figures.style import png
from perturb.run.shown import shown_pictures
from perturb.store import files
from perturb.store.results import Results
from perturb.store.workdir import Workdir

CLASSES = ('class', 'images', 'accuracy', 'features')
IN_FIGURE = 6  # Images of the figure of explanations.


def show(
  setting: Setting,
  folder: Workdir,
  known: Known,
  weights: Weights,
  features: dict[int, FeatureView],
  explained: Explained,
  curves: Sequence[Curve],
  rows: Sequence[Row],
  of_parts: Sequence[Row],
) -> None:
  """Writes `relevant.html`, `classes.csv` and the figures."""
  classes = _classes(setting, known, weights)
  images = _images(setting, known, explained)
  table = [(row.title, row.mean, row.deviation, row.paper) for row in rows]
  parts = [(row.title, row.mean, row.deviation) for row in of_parts]
  study = Study(
    title=f'{setting.config.images} · {type(setting.net.network).__name__}',
    made=_made(setting, known, weights),
    features=features,
    classes=classes,
    images=images,
    curves=curves,
    table=table,
    parts=parts,
  )
  folder.write('relevant.html', relevant_page(study))
  _write_classes(folder, known, weights, classes)
  drawn = {
    'average_images': figures.average_images(classes, features, setting.config.shown),
    'explanations': figures.explanations(images[:IN_FIGURE], features) if images else None,
    'ablation': figures.ablation(curves) if curves else None,
    'overlap': figures.overlap(table) if table else None,
    'parts': figures.parts(parts) if parts else None,
  }
  for name, figure in drawn.items():
    if figure is not None:
      folder.write(f'{name}.png', png(figure))


def _write_classes(
  folder: Workdir,
  known: Known,
  weights: Weights,
  classes: Sequence[ClassView],
) -> None:
  rows = [
    (one.name, one.images, f'{one.accuracy:.6g}', len(weights.of_class(int(index))))
    for one, index in zip(classes, np.unique(known.labels), strict=True)
  ]
  files.write_table(folder.path / 'classes.csv', CLASSES, rows)


def _made(setting: Setting, known: Known, weights: Weights) -> str:
  config = setting.config
  return (
    f'{len(known.names)} images, {setting.features.count} features of '
    f'{len(setting.features.layers)} layers; mode {config.mode}, mu {weights.mu:g}'
  )


def _classes(setting: Setting, known: Known, weights: Weights) -> list[ClassView]:
  """The accuracy is that on the first fold, which a network that was trained here has not seen."""
  right, unseen = known.labels == known.predicted, known.folds == 0
  found = []
  for index in np.unique(known.labels):
    of_class = known.labels == index
    tested = right[of_class & unseen]
    found.append(
      ClassView(
        setting.net.class_name(int(index)),
        weights.of_class(int(index))[: setting.config.shown],
        int(of_class.sum()),
        float(tested.mean()) if len(tested) else math.nan,
      )
    )
  return found


def _images(setting: Setting, known: Known, explained: Explained) -> list[ImageView]:
  numbers = {explained.names[i]: i for i in explained.on_page(known, setting.config.figures)}
  stored = Results(setting.path / PART)
  shown = shown_pictures(setting.net, setting.dataset, list(numbers), setting.config, stored)
  return [
    _image(setting, known, explained, stored, one.name, one.image, numbers[one.name])
    for one in shown
  ]


def _image(
  setting: Setting,
  known: Known,
  explained: Explained,
  stored: Results,
  name: str,
  picture: np.ndarray,
  number: int,
) -> ImageView:
  at, net = explained.at[number], setting.net
  indices, contributions = (np.asarray(one)[number] for one in explained.top)
  some = indices >= 0
  columns = (one[some].tolist() for one in (indices, contributions, explained.shares[number]))
  return ImageView(
    name=name,
    picture=picture,
    label=net.class_name(int(known.labels[at])) if setting.classes else '',
    predicted=net.class_name(int(known.predicted[at])),
    probability=float(stored.field(name, 'probability')),
    features=list(zip(*columns, strict=True)),
    heatmaps=stored.field(name, f'{OURS}/each')[some],
    combined=stored.field(name, f'{OURS}/heatmap'),
    mask=_mask(setting, int(known.indices[at])),
  )


def _mask(setting: Setting, index: int) -> np.ndarray | None:
  if setting.dataset.regions is None:
    return None
  try:
    mask = setting.dataset.region(index).mask()
  except UserError:
    return None
  return fitted_mask(mask, size=setting.net.size, fit=setting.config.fit, multiple=1)
