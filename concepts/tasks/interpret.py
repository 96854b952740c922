"""What each relevant feature stands for: the mean of the patches to which it responds most."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from concepts.average_images import EMPTY, box_of, patch, strongest_positions
from concepts.features import Features
from concepts.figures.views import FeatureView
from concepts.tasks.explain import Explained
from concepts.tasks.respond import Known
from concepts.tasks.select import Weights
from concepts.tasks.setting import Setting
from perturb.data.fitting import fit_picture
from perturb.errors import ImageError
from perturb.nets import Pretrained
from perturb.run.experiment import Share, Step
from perturb.run.inputs import digest_of
from perturb.run.loop import Outcome
from perturb.run.steps import prediction
from perturb.store.arrays import Field
from perturb.store.results import Results

PART = 'patches'
SIDE = 64  # Pixels of an average image.
KEPT = 8  # Patches of a feature that are shown.


class Strongest(NamedTuple):
  """The images to which features respond most.

  Attributes:
    features: `[R]`.
    images: of each feature, which of the images with responses, strongest first `[R, A]`.
    responses: of these, `[R, A]`; 0 where the feature does not fire.
  """

  features: np.ndarray
  images: np.ndarray
  responses: np.ndarray


def interpret(
  setting: Setting, known: Known, weights: Weights, explained: Explained
) -> tuple[dict[int, FeatureView], Outcome]:
  """The average images of the features of images, and of those shown of classes, by index."""
  of_images = np.asarray(explained.top.indices)
  shown = set(of_images[of_images >= 0].tolist()) | {
    feature
    for index in np.unique(known.labels)
    for feature, _ in weights.of_class(int(index))[: setting.config.shown]
  }
  strongest = _strongest(known, np.array(sorted(shown), np.int64), setting.config.averaged)
  needed = np.unique(strongest.images[strongest.responses > 0])
  outcome = setting.compute(
    PART,
    [prediction(), _step(setting.features, strongest.features)],
    known.indices[needed],
  )
  return _views(setting, known, strongest, outcome), outcome


def _step_name(chosen: np.ndarray) -> str:
  """Of the step for these features: others are another step, as more images are explained."""
  return f'positions_{digest_of(chosen)}'


def _strongest(known: Known, features: np.ndarray, count: int) -> Strongest:
  images: np.ndarray = np.zeros((len(features), 0), np.int64)
  values: np.ndarray = np.zeros((len(features), 0), np.float32)
  for at, responses in known.blocks(known.folds >= 0):
    images = np.concatenate([images, np.broadcast_to(at, (len(features), len(at)))], 1)
    values = np.concatenate([values, responses[:, features].T], 1)
    best = np.lexsort((images, -values))[:, :count]
    images, values = np.take_along_axis(images, best, 1), np.take_along_axis(values, best, 1)
  return Strongest(features, images, values)


def _step(features: Features, chosen: np.ndarray) -> Step:
  def compute(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    each = jnp.broadcast_to(jnp.asarray(chosen), (share['x'].shape[0], len(chosen)))
    return {'position': strongest_positions(net, share['x'], features, each)}

  field = {'position': Field('int32', ('feature', 'axis'), (len(chosen), 2))}
  return Step(compute, lambda _: field, name=_step_name(chosen))


class _Average:
  """The mean of patches, and the first of them."""

  def __init__(self) -> None:
    self.total = np.zeros((SIDE, SIDE, 3))
    self.inside = np.zeros((SIDE, SIDE, 1))
    self.patches = dict[int, np.ndarray]()

  def add(self, pixels: np.ndarray, inside: np.ndarray, rank: int) -> None:
    self.total += pixels * inside[..., None]
    self.inside += inside[..., None]
    if rank < KEPT:
      self.patches[rank] = np.where(inside[..., None], pixels, EMPTY).astype(np.uint8)

  def image(self) -> np.ndarray | None:
    if not self.inside.any():
      return None
    mean = self.total / np.maximum(self.inside, 1)
    return np.where(self.inside > 0, np.rint(mean), EMPTY).astype(np.uint8)


def _views(
  setting: Setting, known: Known, strongest: Strongest, outcome: Outcome
) -> dict[int, FeatureView]:
  done = set(outcome.done(*outcome.status))
  averages = [_Average() for _ in strongest.features]
  wanted = dict[int, list[tuple[int, int]]]()  # Image -> (number of a feature, rank).
  for number, (images, values) in enumerate(
    zip(strongest.images, strongest.responses, strict=True)
  ):
    for rank, (image, value) in enumerate(zip(images, values, strict=True)):
      if value > 0 and known.names[image] in done:
        wanted.setdefault(int(image), []).append((number, rank))
  stored = Results(setting.path / PART)
  names = [known.names[image] for image in sorted(wanted)]
  fields = [f'{_step_name(strongest.features)}/position']
  for image, (_, positions) in zip(sorted(wanted), stored.columns(names, fields), strict=True):
    pixels = _picture(setting, int(known.indices[image]))
    if pixels is None:
      continue
    for number, rank in wanted[image]:
      index, (row, column) = int(strongest.features[number]), positions[number].tolist()
      box = box_of(setting.net, setting.features, index, (row, column), pixels.shape[:2])
      averages[number].add(*patch(pixels, box, SIDE), rank)
  return {
    int(feature): _view(setting, known, strongest, number, averages[number])
    for number, feature in enumerate(strongest.features)
  }


def _picture(setting: Setting, index: int) -> np.ndarray | None:
  try:
    picture, _ = setting.dataset.picture(index)
    return fit_picture(
      picture,
      size=setting.net.size,
      fit=setting.config.fit,
      place=setting.dataset.sources[index].place,
    )
  except ImageError:  # It could be read a moment ago.
    return None


def _view(
  setting: Setting, known: Known, strongest: Strongest, number: int, average: _Average
) -> FeatureView:
  index = int(strongest.features[number])
  layer, of_layer = setting.features.place(index)
  names = setting.net.network.layer_names()
  ranks = sorted(average.patches)
  patches = [average.patches[rank] for rank in ranks]
  return FeatureView(
    index=index,
    layer=layer,
    filter=of_layer,
    depth=names.index(layer) + 1,
    layers=len(names),
    connected=not setting.features.has_extent[index],
    average=average.image(),
    patches=np.array(patches, np.uint8).reshape(-1, SIDE, SIDE, 3),
    sources=tuple(known.names[strongest.images[number, rank]] for rank in ranks),
    responses=tuple(float(strongest.responses[number, rank]) for rank in ranks),
  )
