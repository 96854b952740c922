"""Adversarial examples: crafting them, telling them by their heatmaps, and undoing them.

Source: Fong and Vedaldi, "Interpretable Explanations of Black Boxes by Meaningful Perturbation",
ICCV 2017, section 5.5 and fig. 10; the one-step iterative method is Kurakin et al., "Adversarial
examples in the physical world", 2016. Shapes: N images.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import Images, check_images, class_scores
from perturb.chunks import default_chunk, default_forward_chunk, mapped
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.nets.layer_gradients import network_of, refuse_rules
from perturb.nets.layers import AdaptiveMeanPool, Conv, Dense, MaxPool, Relu, WindowDense
from perturb.nets.network import Layers, Network
from perturb.nets.preprocessing import Preprocessing
from perturb.nets.pretrained import Pretrained
from perturb.ops.heatmaps import normalise
from perturb.ops.perturbations import blur
from perturb.training.optimisers import adam, cosine
from perturb.training.recipe import Recipe
from perturb.training.state import start, trained
from perturb.training.steps import make_epoch, predictions


class Adversarial(NamedTuple):
  """Adversarial examples.

  Attributes:
    images: `[N, H, W, C]`, as the network takes them.
    clean_labels: `[N]`, the class predicted of the image.
    labels: `[N]`, the class predicted of the adversarial example.
    targets: `[N]`, the class that it was pushed to: the least likely one of the image.
  """

  images: jax.Array
  clean_labels: jax.Array
  labels: jax.Array
  targets: jax.Array


@compiled
def _craft(net, x, epsilon, *, steps, chunk):
  low, unit = (
    net.preprocessing.from_unit(v * jnp.ones((1, 1, 1, 3), jnp.float32)) for v in (0.0, 1.0)
  )
  grain = (unit - low) / 255
  bottom, top = jnp.minimum(low, unit), jnp.maximum(low, unit)

  def craft(index):
    clean = x[index]
    scores = class_scores(net(clean))
    targets = scores.argmin(-1)

    def loss(images):
      log_probabilities = jax.nn.log_softmax(class_scores(net(images)))
      return -jnp.take_along_axis(log_probabilities, targets[:, None], axis=1).sum()

    def step(_, images):
      moved = images - grain * jnp.sign(jax.grad(loss)(images))
      near = jnp.clip(moved, clean - epsilon * grain, clean + epsilon * grain)
      return jnp.clip(near, bottom, top)

    images = jax.lax.fori_loop(0, steps, step, clean)
    return images, scores.argmax(-1), class_scores(net(images)).argmax(-1), targets

  return mapped(craft, x.shape[0], chunk)


def adversarial_examples(
  net: Pretrained, x: Images, *, epsilon: float = 8.0, chunk: int | None = None
) -> Adversarial:
  """The one-step iterative method towards the least likely class.

  min(epsilon + 4, 1.25 epsilon) steps of one grey level along the sign of the cross-entropy's
  gradient, within epsilon grey levels of the image and within [0, 255].

  Args:
    net: a network of `perturb.nets`, whose preprocessing says what a grey level is.
    x: preprocessed images `[N, H, W, C]`, or one.
    epsilon: in grey levels, of 255.
    chunk: images that go through the network at once.

  Returns:
    An `Adversarial`.

  Raises:
    UserError: for an epsilon below 1.
  """
  net = network_of(net, 'crafting adversarial examples')
  refuse_rules(net, 'crafting adversarial examples')
  if epsilon < 1:
    raise UserError(f'epsilon must be at least 1 grey level, not {epsilon}')
  x = check_images(x)
  steps = int(min(epsilon + 4, 1.25 * epsilon))
  found = _craft(
    net, x, float(epsilon), steps=steps, chunk=min(chunk or default_chunk(x.shape[1:3]), len(x))
  )
  return Adversarial(*found)


class Recovery(NamedTuple):
  """What a heatmap of the adversarial label undoes.

  Attributes:
    labels: `[N, 5]`, the five likeliest classes of the masked adversarial example.
    top1: share of images whose clean label is the first of them.
    top5: share of images whose clean label is among them.
  """

  labels: jax.Array
  top1: float
  top5: float


@compiled
def _likeliest(net, images, masks, *, sigma_max, chunk):
  """The five likeliest classes of the masked images, `[N, 5]`."""

  def some(index):
    fill = blur(images[index], sigma_max)
    scores = class_scores(net(fill + masks[index][..., None] * (images[index] - fill)))
    return jax.lax.top_k(scores, min(5, scores.shape[1]))[1]

  return mapped(some, len(images), chunk)


def recover_labels(
  net: Pretrained,
  adversarial: Adversarial,
  masks: jax.Array | np.ndarray,
  *,
  sigma_max: float = 10.0,
  chunk: int | None = None,
) -> Recovery:
  """Blurs what the masks delete in adversarial examples, and looks for the clean label.

  Args:
    net: the network that they were crafted for.
    adversarial: N examples.
    masks: `[N, H, W]`, 1 where the image is kept: of the adversarial labels.
    sigma_max: of the blur, in pixels.
    chunk: how many images go through the network at once; by default as many as suit the machine.
  """
  images = jnp.asarray(adversarial.images, jnp.float32)
  chunk = min(chunk or default_forward_chunk(images.shape[1:3]), len(images))
  labels = _likeliest(
    net, images, jnp.asarray(masks, jnp.float32), sigma_max=sigma_max, chunk=chunk
  )
  hits = np.asarray(labels) == np.asarray(adversarial.clean_labels)[:, None]
  return Recovery(labels, float(hits[:, 0].mean()), float(hits.any(1).mean()))


class HeatmapClassifier(Network):
  """AlexNet's shape, narrow, on heatmaps of one channel: clean or adversarial."""

  classes: int = 2

  def build_layers(self) -> Layers:
    layers = Layers()
    for number, width in enumerate((32, 64, 64), start=1):
      layers.add(f'conv{number}', functools.partial(Conv, width, 3, 1, 1, use_bias=True))
      layers.add(f'relu{number}', Relu)
      layers.add(f'pool{number}', functools.partial(MaxPool, 2, 2))
    layers.add('avgpool', functools.partial(AdaptiveMeanPool, 3))
    layers.add('fc4', functools.partial(WindowDense, 128, 3))
    layers.add('relu4', Relu)
    layers.add('fc5', functools.partial(Dense, self.classes))
    return layers


