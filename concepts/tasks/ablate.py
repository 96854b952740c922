"""What the network loses as features are set to zero: figure 4 of the paper."""

from collections.abc import Sequence
import functools

import jax
import jax.numpy as jnp
import numpy as np

from concepts.ablation import like_layers, mean_class_accuracy, order_by_weight, silenced
from concepts.features import Features
from concepts.figures.views import Curve
from concepts.tasks.respond import Known
from concepts.tasks.select import ALL, CONV, Weights, held_out_folds
from concepts.tasks.setting import Setting
from perturb.nets import Pretrained
from perturb.run.experiment import Share, Step
from perturb.run.loop import Outcome
from perturb.run.steps import prediction
from perturb.store import files
from perturb.store.arrays import Field
from perturb.store.results import Results

PART = 'ablation'
HEADER = ('features', 'removed', 'accuracy', 'deviation')


def ablate(setting: Setting, known: Known, weights: Weights) -> tuple[list[Curve], Outcome]:
  """The accuracy on images of the first fold as features are removed; writes `ablation.csv`."""
  held_out, config = held_out_folds(setting)[0], setting.config
  among = known.folds == 0
  at = np.array(known.spread(among, config.ablated))
  orders = _orders(setting, known, weights, held_out)
  counts = {name: _counts(order, config.removed) for name, order in orders.items()}
  removed = {name: _sets(setting.features, orders[name], counts[name]) for name in orders}
  steps = [_step(name, setting.features, some) for name, some in removed.items()]
  outcome = setting.compute(PART, [prediction(), *steps], known.indices[at], inputs=removed)
  done = set(outcome.done(*outcome.status))
  at = np.array([i for i in at if known.names[i] in done])
  curves = _curves(setting, known, at, counts)
  if jax.process_index() == 0:
    _write(setting, curves)
  return curves, outcome


def _write(setting: Setting, curves: Sequence[Curve]) -> None:
  rows = [
    (curve.name, count, f'{accuracy:.6g}', '' if deviation is None else f'{deviation:.6g}')
    for curve in curves
    for count, accuracy, deviation in zip(
      curve.counts, curve.accuracy, _each(curve.deviation, len(curve.counts)), strict=True
    )
  ]
  files.write_table(setting.path / 'ablation.csv', HEADER, rows)


def _each(deviation: np.ndarray | None, count: int) -> Sequence[float | None]:
  return [None] * count if deviation is None else deviation.tolist()


def _orders(
  setting: Setting, known: Known, weights: Weights, held_out: int
) -> dict[str, np.ndarray]:
  """Step -> features in the order in which they are removed."""
  features, config = setting.features, setting.config
  of_all = order_by_weight(weights.dense(held_out, ALL))
  orders = {ALL: of_all, CONV: order_by_weight(weights.dense(held_out, CONV))}
  for repeat in range(config.repeats):
    key = jax.random.fold_in(jax.random.key(config.seed), repeat)
    orders[f'random_{repeat}'] = np.asarray(like_layers(key, features, of_all))
  total = sum(responses.sum(0, dtype=np.float64) for _, responses in known.blocks(known.folds >= 0))
  orders['strongest'] = np.argsort(-total, kind='stable')[: len(of_all)]
  return {name: order for name, order in orders.items() if len(order)}


def _counts(order: np.ndarray, asked: Sequence[int]) -> np.ndarray:
  """How many are removed: as asked for, and at last all."""
  return np.array([*sorted({n for n in asked if n < len(order)}), len(order)])


def _sets(features: Features, order: np.ndarray, counts: np.ndarray) -> np.ndarray:
  """Which features are removed, bool `[T, m]`."""
  removed = np.zeros((len(counts), features.count), bool)
  for row, count in zip(removed, counts, strict=True):
    row[order[:count]] = True
  return removed


def _step(name: str, features: Features, removed: np.ndarray) -> Step:
  def compute(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    def predicted(some: jax.Array) -> jax.Array:
      return jnp.argmax(silenced(net, features, some)(share['x']), axis=-1)

    return {'predicted': jax.lax.map(predicted, jnp.asarray(removed)).T.astype(jnp.int32)}

  field = {'predicted': Field('int32', ('removed',), (len(removed),))}
  return Step(compute, lambda _: field, name=name)


def _curves(
  setting: Setting, known: Known, at: np.ndarray, counts: dict[str, np.ndarray]
) -> list[Curve]:
  stored = Results(setting.path / PART)
  names, labels = [known.names[i] for i in at], known.labels[at]
  of_labels = functools.partial(
    mean_class_accuracy, labels=labels, classes=len(setting.net.class_names)
  )
  whole = float(of_labels(known.predicted[at]))
  found = {}
  for name in counts:
    rows = [values for _, values in stored.columns(names, [f'{name}/predicted'])]
    found[name] = np.array([whole, *(float(of_labels(row)) for row in np.array(rows).T)])
  titles = {ALL: 'All', CONV: 'OnlyConv', 'strongest': 'Strongest responses'}
  curves = [
    Curve(title, np.array([0, *counts[name]]), found[name])
    for name, title in titles.items()
    if name in counts
  ]
  random = np.array([values for name, values in found.items() if name.startswith('random')])
  if len(random):
    number = np.array([0, *counts['random_0']])
    curves.insert(2, Curve('Random', number, random.mean(0), random.std(0)))
  return curves
