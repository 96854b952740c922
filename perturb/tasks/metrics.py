"""The metrics of the benchmarks: what is computed of a heatmap, and how the numbers are read."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.base import Method
from perturb.evaluate.deleted_parts import Evidence, part_importance
from perturb.evaluate.deletion import deletion_insertion
from perturb.evaluate.localisation import heatmap_boxes
from perturb.evaluate.localisation_scores import LEAST_IOU, best_threshold, localisation_ious
from perturb.evaluate.occluded_boxes import box_occlusion
from perturb.evaluate.overlap import iou_curves, relevance_mass, relevance_rank
from perturb.evaluate.pointing import pointing_game
from perturb.evaluate.randomised_nets import layers_from, parametrised_layers, randomised
from perturb.evaluate.sensitivity import class_sensitivity
from perturb.nets import Pretrained
from perturb.ops.heatmaps import smooth, spearman
from perturb.run.experiment import Share, Step
from perturb.store.arrays import Field


class Column(NamedTuple):
  """A number of each image and method.

  Attributes:
    title: what a figure calls it.
    best: 'more', 'less' or 'zero', which is better.
    hint: of what it is, and which way is better.
    by_class: whether the mean is one over the classes' means, as in the pointing game.
    of_picture: whether it is the same for every class of a picture, which then counts once.
  """

  title: str
  best: str
  hint: str
  by_class: bool = False
  of_picture: bool = False


class Curve(NamedTuple):
  """Numbers over something, that a figure shows.

  Attributes:
    field: their name, `[n, T]`.
    title: of the panel.
    across, up: labels of the axes.
    last: where the curve ends, from 0.
  """

  field: str
  title: str
  across: str
  up: str
  last: float = 100


class Asked(NamedTuple):
  """A method whose heatmaps are measured.

  Attributes:
    name: in results and files.
    title: what a figure calls it.
    method: (f, x, target) -> heatmaps; None where there are only heatmaps of another origin.
    compiled: whether the method can be.
    config: of the run.
  """

  name: str
  title: str
  method: Method | None
  compiled: bool
  config: ml_collections.ConfigDict

  @property
  def source(self) -> str:
    """Where its heatmap is stored."""
    return f'{self.name}/heatmap'


class View(NamedTuple):
  """What is marked in an image, as it is compared with a heatmap.

  Attributes:
    mask: bool `[H, W]`, the object.
    boxes: `[n, 4]`, around its instances: (top, left, bottom, right), the last two excluded.
    difficult: whether the object is small and another class is there too.
    scale: pixels of the view a pixel of the picture.
  """

  mask: np.ndarray
  boxes: np.ndarray
  difficult: bool
  scale: float


class Deletions(NamedTuple):
  """What the network says of an image, and of it without each of its P parts.

  Attributes:
    score: of the class explained.
    without: `[P]`, of that class without each part; NaN where that is not known.
    parts: int `[H, W]`, as it is compared with a heatmap: 1 + the part that a pixel shows, or 0.
  """

  score: float
  without: np.ndarray
  parts: np.ndarray

  def correlations(self, heatmaps: Sequence[np.ndarray], evidence: Evidence) -> np.ndarray:
    """`[M]`, of the image's heatmaps; see `perturb.evaluate.part_importance`."""
    count = len(heatmaps)
    scores, without = np.full(count, self.score), np.tile(self.without, (count, 1))
    parts = [self.parts] * count
    return part_importance(scores, without, heatmaps, parts, evidence=evidence).correlation


class Block(NamedTuple):
  """What a metric is given of some images, of one method.

  Attributes:
    heatmaps: `[n, H, W]`.
    views: of each, if the dataset is annotated.
    deletions: of each, if the metric is of parts.
    fields: what the metric's step has stored of each: name -> `[n, ...]`.
    config: of the run.
  """

  heatmaps: np.ndarray
  views: Sequence[View]
  deletions: Sequence[Deletions]
  fields: Mapping[str, np.ndarray]
  config: ml_collections.ConfigDict


class Metric(NamedTuple):
  """A metric.

  Attributes:
    columns: its numbers, by name.
    numbers: of some images: name -> `[n, ...]`.
    step: what asks the network, and what it stores; None where the heatmap says all. It gives None
      for a method that cannot be measured by it.
    annotated: whether it needs to know where the object is.
    parts: whether it needs what the network says of the picture without each of its parts.
    finish: from the numbers of all images, and which half chooses what is chosen (bool `[N]`), to
      the columns, `[N]` each; NaN where an image has none.
    curves: those of its numbers that are curves.
  """

  columns: Mapping[str, Column]
  numbers: Callable[[Block], dict[str, np.ndarray]]
  step: Callable[[Asked], Step | None] | None = None
  annotated: bool = False
  parts: bool = False
  finish: Callable[[dict[str, np.ndarray], np.ndarray], dict[str, np.ndarray]] = lambda n, _: n
  curves: tuple[Curve, ...] = ()


