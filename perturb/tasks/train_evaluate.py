"""What a network in training says of the pictures that are held out, on all devices."""

from typing import NamedTuple

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np

from perturb.errors import UserError
from perturb.nets.pretrained import Pretrained
from perturb.tasks.train_data import Data
from perturb.training import sharding
from perturb.training.steps import input_of, make_evaluate


class Predicted(NamedTuple):
  """The classes of the pictures that are held out and can be read.

  Attributes:
    indices: of the pictures among those held out, in order, `[N]`.
    labels: their classes, `[N]`.
    predicted: what they are taken for, `[N]`.
  """

  indices: np.ndarray
  labels: np.ndarray
  predicted: np.ndarray


class Evaluation:
  """The evaluation of a training, with the running statistics and nothing dropped.

  Args:
    net: whose architecture is trained.
    data: the pictures.
  """

  def __init__(self, net: Pretrained, data: Data):
    self._evaluate, self._data = make_evaluate(net), data

  def measure(self, net: Pretrained) -> tuple[float, float, float]:
    """(mean cross-entropy in nats, top-1 and top-5 accuracy).

    Raises:
      UserError: if no picture can be read.
    """
    sums = []
    for batch in self._data.held_out():
      images, labels, valid = sharding.spread((batch.images, batch.labels, batch.valid))
      found = self._evaluate(net.variables, images, labels, valid)
      sums.append((found.loss, found.top1, found.top5, _count(valid)))
    loss, top1, top5, count = np.sum(np.array(sums, np.float64).reshape(-1, 4), axis=0)
    if not count:
      raise UserError('none of the pictures that are held out can be read')
    return loss / count, top1 / count, top5 / count

  def predict(self, net: Pretrained) -> Predicted:
    """What each picture is taken for; every process gets those of all."""
    whole = NamedSharding(sharding.whole_mesh(), PartitionSpec())
    classify = jax.jit(_classify, out_shardings=whole)
    rows = []
    for batch in self._data.held_out():
      guessed = np.asarray(classify(net, sharding.spread(batch.images)))
      first = jax.process_index() * len(batch.labels)
      mine = guessed[first : first + len(batch.labels)]
      rows.append(np.stack([np.where(batch.valid, batch.indices, -1), batch.labels, mine]))
    found = np.concatenate(rows, axis=1)
    if jax.process_count() > 1:
      found = np.concatenate(multihost_utils.process_allgather(found), axis=1)
    found = found[:, found[0] >= 0]
    return Predicted(*found[:, found[0].argsort()])


_count = jax.jit(lambda valid: valid.sum())


def _classify(net: Pretrained, images: jax.Array) -> jax.Array:
  return jnp.argmax(net(input_of(net, images)), axis=-1)
