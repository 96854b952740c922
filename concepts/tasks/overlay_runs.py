"""What the overlays' task computes of each picture: activations, also of transformed pictures."""

from collections.abc import Mapping, Sequence
import functools
import pathlib
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from concepts.channel_weights import mean_gradients, weights_of
from concepts.overlays import amount_name
from concepts.tasks.activations import as_float16, field_of
from concepts.transforms import Kept, Kind, kept_similarity, places_of, transformed
from perturb.data.datasets import Dataset
from perturb.data.fitting import fit_picture
from perturb.data.images import Source, png_file
from perturb.data.records import Record
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment, Shape, Share, Step, Targets
from perturb.run.loop import Outcome, Run
from perturb.run.steps import wrong_numbers
from perturb.store.arrays import Field
from perturb.store.results import Results

TRANSFORMED, SENSITIVITY, CLASSES = 'transformed', 'sensitivity', 'classes'


class Setting(NamedTuple):
  """What all of it is computed for.

  Attributes:
    net: the network.
    dataset: of the pictures.
    layers: name as it was given -> name in the network, in the network's order.
    classes: name -> index.
    amounts: what pictures are transformed by, of each kind; a kind without any is missing.
    config: of the task.
    path: of the workdir.
  """

  net: Pretrained
  dataset: Dataset
  layers: Mapping[str, str]
  classes: Mapping[str, int]
  amounts: Mapping[Kind, tuple[float, ...]]
  config: ml_collections.ConfigDict
  path: pathlib.Path


def record(setting: Setting) -> Outcome:
  """The activations of every picture, and the gradients of the classes, where there are some."""
  say('activations of the pictures')
  steps = [_activations(setting)]
  if setting.classes:
    steps.append(_gradients(setting))
  return _run(setting, tuple(steps), setting.dataset, setting.path)


def record_transformed(setting: Setting, names: Sequence[str]) -> Outcome:
  """The activations of some pictures turned and enlarged."""
  say('activations of the turned and enlarged pictures')
  dataset = transformed_dataset(setting, names)
  return _run(setting, (_activations(setting),), dataset, setting.path / TRANSFORMED)


def measure(setting: Setting, names: Sequence[str]) -> Outcome:
  """How alike the patches of some pictures stay as these are turned and enlarged."""
  say('sensitivity, of each picture turned and enlarged')
  index = {source.name: i for i, source in enumerate(setting.dataset.sources)}
  some = setting.dataset.take([index[name] for name in names])
  return _run(setting, (_sensitivity(setting),), some, setting.path / SENSITIVITY)


def say(what: str) -> None:
  """Says what is done next, in one process: counters that follow are of it."""
  if jax.process_index() == 0:
    print(f'{what} ...', file=sys.stderr, flush=True)


def activations_of(stored: Results, name: str, layer: str) -> np.ndarray:
  """Float32 `[h, w, C]` of a picture in a layer, by its name in the network."""
  return stored.field(name, field_of(layer)).astype(np.float32)


def weights_for(
  setting: Setting, stored: Results, names: Sequence[str], layer: str
) -> dict[str, np.ndarray]:
  """Name of a class -> weights of a layer's channels, over some pictures that have them."""
  if not setting.classes:
    return {}
  field = f'{CLASSES}/{field_of(layer)}'
  gradients = np.stack([stored.field(name, field) for name in names])
  return {name: weights_of(gradients[:, i]) for i, name in enumerate(setting.classes)}


def kept_of(setting: Setting, names: Sequence[str], layer: str) -> dict[Kind, Kept]:
  """What `measure` has stored of a layer: of each kind the numbers `[names, T]`."""
  stored = Results(setting.path / SENSITIVITY)
  values = np.stack([stored.field(name, field_of(layer)) for name in names])
  found, first = dict[Kind, Kept](), 0
  for kind, amounts in setting.amounts.items():
    part = values[:, :, first : first + len(amounts)]
    found[kind] = Kept(*part.swapaxes(0, 1))
    first += len(amounts)
  return found


def _run(
  setting: Setting, steps: tuple[Step, ...], dataset: Dataset, path: pathlib.Path
) -> Outcome:
  path.mkdir(exist_ok=True)
  experiment = Experiment(setting.net, steps, Targets(lambda _: -1))
  return Run(experiment, dataset, setting.config, path)()