def stored_fields(block: Block) -> dict[str, np.ndarray]:
  """The numbers of a metric whose step stores them as they are."""
  return dict(block.fields)


def step_of(
  metric: str,
  asked: Asked,
  explain: Callable[[Pretrained, Share], dict[str, jax.Array]],
  fields: dict[str, Field],
  *,
  compiled: bool = True,
) -> Step:
  """The step of a metric: it is given the target and the heatmap.

  Args:
    metric: its name.
    asked: the method.
    explain: what one device runs.
    fields: what is stored.
    compiled: whether `explain` can be; one that calls the method can if that can.
  """
  return Step(
    explain,
    lambda _: fields,
    name=f'{asked.name}_{metric}',
    needs=('target', asked.source),
    compiled=compiled,
  )


def _pointing(block: Block) -> dict[str, np.ndarray]:
  heatmaps = block.heatmaps
  if block.config.smooth:
    heatmaps = np.asarray(smooth(jnp.asarray(heatmaps), block.config.smooth))
  tolerance, mode = block.config.tolerance, block.config.mode
  hits = np.array(
    [
      pointing_game(heat, view.mask, tolerance=tolerance * view.scale, mode=mode)[0]
      for heat, view in zip(heatmaps, block.views, strict=True)
    ],
    np.float32,
  )
  difficult = np.array([view.difficult for view in block.views])
  return {
    'pointing': hits,
    'pointing_difficult': np.where(difficult, hits, np.nan),
    'pointing_pairs': hits,
  }


def _localisation(block: Block) -> dict[str, np.ndarray]:
  sizes = [view.mask.shape for view in block.views]
  boxes = heatmap_boxes(block.heatmaps, np.array(sizes), rule=block.config.threshold)
  return {'ious': localisation_ious(boxes, [view.boxes for view in block.views])}


def _localised(numbers: dict[str, np.ndarray], held_out: np.ndarray) -> dict[str, np.ndarray]:
  """Whether each image of the half that does not choose the threshold is localised."""
  ious, found = numbers['ious'], np.full(len(held_out), np.nan)
  known = np.isfinite(ious).all(1)
  if (known & held_out).any() and (known & ~held_out).any():
    best = best_threshold(ious[known], range(ious.shape[1]), held_out=held_out[known])
    judged = known & ~held_out
    found[judged] = ious[judged, int(best.threshold)] >= LEAST_IOU
  return {'localisation': found}


def _overlap(block: Block) -> dict[str, np.ndarray]:
  masks = [view.mask for view in block.views]
  curves = iou_curves(block.heatmaps, masks)
  return {
    'iou_auc': curves.areas,
    'relevance_mass': relevance_mass(block.heatmaps, masks),
    'relevance_rank': relevance_rank(block.heatmaps, masks),
    'ious': curves.ious,
  }


def _parts(block: Block) -> dict[str, np.ndarray]:
  def correlations(evidence: Evidence) -> np.ndarray:
    pairs = zip(block.deletions, block.heatmaps, strict=True)
    return np.array([one.correlations([heat], evidence)[0] for one, heat in pairs], np.float32)

  return {'parts': correlations('sum'), 'parts_mean': correlations('mean')}