class Detection(NamedTuple):
  """How well heatmaps tell adversarial examples.

  Attributes:
    accuracy: share of the validation heatmaps told rightly; 0.5 is chance.
    losses: mean cross-entropy of each epoch, in nats.
    predicted: `[M]`, 1 for those taken for adversarial; the clean ones first.
  """

  accuracy: float
  losses: np.ndarray
  predicted: np.ndarray


def detect(
  clean: jax.Array | np.ndarray,
  adversarial: jax.Array | np.ndarray,
  *,
  validation: float = 0.2,
  size: int = 28,
  epochs: int = 30,
  batch_size: int = 32,
  learning_rate: float = 1e-3,
  seed: int = 0,
) -> Detection:
  """Trains a small classifier to tell the heatmaps of clean and of adversarial images.

  Heatmaps are scaled to [0, 1] each, resampled to `size` pixels, and standardised by the mean and
  deviation of those it is trained on. Images are split, so that no clean image has its adversarial
  one on the other side. The paper trains AlexNet on 4000 images; this is a narrower one, by Adam.

  Args:
    clean: heatmaps `[N, H, W]` of the clean images.
    adversarial: those of their adversarial examples, in the same order.
    validation: share of the images that is held out: the last ones.
    size: side of the classifier's input, in pixels.
    epochs: of training.
    batch_size: heatmaps in a step.
    learning_rate: of Adam, falling to 0 by half a cosine.
    seed: of the weights and of the order.

  Returns:
    A `Detection`.

  Raises:
    UserError: for heatmaps that do not pair up, or too few to hold any out.
  """
  pair = [jnp.asarray(h, jnp.float32) for h in (clean, adversarial)]
  if pair[0].shape != pair[1].shape or pair[0].ndim != 3:
    raise UserError(
      f'heatmaps must be [N, H, W] twice, not of shapes {pair[0].shape} and {pair[1].shape}'
    )
  count = pair[0].shape[0]
  known = count - round(validation * count)
  if not 2 <= known < count or 2 * known < batch_size:
    raise UserError(
      f'{count} images are too few for batches of {batch_size} '
      f'and a validation share of {validation}'
    )
  shape = (2, count, size, size)
  maps = jax.image.resize(normalise(jnp.stack(pair)), shape, 'linear')[..., None]
  mean, deviation = maps[:, :known].mean(), maps[:, :known].std()
  maps = (maps - mean) / deviation

  def examples(part: slice) -> tuple[jax.Array, jax.Array]:
    chosen = maps[:, part]
    labels = jnp.repeat(jnp.arange(2), chosen.shape[1])
    return chosen.reshape(-1, size, size, 1), labels

  network = HeatmapClassifier()
  key = jax.random.key(seed)
  net = Pretrained(
    network=network,
    variables=dict(network.init(key, jnp.zeros((1, size, size, 1)))),
    size=size,
    preprocessing=Preprocessing((0.0,), (1.0,), gray=True),
    class_names=('clean', 'adversarial'),
  )
  images, labels = examples(slice(known))
  rule, recipe = adam(cosine(learning_rate, epochs * (len(labels) // batch_size))), Recipe()
  epoch, state = make_epoch(net, rule, recipe, batch_size), start(net, rule, recipe)
  losses, members = [], jnp.arange(len(labels))
  for _ in range(epochs):
    state, measured = epoch(state, images, labels, members, key)
    losses.append(float(measured.loss))
  held_out, wanted = examples(slice(known, None))
  found = predictions(trained(net, state), held_out, jnp.arange(len(held_out)))
  predicted = np.asarray(found)
  return Detection(float((predicted == np.asarray(wanted)).mean()), np.array(losses), predicted)
