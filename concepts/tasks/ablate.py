"""What the network loses as features are set to zero: figure 4 of the paper."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from concepts.ablation import ablation_orders, mean_class_accuracy, silenced
from concepts.features import Features
from concepts.figures.views import Curve
from concepts.tasks.respond import Known
from concepts.tasks.select import ALL, CONV, Weights, held_out_folds
from concepts.tasks.setting import Setting
from perturb.base import class_scores
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
  counts = {key: _counts(order, config.removed) for key, order in orders.items()}
  removed = {key: _sets(setting.features, orders[key], counts[key]) for key in orders}
  steps = [_step(_name(*key), setting.features, some) for key, some in removed.items()]
  inputs = {_name(*key): some for key, some in removed.items()}
  outcome = setting.compute(PART, [prediction(), *steps], known.indices[at], inputs=inputs)
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
) -> dict[tuple[str, int], np.ndarray]:
  """(name of a curve, repetition) -> features in the order in which they are removed."""
  total = sum(responses.sum(0, dtype=np.float64) for _, responses in known.blocks(known.folds >= 0))
  orders = ablation_orders(
    setting.features,
    weights.dense(held_out, ALL),
    np.asarray(total) / len(known.names),
    jax.random.key(setting.config.seed),
    conv_weights=weights.dense(held_out, CONV),
    repetitions=setting.config.repeats,
  )
  return {
    (name, repeat): order
    for name, some in orders.items()
    for repeat, order in enumerate(some)
    if len(order)
  }


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
      return jnp.argmax(class_scores(silenced(net, features, some)(share['x'])), axis=-1)

    return {'predicted': jax.lax.map(predicted, jnp.asarray(removed)).T.astype(jnp.int32)}

  field = {'predicted': Field('int32', ('removed',), (len(removed),))}
  return Step(compute, lambda _: field, name=name)


def _name(curve: str, repeat: int) -> str:
  """Of a step."""
  return f'{curve.lower().replace(" ", "_")}_{repeat}'


def _curves(
  setting: Setting, known: Known, at: np.ndarray, counts: dict[tuple[str, int], np.ndarray]
) -> list[Curve]:
  stored = Results(setting.path / PART)
  names, labels = [known.names[i] for i in at], known.labels[at]
  classes = len(setting.net.class_names)

  def accuracy(predicted: np.ndarray) -> float:
    return float(mean_class_accuracy(jnp.asarray(predicted), jnp.asarray(labels), classes))

  whole = accuracy(known.predicted[at])
  of_curve = dict[str, list[list[float]]]()
  for curve, repeat in counts:
    rows = [found for _, found in stored.columns(names, [f'{_name(curve, repeat)}/predicted'])]
    after = [accuracy(predicted) for predicted in np.array(rows).T]
    of_curve.setdefault(curve, []).append([whole, *after])
  curves = []
  for curve, found in of_curve.items():
    values, number = np.array(found), np.array([0, *counts[curve, 0]])
    deviation = values.std(0) if len(values) > 1 else None
    curves.append(Curve(curve, number, values.mean(0), deviation))
  return curves
