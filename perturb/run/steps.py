"""The steps that several experiments have: what the network predicts, and a method's heatmap."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import class_scores
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.experiment import Shape, Share, Step, Values
from perturb.store.arrays import Field

ON_THE_HOST = ('lime', 'minimal_image')  # Their superpixels are found outside compiled programs.

PREDICTION = {
  'target': Field('int32'),
  'score': Field(),
  'probability': Field(),
  'rank': Field('int32'),
}


def predict(net: Callable[[jax.Array], jax.Array], share: Share) -> dict[str, jax.Array]:
  """The class that is explained, its score, probability and rank among the classes: `[n]` each."""
  return prediction_of(class_scores(net(share['x'])), share['target'])


def prediction_of(scores: jax.Array, asked: jax.Array) -> dict[str, jax.Array]:
  """`predict` where the scores are known, `[n, classes]`; asked `[n]`: -1 for the one predicted."""
  target = jnp.where(asked < 0, jnp.argmax(scores, axis=1), asked)
  each = jnp.arange(target.shape[0])
  score = scores[each, target]
  return {
    'target': target,
    'score': score,
    'rank': 1 + jnp.sum(scores > score[:, None], axis=1, dtype=jnp.int32),
    'probability': jax.nn.softmax(scores)[each, target],
  }


def wrong_score(values: Values, index: int) -> str:
  """Why the score of an image cannot be used, or ''."""
  finite = np.isfinite(values['score'][index])
  return '' if finite else 'the network gives a score that is not a number'


def wrong_numbers(*fields: str) -> Callable[[Values, int], str]:
  """Says so if one of some fields of an image has values that are not numbers."""

  def wrong(values: Values, index: int) -> str:
    lost = [field for field in fields if not np.isfinite(values[field][index]).all()]
    return f'{", ".join(lost)}: values that are not numbers' if lost else ''

  return wrong


def wrong_heatmap(values: Values, index: int) -> str:
  """Why the heatmap of an image cannot be used, or ''."""
  finite = np.isfinite(values['heatmap'][index]).all()
  return '' if finite else 'the heatmap has values that are not numbers'


def heatmap_field(shape: Shape) -> dict[str, Field]:
  """What is stored of a heatmap."""
  return {'heatmap': Field('float32', ('row', 'column'), shape)}


def prediction() -> Step:
  """The first step of the experiments that have several."""
  return Step(explain=predict, fields=lambda _: PREDICTION, wrong=wrong_score)


def step_name(method: str) -> str:
  """The name of a method in results and files: `meta_norm_grad` for 'meta:norm_grad'."""
  return method.replace(':', '_')


def heatmap(method: str, options: Mapping[str, Any]) -> Step:
  """A method's heatmap of the class explained.

  Args:
    method: its name, see `perturb.methods.registry.method_named`.
    options: its arguments.
  """
  function = method_named(method)[1]

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    return {'heatmap': function(net, share['x'], share['target'], **options)}

  return Step(
    explain=explain,
    fields=heatmap_field,
    wrong=wrong_heatmap,
    name=step_name(method),
    needs=('target',),
    compiled=method not in ON_THE_HOST,
  )


def prediction_and_heatmap(method: str, options: Mapping[str, Any]) -> Step:
  """Both in one program, for experiments of a single method."""
  of_method = heatmap(method, options)

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    predicted = predict(net, share)
    return predicted | of_method.explain(net, {**share, 'target': predicted['target']})

  return Step(
    explain=explain,
    fields=lambda shape: PREDICTION | heatmap_field(shape),
    wrong=lambda values, index: wrong_score(values, index) or wrong_heatmap(values, index),
    compiled=of_method.compiled,
  )