def _deletion_step(asked: Asked) -> Step:
  steps, fill = asked.config.steps, asked.config.fill

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    x = share['x']
    pixels = -(-x.shape[1] * x.shape[2] // steps)
    found = deletion_insertion(
      net, x, share['target'], share[asked.source], pixels=pixels, deletion_fill=fill
    )
    return {
      'deletion': found.deletion_auc,
      'insertion': found.insertion_auc,
      'deletion_curve': as_long(found.deletion),
      'insertion_curve': as_long(found.insertion),
    }

  def as_long(curves: jax.Array) -> jax.Array:
    """With as many points in every shape of image: a last step of whole pixels may be spared."""
    return jnp.pad(curves, ((0, 0), (0, steps + 1 - curves.shape[1])), 'edge')

  curve = Field('float32', ('point',), (steps + 1,))
  fields = {'deletion': Field(), 'insertion': Field()} | {
    f'{game}_curve': curve for game in ('deletion', 'insertion')
  }
  return step_of('deletion', asked, explain, fields)


def _occlusion_step(asked: Asked) -> Step:
  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    key = jax.random.key(asked.config.seed)
    found = box_occlusion(net, share['x'], share['target'], share[asked.source], key=key)
    return {'box_occlusion': found.drops}

  return step_of('box_occlusion', asked, explain, {'box_occlusion': Field()})


def _sensitivity_step(asked: Asked) -> Step | None:
  if asked.method is None:
    return None
  method = asked.method

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    found = class_sensitivity(method, net, share['x'])
    return {'class_sensitivity': found.correlation}

  fields = {'class_sensitivity': Field()}
  return step_of('class_sensitivity', asked, explain, fields, compiled=asked.compiled)


def _sanity_step(asked: Asked) -> Step | None:
  if asked.method is None:
    return None
  method, config = asked.method, asked.config

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    layers = parametrised_layers(net)
    # Not the key that draws the weights of config.weights='random'.
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    drawn = randomised(net, layers, key)
    depths = jnp.round(jnp.linspace(0, len(layers) - 1, config.depths)).astype(jnp.int32)

    def alike(depth: jax.Array) -> jax.Array:
      heat = method(layers_from(net, drawn, depth), share['x'], share['target'])
      return spearman(jnp.abs(heat), jnp.abs(share[asked.source]))

    if asked.compiled:
      found = jax.lax.map(alike, depths).T
    else:
      found = jnp.stack([alike(depth) for depth in depths], axis=1)
    return {'sanity_curve': found, 'sanity': found[:, -1]}

  curve = Field('float32', ('depth',), (config.depths,))
  fields = {'sanity_curve': curve, 'sanity': Field()}
  return step_of('sanity', asked, explain, fields, compiled=asked.compiled)


METRICS: dict[str, Metric] = {
  'pointing': Metric(
    {
      'pointing': Column('Pointing', 'more', 'mean of classes ↑', by_class=True),
      'pointing_difficult': Column(
        'Pointing, difficult', 'more', 'mean of classes ↑', by_class=True
      ),
      'pointing_pairs': Column('Pointing, pairs', 'more', 'mean of pairs ↑'),
    },
    _pointing,
    annotated=True,
  ),
  'localisation': Metric(
    {'localisation': Column('Localisation', 'more', 'IoU at least 0.5 ↑')},
    _localisation,
    annotated=True,
    finish=_localised,
  ),
  'overlap': Metric(
    {
      'iou_auc': Column('IoU', 'more', 'AUC of thresholds ↑'),
      'relevance_mass': Column('Mass', 'more', 'evidence inside ↑'),
      'relevance_rank': Column('Rank', 'more', 'top pixels inside ↑'),
    },
    _overlap,
    annotated=True,
    curves=(
      Curve('ious', 'Overlap with the object', 'threshold of the heatmap (%)', 'IoU', last=95),
    ),
  ),
  'parts': Metric(
    {
      'parts': Column('Parts, sums', 'more', 'rank correlation ↑'),
      'parts_mean': Column('Parts, means', 'more', 'rank correlation ↑'),
    },
    _parts,
    parts=True,
  ),
  'deletion': Metric(
    {
      'deletion': Column('Deletion', 'less', 'AUC ↓'),
      'insertion': Column('Insertion', 'more', 'AUC ↑'),
    },
    stored_fields,
    _deletion_step,
    curves=(
      Curve('deletion_curve', 'Deletion', 'pixels deleted (%)', 'probability'),
      Curve('insertion_curve', 'Insertion', 'pixels inserted (%)', 'probability'),
    ),
  ),
  'box_occlusion': Metric(
    {'box_occlusion': Column('Occluded boxes', 'more', 'mean drop ↑')},
    stored_fields,
    _occlusion_step,
  ),
  'class_sensitivity': Metric(
    {
      'class_sensitivity': Column(
        'Class sensitivity', 'zero', 'correlation, near 0', of_picture=True
      )
    },
    stored_fields,
    _sensitivity_step,
  ),
  'sanity': Metric(
    {'sanity': Column('Sanity', 'zero', 'all drawn anew, near 0')},
    stored_fields,
    _sanity_step,
    curves=(
      Curve(
        'sanity_curve', 'Weights drawn anew', 'layers below the top one (%)', 'rank correlation'
      ),
    ),
  ),
}
