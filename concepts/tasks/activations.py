"""The activations of every picture of a probe dataset, kept as float16."""

from collections.abc import Iterator, Sequence
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from concepts.features import Features, features_of
from concepts.probe import Probe
from perturb.errors import UserError
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment, Shape, Share, Step, Targets
from perturb.run.loop import Outcome, Run
from perturb.run.steps import wrong_numbers
from perturb.store.arrays import Field
from perturb.store.results import Results

PART = 'activations'
LARGEST = float(np.finfo(np.float16).max)
AT_ONCE = 64  # Pictures whose activations are in memory.


class Recorded(NamedTuple):
  """The N pictures whose activations are stored.

  Attributes:
    names: of each.
    indices: of each, in the probe dataset.
    stored: the activations.
  """

  names: list[str]
  indices: np.ndarray
  stored: Results

  def blocks(self, layer: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(which pictures, their activations in a layer, float16 `[n, h, w, K]`), some at a time."""
    place = {name: i for i, name in enumerate(self.names)}
    for group, rows in self.stored.blocks(self.names, AT_ONCE):
      at = np.array([place[name] for name in rows.values()])
      yield at, group.read(field_of(layer), list(rows))


def layers_of(net: Pretrained, layers: Sequence[str]) -> Features:
  """The filters of some layers.

  Raises:
    UserError: names a layer without extent, or that the network does not have.
  """
  if not layers:
    raise UserError('config.layers: give at least one')
  found = features_of(net, layers)
  for layer, spatial in zip(found.layers, found.spatial, strict=True):
    if not spatial:
      raise UserError(
        f'config.layers: {layer!r} has one value a filter, and no positions; take one below'
      )
  return found


def record(
  net: Pretrained,
  probe: Probe,
  features: Features,
  config: ml_collections.ConfigDict,
  path: pathlib.Path,
) -> tuple[Recorded, Outcome]:
  """Computes the activations that are not stored yet; says first what they take on disk."""
  folder = path / PART
  folder.mkdir(exist_ok=True)
  shapes = {name: shape.shape[1:] for name, shape in net.shapes(features.layers).items()}
  if jax.process_index() == 0 and not (folder / 'images.csv').exists():
    each = sum(2 * int(np.prod(shape)) for shape in shapes.values())
    whole = each * len(probe.train)
    print(f'activations: {each / 2**20:.3g} MiB a picture, at most {whole / 2**30:.3g} GiB in all')

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    found = net.activations(share['x'], features.layers)
    return {field_of(layer): as_float16(found[layer]) for layer in features.layers}

  def fields(_shape: Shape) -> dict[str, Field]:
    axes = ('row', 'column', 'filter')
    return {field_of(layer): Field('float16', axes, shapes[layer]) for layer in features.layers}

  step = Step(explain, fields, wrong_numbers(*map(field_of, features.layers)))
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.fit = 'squash'  # Label maps are of whole pictures.
  experiment = Experiment(net, (step,), Targets(lambda _: -1))
  outcome = Run(experiment, probe.pictures, config, folder)()
  names = outcome.done()
  if not names:
    raise UserError('config.dataset: not one of its pictures could be used')
  index = {source.name: i for i, source in enumerate(probe.pictures.sources)}
  return Recorded(names, np.array([index[name] for name in names]), Results(folder)), outcome


def as_float16(values: jax.Array) -> jax.Array:
  """The nearest; the largest for what is beyond. What is infinite stays so, and is a failure."""
  beyond = jnp.clip(values, -LARGEST, LARGEST)
  return jnp.where(jnp.isinf(values), values, beyond).astype(jnp.float16)


def field_of(layer: str) -> str:
  """The name under which the activations of a layer are stored."""
  return layer.replace('/', '_')
