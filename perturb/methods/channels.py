"""Channel attribution: the few channels of a layer that keep a score.

Source: Fong, Patrick and Vedaldi, "Understanding Deep Networks via Extremal Perturbations and
Smooth Masks", ICCV 2019, section 5. Here an *area* is a number of channels. Shapes: B images, A
areas, a layer of h x w positions and K channels.
"""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from perturb.base import Images, Target, check_arguments, pick
from perturb.chunks import mapped
from perturb.compiled import compiled
from perturb.errors import UserError, check_choice
from perturb.nets.layer_gradients import default_layer, network_of, refuse_rules
from perturb.nets.pretrained import Pretrained
from perturb.ops.area import area_loss
from perturb.ops.heatmaps import resize
from perturb.options import Count, Natural, NotNegative, checked

Game = Literal['preserve', 'delete', 'hybrid']
DEFAULT_COUNTS = (
  *(1, 5, 10, 20, 25, 35, 40, 50, 60, 70, 80, 90, 100),
  *(150, 200, 250, 300, 350, 400, 450),
)  # And all channels: 528 in the paper.


class ChannelResult(NamedTuple):
  """Channel attributions of B images at A areas.

  Attributes:
    areas: `[A]`, numbers of channels, each from 1 to K.
    masks: `[B, A, K]` in [0, 1].
    scores: `[B, A]`, Phi_l+(m (x) Phi_l(x)), with only the mask's channels.
    deleted_scores: `[B, A]`, Phi_l+((1 - m) (x) Phi_l(x)).
    full_score: `[B]`, Phi(x), the score with all channels.
    blank_score: `[B]`, Phi_l+(0), the score with none.
    saliency: `[B, A, h, w]`, v = sum_k m_k Phi_l^k(x) (eq. 11).
    size: (H, W) of the images, in pixels.
    game: that was played.
  """

  areas: jax.Array
  masks: jax.Array
  scores: jax.Array
  deleted_scores: jax.Array
  full_score: jax.Array
  blank_score: jax.Array
  saliency: jax.Array
  size: tuple[int, int]
  game: Game = 'preserve'

  def reaches(self) -> np.ndarray:
    """`[B]`: whether there is an a*, an area that keeps Phi(x); see `reached`."""
    return np.any(np.asarray(reached(self)), axis=1)

  def best(self) -> np.ndarray:
    """`[B]`: the index of a* (eq. 10); of the largest area where there is none: see `reaches`."""
    return np.asarray(index_of_best(self))

  @property
  def heatmap(self) -> jax.Array:
    """`[B, H, W]`: the saliency at a*, resized to the images."""
    chosen = self.saliency[np.arange(len(self.masks)), self.best()]
    return resize(chosen, self.size)


def reached(result: ChannelResult) -> jax.Array:
  """`[B, A]`: whether the channels of an area keep the score Phi(x) (eq. 10).

  No number of channels does where Phi(x) is no higher than Phi_l+(0), the score without any.
  In the deletion game, of which the paper says nothing: whether the score without them is no higher
  than Phi_l+(0), that without any channel.
  """
  full, blank = (jnp.asarray(s)[:, None] for s in (result.full_score, result.blank_score))
  if result.game == 'delete':
    return (jnp.asarray(result.deleted_scores) <= blank) & (full > blank)
  return (jnp.asarray(result.scores) >= full) & (full > blank)


def index_of_best(result: ChannelResult) -> jax.Array:
  """`[B]`: the index of a*, the fewest channels that `reached` is true of; of the most without."""
  channels, enough = jnp.asarray(result.areas, jnp.float32), reached(result)
  fewest = jnp.where(enough, channels, jnp.inf).argmin(axis=1)
  return jnp.where(enough.any(axis=1), fewest, channels.argmax())


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


@dataclasses.dataclass(frozen=True)
class _Settings:
  """What is maximised, and how; see `channel_attribution`."""

  layer: str
  game: Game
  iterations: int
  learning_rate: float
  area_weight: float
  ramp: int

  def __post_init__(self) -> None:
    check_choice('game', self.game, get_args(Game))


class _Problem(NamedTuple):
  """P problems.

  Attributes:
    above: Phi_l+, the rest of the network, from the activations that it reads to scores.
    activations: these, by layer; those of the layer in question are masked.
    targets: `[P]`, the classes.
    areas: `[P]`, as shares of the layer's channels.
  """

  above: Callable[[dict[str, jax.Array]], jax.Array]
  activations: dict[str, jax.Array]
  targets: jax.Array
  areas: jax.Array


def _score(masks: jax.Array, problem: _Problem, layer: str) -> jax.Array:
  """Phi_l+(m (x) Phi_l(x)) of masks `[P, K]`: `[P]`."""
  masked = masks[:, None, None] * problem.activations[layer]
  return pick(problem.above(problem.activations | {layer: masked}), problem.targets)


def _energy(masks: jax.Array, weight: jax.Array, problem: _Problem, s: _Settings) -> jax.Array:
  """lambda R_a(m) - Phi_l+(m (x) Phi_l(x)) (eq. 9), or that of another game, summed."""
  kept = _score(masks, problem, s.layer) if s.game != 'delete' else 0.0
  removed = _score(1 - masks, problem, s.layer) if s.game != 'preserve' else 0.0
  return (weight * area_loss(masks[:, None], problem.areas) - kept + removed).sum()


