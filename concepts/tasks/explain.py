"""Images explained by the features of the class predicted, and by other methods."""

import sys
from typing import NamedTuple

import jax
import numpy as np

from concepts.features import Features
from concepts.heatmaps import Kind, combined, feature_heatmaps
from concepts.relevant import Top, top_features
from concepts.tasks.respond import Known
from concepts.tasks.select import Weights, held_out_folds
from concepts.tasks.setting import Setting
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.experiment import Shape, Share, Step
from perturb.run.loop import Outcome
from perturb.run.steps import heatmap, heatmap_field, prediction, step_name, wrong_heatmap
from perturb.run.subjects import options_of, references_of
from perturb.store.arrays import Field

PART = 'explanations'
OURS = 'relevant'
# Step -> what its heatmaps are made by, what a figure calls it, and which features it is given.
OF_FEATURES: dict[str, tuple[Kind, str, str]] = {
  OURS: ('stride_one', 'Relevant features', 'features'),
  'relevant_guided': ('guided', 'Relevant features, deconvnet + guided', 'features'),
  'relevant_upsampled': (
    'upsampled',
    'Relevant features with extent, upsampled',
    'features_with_extent',
  ),
}


class Explained(NamedTuple):
  """The n images that were explained.

  Attributes:
    names: of each.
    at: of each, which of the images with responses it is, `[n]`.
    top: its features `[n, K]`, -1 where it has fewer, and their contributions.
    shares: of the sum of all positive contributions, `[n, K]`.
    methods: step -> what a figure calls it.
    outcome: of the run.
  """

  names: list[str]
  at: np.ndarray
  top: Top
  shares: np.ndarray
  methods: dict[str, str]
  outcome: Outcome

  def done(self, known: Known) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(the images of which every method has a heatmap, the fold of each, the label of each)."""
    names = self.outcome.done(*self.outcome.status)
    place = dict(zip(self.names, self.at, strict=True))
    at = [place[name] for name in names]
    return names, known.folds[at], known.labels[at]

  def on_page(self, known: Known, count: int) -> list[int]:
    """Which of them a page shows: at most so many, one of each class after the other."""
    done = set(self.outcome.done('', OURS))
    place = {int(at): i for i, at in enumerate(self.at) if self.names[i] in done}
    among = np.zeros(len(known.names), bool)
    among[list(place)] = True
    return [place[at] for at in known.spread(among, count)]


def explain(setting: Setting, known: Known, weights: Weights) -> Explained:
  """Explains some images of each fold by the features that the other folds have chosen."""
  config = setting.config
  at = np.array(
    [i for fold in range(config.folds) for i in known.spread(known.folds == fold, config.explained)]
  )
  _warn_of_others(setting, known, at)
  top, shares = _top(setting, known, weights, at, None)
  with_extent, _ = _top(setting, known, weights, at, setting.features.has_extent)
  tops = {'features': top, 'features_with_extent': with_extent}
  names = [known.names[i] for i in at]
  given = {
    name: dict(zip(names, np.asarray(top.indices, np.int32), strict=True))
    for name, top in tops.items()
  }
  methods = {name: title for name, (_, title, _) in OF_FEATURES.items()}
  steps = [prediction(), *(_step(name, setting.features, config.top) for name in OF_FEATURES)]
  inputs = {}
  for method in config.methods:
    options = options_of(config, method)
    if method == 'expected_gradients':
      inputs['references'] = references_of(setting.net, config)
      options['references'] = inputs['references']
    steps.append(heatmap(method, options))
    methods[step_name(method)] = method_named(method)[0]
  outcome = setting.compute(PART, steps, known.indices[at], given=given, inputs=inputs)
  return Explained(names, at, top, shares, methods, outcome)


def _warn_of_others(setting: Setting, known: Known, at: np.ndarray) -> None:
  """Says for how many images a class is predicted that no image has: it has no features."""
  others = [i for i in at if known.predicted[i] not in known.labels]
  if others and jax.process_index() == 0:
    name = setting.net.class_name(int(known.predicted[others[0]]))
    print(
      f'warning: {len(others)} of {len(at)} images are taken for classes that none of the images '
      f'has, such as {name!r}: no feature speaks for these',
      file=sys.stderr,
    )


def _step(name: str, features: Features, count: int) -> Step:
  """The combined heatmap of an image's features; for the first kind, each one's too."""
  kind, _, given = OF_FEATURES[name]

  def compute(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    each = feature_heatmaps(net, share['x'], features, share[given], kind)
    found = {'heatmap': combined(each)}
    return found | ({'each': each} if name == OURS else {})

  def fields(shape: Shape) -> dict[str, Field]:
    each = Field('float32', ('feature', 'row', 'column'), (count, *shape))
    return heatmap_field(shape) | ({'each': each} if name == OURS else {})

  return Step(compute, fields, wrong_heatmap, name, needs=(given,))


def _top(
  setting: Setting, known: Known, weights: Weights, at: np.ndarray, among: np.ndarray | None
) -> tuple[Top, np.ndarray]:
  """The features of some images, by the weights for which their folds were held out.

  Returns:
    (the features, the share of each in the sum of all positive contributions `[n, K]`).
  """
  count, mode = setting.config.top, setting.config.mode
  indices = np.full((len(at), count), -1, np.int64)
  contributions, shares = np.zeros((2, len(at), count), np.float32)
  place = {i: n for n, i in enumerate(at.tolist())}
  for held_out in held_out_folds(setting):
    dense = weights.dense(held_out)
    chosen = np.zeros(len(known.names), bool)
    chosen[at] = True
    if held_out >= 0:
      chosen &= known.folds == held_out
    for rows, responses in known.blocks(chosen):
      predicted, to = known.predicted[rows], [place[i] for i in rows.tolist()]
      top = top_features(dense, responses, predicted, count=count, mode=mode, among=among)
      indices[to], contributions[to] = np.asarray(top.indices), np.asarray(top.contributions)
      speaking = np.maximum(responses * dense.T[predicted], 0)
      own = np.take_along_axis(speaking, np.maximum(indices[to], 0), 1)
      whole = np.maximum(speaking.sum(1, keepdims=True), np.finfo(np.float32).tiny)
      shares[to] = np.where(indices[to] < 0, 0, own / whole)
  return Top(indices, contributions), shares
