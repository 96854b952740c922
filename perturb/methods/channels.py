"""Channel attribution: the few channels of a layer that keep a score.

Source: Fong, Patrick and Vedaldi, "Understanding Deep Networks via Extremal Perturbations and
Smooth Masks", ICCV 2019, section 5. Shapes: B images, A areas, a layer of h x w positions and K
channels.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from perturb.base import Images, Target, check_images, check_targets, pick
from perturb.chunks import mapped
from perturb.compiled import compiled
from perturb.errors import UserError, check_choice
from perturb.nets.layer_gradients import default_layer, network_of
from perturb.nets.pretrained import Pretrained
from perturb.ops.area import area_loss
from perturb.ops.heatmaps import resize

Game = Literal['preserve', 'delete', 'hybrid']
DEFAULT_COUNTS = (1, 5, 10, 20, 25, 35, 40, 50, 60, 70, 80, 90, 100, 150, 200, 250, 300, 350, 400)


class ChannelResult(NamedTuple):
  """Channel attributions of B images at A areas.

  Attributes:
    areas: `[A]`, numbers of channels.
    masks: `[B, A, K]` in [0, 1].
    scores: `[B, A]`, Phi_l+(m (x) Phi_l(x)), with only the mask's channels.
    deleted_scores: `[B, A]`, Phi_l+((1 - m) (x) Phi_l(x)).
    full_score: `[B]`, Phi(x).
    saliency: `[B, A, h, w]`, v = sum_k m_k Phi_l^k(x) (eq. 11).
    size: (H, W) of the images.
  """

  areas: jax.Array
  masks: jax.Array
  scores: jax.Array
  deleted_scores: jax.Array
  full_score: jax.Array
  saliency: jax.Array
  size: tuple[int, int]

  def best(self) -> np.ndarray:
    """`[B]`: the index of a* (eq. 10); of the largest area where none reaches Phi(x)."""
    return np.asarray(index_of_best(self.areas, self.scores, self.full_score))

  @property
  def heatmap(self) -> jax.Array:
    """`[B, H, W]`: the saliency at a*, resized to the images."""
    chosen = self.saliency[np.arange(len(self.masks)), self.best()]
    return resize(chosen, self.size)


def index_of_best(
  counts: Sequence[int] | jax.Array, scores: jax.Array, full_score: jax.Array
) -> jax.Array:
  """`[B]`: the index of a*, the fewest of the counts `[A]` that keep Phi(x) (eq. 10).

  That of the most channels where no count does.

  Args:
    counts: `[A]`, numbers of channels.
    scores: `[B, A]`, with these kept.
    full_score: `[B]`, Phi(x).
  """
  channels = jnp.asarray(counts, jnp.float32)
  reached = jnp.asarray(scores) >= jnp.asarray(full_score)[:, None]
  fewest = jnp.where(reached, channels, jnp.inf).argmin(axis=1)
  return jnp.where(reached.any(axis=1), fewest, channels.argmax())


def channel_counts(net: Pretrained, layer: str, areas: Sequence[int] | None) -> list[int]:
  """The numbers of channels asked for; by default the paper's, as far as a layer has so many.

  Raises:
    UserError: for a layer without spatial extent, or numbers that are not from 1 to K.
  """
  shape = net.shapes([layer])[layer].shape
  if len(shape) != 4:
    raise UserError(f'layer {layer!r}: its output has no channels at positions')
  if areas is None:
    return [count for count in DEFAULT_COUNTS if count < shape[-1]] + [shape[-1]]
  for area in areas:
    if area != int(area) or not 1 <= area <= shape[-1]:
      raise UserError(f'area {area!r}: {layer} has {shape[-1]} channels, so 1 to {shape[-1]}')
  return list(areas)


@compiled
def _channels(
  net, x, targets, counts, *, layer, cut, game, iterations, learning_rate, area_weight, ramp, chunk
):
  values = net.activations(x, cut)
  channels = values[layer].shape[-1]
  problems = (x.shape[0], counts.shape[0])

  def solve(index):
    image, area = index // problems[1], index % problems[1]
    below = {name: value[image] for name, value in values.items()}
    areas = counts[area] / channels

    def score(masks):
      perturbed = below | {layer: masks[:, None, None] * below[layer]}
      return pick(net(perturbed), targets[image])

    def loss(masks, weight):
      kept = score(masks) if game != 'delete' else 0.0
      removed = score(1 - masks) if game != 'preserve' else 0.0
      return (weight * area_loss(masks[:, None], areas) - kept + removed).sum()

    optimiser = optax.sgd(learning_rate * 0.1, momentum=0.9)  # PyTorch's lr, with dampening 0.9.

    def iterate(step, carry):
      masks, state = carry
      weight = area_weight * jnp.minimum(step / ramp, 1.0)
      updates, state = optimiser.update(jax.grad(loss)(masks, weight), state)
      return jnp.clip(optax.apply_updates(masks, updates), 0, 1), state

    start = jnp.ones((len(index), channels))
    masks, _ = jax.lax.fori_loop(0, iterations, iterate, (start, optimiser.init(start)))
    return masks, score(masks), score(1 - masks)

  solved = mapped(solve, problems[0] * problems[1], chunk)
  masks, kept, removed = (v.reshape(*problems, *v.shape[1:]) for v in solved)
  saliency = jnp.einsum('bak,bhwk->bahw', masks, values[layer])
  return masks, kept, removed, pick(net(x), targets), saliency


def channel_attribution(
  net: Pretrained,
  x: Images,
  target: Target,
  layer: str | None = None,
  areas: Sequence[int] | None = None,
  *,
  game: Game = 'preserve',
  iterations: int = 300,
  learning_rate: float = 1e-2,
  area_weight: float = 1500.0,
  ramp: int = 150,
  chunk: int | None = None,
) -> ChannelResult:
  """m_a = argmax_m Phi_l+(m (x) Phi_l(x)) - lambda R_a(m), m one value a channel (eq. 9).

  The paper gives the rate and the schedule of lambda; its optimiser and start, not given there, are
  those it uses for images: SGD with momentum 0.9 from all ones.

  Example:
    >>> result = channel_attribution(net, x, 285, 'blocks.10', areas=[10, 20, 40])
    >>> np.asarray(result.areas)[result.best()]  # a*, for each image

  Args:
    net: a network of `perturb.nets`.
    x: images `[B, H, W, C]`, or one image.
    target: index of the class, one for all images or `[B]`.
    layer: any layer with spatial extent, inside residual blocks too; by default the last one before
      the classifier.
    areas: numbers of channels, each from 1 to K; by default the paper's, as far as there are so
      many channels, and K.
    game: 'preserve' maximises Phi_l+(m (x) Phi_l(x)), 'delete' minimises Phi_l+((1 - m) (x)
      Phi_l(x)), 'hybrid' maximises their difference.
    iterations: of the solver.
    learning_rate: of the solver.
    area_weight: lambda, of the mean of squares, reached after `ramp` iterations.
    ramp: iterations over which lambda grows from 0.
    chunk: problems (image, area) solved side by side; 8 on a CPU and 256 elsewhere by default.

  Returns:
    A `ChannelResult`.

  Raises:
    UserError: for an unknown layer, one without spatial extent, a wrong target or area.
  """
  check_choice('game', game, get_args(Game))
  net = network_of(net, 'channel attribution')
  layer = net.network.resolve(layer or default_layer(net))
  x = check_images(x)
  targets = check_targets(net, x, target)
  areas = channel_counts(net, layer, areas)
  counts = jnp.asarray(areas, jnp.float32)
  if chunk is None:
    chunk = 8 if jax.default_backend() == 'cpu' else 256
  masks, kept, removed, full, saliency = _channels(
    net,
    x,
    targets,
    counts,
    layer=layer,
    cut=net.network.cut(layer),
    game=game,
    iterations=iterations,
    learning_rate=learning_rate,
    area_weight=area_weight,
    ramp=ramp,
    chunk=min(chunk, x.shape[0] * len(areas)),
  )
  size = (x.shape[1], x.shape[2])
  return ChannelResult(counts, masks, kept, removed, full, saliency, size)


class ClassChannels(NamedTuple):
  """Channels of some classes.

  Attributes:
    classes: `[C]`, their indices.
    masks: `[C, K]`, the mean of the best masks of a class's images.
    channels: `[C]`, k* = argmax_k of that mean (sec. 5.2).
  """

  classes: np.ndarray
  masks: np.ndarray
  channels: np.ndarray


def class_channels(result: ChannelResult, labels: Sequence[int] | np.ndarray) -> ClassChannels:
  """The channel that matters most to each class, over the masks m_a* of its images.

  Args:
    result: of B images.
    labels: `[B]`, their classes.
  """
  labels = np.asarray(labels)
  best = np.asarray(result.masks)[np.arange(len(labels)), result.best()]
  classes = np.unique(labels)
  masks = np.stack([best[labels == c].mean(0) for c in classes])
  return ClassChannels(classes, masks, masks.argmax(1))