def _activations(setting: Setting) -> Step:
  net, layers = setting.net, tuple(setting.layers.values())

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    found = net.activations(share['x'], layers)
    return {field_of(layer): as_float16(found[layer]) for layer in layers}

  def fields(shape: Shape) -> dict[str, Field]:
    found = net.shapes(layers, _blank(net, shape))
    axes = ('row', 'column', 'channel')
    return {field_of(layer): Field('float16', axes, found[layer].shape[1:]) for layer in layers}

  return Step(explain, fields, wrong_numbers(*map(field_of, layers)))


def _gradients(setting: Setting) -> Step:
  layers, classes = tuple(setting.layers.values()), tuple(setting.classes.values())

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    found = mean_gradients(net, share['x'], layers, classes)
    return {field_of(layer): values for layer, values in found.items()}

  def fields(_shape: Shape) -> dict[str, Field]:
    sizes = {layer: one.shape[-1] for layer, one in setting.net.shapes(layers).items()}
    axes = ('class', 'channel')
    return {
      field_of(layer): Field('float32', axes, (len(classes), sizes[layer])) for layer in layers
    }

  return Step(explain, fields, wrong_numbers(*map(field_of, layers)), name=CLASSES)


def _sensitivity(setting: Setting) -> Step:
  """Every transform of an image at once: a batch of its own, of which numbers alone are kept."""
  layers = tuple(setting.layers.values())
  count = sum(map(len, setting.amounts.values()))

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    black = net.preprocess(np.zeros(3, np.uint8))

    def of_one(x: jax.Array) -> dict[str, jax.Array]:
      changed = [
        transformed(x, kind, amount, black)
        for kind, amounts in setting.amounts.items()
        for amount in amounts
      ]
      found = net.activations(jnp.stack([x, *changed]), layers)
      return {
        field_of(layer): _kept(setting, found[layer], (x.shape[0], x.shape[1])) for layer in layers
      }

    return jax.lax.map(of_one, share['x'])

  def fields(_shape: Shape) -> dict[str, Field]:
    axes, shape = ('number', 'transform'), (len(Kept._fields), count)
    return {field_of(layer): Field('float32', axes, shape) for layer in layers}

  return Step(explain, fields)


def _kept(setting: Setting, values: jax.Array, picture: Shape) -> jax.Array:
  """`[5, T]`; the places are those that cells of the picture itself go to."""
  grid = values.shape[1], values.shape[2]
  # Of the picture as it is, which no list of amounts need have, to each of them.
  neutral: dict[Kind, float] = {'rotation': 0, 'scale': 1}
  places = [
    places_of(kind, grid, (neutral[kind], *amounts), picture)[0, 1:]
    for kind, amounts in setting.amounts.items()
  ]
  return jnp.stack(kept_similarity(values[0], values[1:], np.concatenate(places)))


def transformed_dataset(setting: Setting, names: Sequence[str]) -> Dataset:
  """The transformed pictures as pictures of their own, in the order of `series_of`."""
  index = {source.name: i for i, source in enumerate(setting.dataset.sources)}
  items = [
    (index[name], kind, amount)
    for name in names
    for kind, amounts in setting.amounts.items()
    for amount in amounts
  ]

  @functools.lru_cache(maxsize=4)
  def fitted(at: int) -> np.ndarray:
    config, source = setting.config, setting.dataset.sources[at]
    return fit_picture(
      setting.dataset.picture(at)[0],
      size=setting.net.size,
      fit=config.fit,
      multiple=config.multiple,
      place=source.place,
    )

  def read(item: int) -> Record:
    at, kind, amount = items[item]
    return Record(png_file(transformed(fitted(at), kind, amount)), None)

  bases = setting.dataset.sources
  sources = [
    Source(amount_name(bases[at].name, kind, amount), bases[at].path) for at, kind, amount in items
  ]
  return Dataset(sources, read)


def _blank(net: Pretrained, shape: Shape) -> np.ndarray:
  return np.broadcast_to(np.float32(0), (1, *shape, len(net.preprocessing.mean)))