def _solve(problem: _Problem, s: _Settings) -> jax.Array:
  """Masks `[P, K]`, by SGD from all ones."""
  optimiser = optax.sgd(s.learning_rate * 0.1, momentum=0.9)  # PyTorch's lr, with dampening 0.9.

  def iterate(step, carry):
    masks, state = carry
    weight = s.area_weight * jnp.minimum(step / s.ramp, 1.0)
    updates, state = optimiser.update(jax.grad(_energy)(masks, weight, problem, s), state)
    return jnp.clip(optax.apply_updates(masks, updates), 0, 1), state

  start = jnp.ones((len(problem.areas), problem.activations[s.layer].shape[-1]), jnp.float32)
  masks, _ = jax.lax.fori_loop(0, s.iterations, iterate, (start, optimiser.init(start)))
  return masks


def _blank_score(
  net: Callable[[dict[str, jax.Array]], jax.Array],
  activations: dict[str, jax.Array],
  targets: jax.Array,
  layer: str,
) -> jax.Array:
  return pick(net(activations | {layer: jnp.zeros_like(activations[layer])}), targets)


@compiled
def _channels(net, x, targets, counts, *, settings: _Settings, chunk: int):
  layer = settings.layer
  activations = net.activations(x, net.network.cut(layer))
  shares = counts / activations[layer].shape[-1]
  shape = (x.shape[0], counts.shape[0])

  def solve_some(index):
    image, area = index // shape[1], index % shape[1]
    seen = {name: values[image] for name, values in activations.items()}
    problem = _Problem(net, seen, targets[image], shares[area])
    masks = _solve(problem, settings)
    return masks, _score(masks, problem, layer), _score(1 - masks, problem, layer)

  solved = mapped(solve_some, shape[0] * shape[1], chunk)
  masks, scores, deleted_scores = (v.reshape(*shape, *v.shape[1:]) for v in solved)
  saliency = jnp.einsum('bak,bhwk->bahw', masks, activations[layer])
  return {
    'masks': masks,
    'scores': scores,
    'deleted_scores': deleted_scores,
    'full_score': pick(net(x), targets),
    'blank_score': _blank_score(net, activations, targets, layer),
    'saliency': saliency,
  }


@checked
def channel_attribution(
  net: Pretrained,
  x: Images,
  target: Target,
  layer: str | None = None,
  areas: Sequence[int] | None = None,
  *,
  game: Game = 'preserve',
  iterations: Natural = 300,
  learning_rate: NotNegative = 1e-2,
  area_weight: NotNegative = 1500.0,
  ramp: Count = 150,
  chunk: Count | None = None,
) -> ChannelResult:
  """m_a = argmax_m Phi_l+(m (x) Phi_l(x)) - lambda R_a(m), m one value a channel (eq. 9).

  The paper gives the rate and the schedule of lambda; its optimiser and start, not given there, are
  those it uses for images: SGD with momentum 0.9 from all ones. As in PyTorch with a dampening of
  0.9, a gradient enters the momentum with the weight 0.1.

  Example:
    >>> result = perturb.channel_attribution(net, x, cat, 'relu3', areas=[2, 5, 10])
    >>> result.masks.shape, result.heatmap.shape
    ((1, 3, 10), (1, 32, 32))
    >>> result.areas[result.best()].shape  # a*, a number of channels for each image.
    (1,)

  Args:
    net, x, target: see `perturb.base`; net is a network of `perturb.nets`.
    layer: name of any layer with spatial extent, inside residual blocks too; by default the last
      one before the classifier.
    areas: numbers of channels (not fractions), each from 1 to K; by default the paper's, as far as
      there are so many channels, and K.
    game: 'preserve' maximises Phi_l+(m (x) Phi_l(x)), 'delete' minimises Phi_l+((1 - m) (x)
      Phi_l(x)), 'hybrid' maximises their difference.
    iterations: steps of SGD.
    learning_rate: of SGD as PyTorch has it: how far a unit of gradient moves a mask value.
    area_weight: lambda, what R_a counts, as a mean of squares, from iteration `ramp` on.
    ramp: iterations over which lambda grows from 0.
    chunk: how many problems (image, area) are solved side by side; 8 on a CPU and 256 elsewhere by
      default.

  Returns:
    A `ChannelResult`.

  Raises:
    UserError: for an unknown layer, one without spatial extent, or a number of channels that it
      does not have.
  """
  net = network_of(net, 'channel attribution')
  refuse_rules(net, 'channel attribution')
  layer = net.network.resolve(layer or default_layer(net))
  settings = _Settings(layer, game, iterations, learning_rate, area_weight, ramp)
  x, targets = check_arguments(net, x, target)
  counts = jnp.asarray(channel_counts(net, layer, areas), jnp.float32)
  if chunk is None:
    chunk = 8 if jax.default_backend() == 'cpu' else 256
  found = _channels(
    net,
    x,
    targets,
    counts,
    settings=settings,
    chunk=min(chunk, x.shape[0] * counts.shape[0]),
  )
  return ChannelResult(areas=counts, size=(x.shape[1], x.shape[2]), game=game, **found)


class ClassChannels(NamedTuple):
  """Channels of some classes.

  Attributes:
    classes: `[C]`, indices of the classes, ascending.
    masks: `[C, K]`, the mean of the best masks of a class's images.
    channels: `[C]`, k* = argmax_k of that mean (sec. 5.2).
  """

  classes: np.ndarray
  masks: np.ndarray
  channels: np.ndarray


def class_channels(result: ChannelResult, labels: Sequence[int] | np.ndarray) -> ClassChannels:
  """The channel that matters most to each class, over the masks m_a* of its images.

  An image without an a* counts with the mask of its largest area.

  Args:
    result: channel attributions of B images.
    labels: `[B]`, the class of each image.
  """
  labels = np.asarray(labels)
  best = np.asarray(result.masks)[np.arange(len(labels)), result.best()]
  classes = np.unique(labels)
  masks = np.stack([best[labels == c].mean(0) for c in classes])
  return ClassChannels(classes, masks, masks.argmax(1))
