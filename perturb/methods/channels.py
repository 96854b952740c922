"""Channel attribution: the few channels of a layer that keep a score.

Source: Fong, Patrick and Vedaldi, "Understanding Deep Networks via Extremal Perturbations and
Smooth Masks", ICCV 2019, section 5. Here an *area* is a number of channels. Shapes: B images, A
areas, a layer of h x w positions and K channels.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturb.base import Images, Target, check_arguments, pick
from perturb.chunks import mapped
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.methods.channel_solvers import (
  MODES,
  ROUNDING,
  Elimination,
  Penalised,
  Settings,
  Value,
  eliminate,
  penalise,
)
from perturb.nets.layer_gradients import default_layer, network_of, refuse_rules
from perturb.nets.pretrained import Pretrained
from perturb.ops.heatmaps import resize
from perturb.options import Count, checked, settings_of

Game = Literal['preserve', 'delete', 'hybrid']
DEFAULT_COUNTS = (
  *(1, 5, 10, 20, 25, 35, 40, 50, 60, 70, 80, 90, 100),
  *(150, 200, 250, 300, 350, 400, 450),
)  # And all channels: 528 in the paper.


class ChannelResult(NamedTuple):
  """Channel attributions of B images at A areas.

  Attributes:
    areas: `[A]`, numbers of channels, each from 1 to K.
    masks: `[B, A, K]`, zeros and exactly so many ones; in [0, 1] in the `paper` mode.
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
  # Two programs round the same score otherwise.
  if result.game == 'delete':
    return (jnp.asarray(result.deleted_scores) <= blank + ROUNDING * abs(blank)) & (full > blank)
  return (jnp.asarray(result.scores) >= full - ROUNDING * abs(full)) & (full > blank)


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
  if not len(areas):
    raise UserError('areas: give at least one number of channels')
  for area in areas:
    if area != int(area) or not 1 <= area <= shape[-1]:
      raise UserError(f'area {area!r}: {layer} has {shape[-1]} channels, so 1 to {shape[-1]}')
  return list(areas)


class _Problem(NamedTuple):
  """P problems.

  Attributes:
    above: Phi_l+, the rest of the network, from the activations that it reads to scores.
    activations: these, by layer, `[P, ...]`; those of the layer in question are masked.
    targets: `[P]`, the classes.
    layer: whose channels are masked.
    chunk: how many masks of a problem go through `above` side by side.
  """

  above: Callable[[dict[str, jax.Array]], jax.Array]
  activations: dict[str, jax.Array]
  targets: jax.Array
  layer: str
  chunk: int

  def score(self, masks: jax.Array) -> jax.Array:
    """Phi_l+(m (x) Phi_l(x)) of masks `[P, n, K]`: `[P, n]`."""
    if masks.shape[1] <= self.chunk:
      return self._together(masks)
    parts = mapped(lambda i: self._together(masks[:, i]).T, masks.shape[1], self.chunk)
    return parts.T

  def _together(self, masks: jax.Array) -> jax.Array:
    problems, n, _ = masks.shape
    seen = {
      name: jnp.broadcast_to(values[:, None], (problems, n, *values.shape[1:]))
      for name, values in self.activations.items()
    }
    seen[self.layer] = seen[self.layer] * masks[:, :, None, None]
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in seen.items()}
    scores = pick(self.above(flat), jnp.repeat(self.targets, n))
    return scores.reshape(problems, n)

  def value(self, game: Game) -> Value:
    """What a game maximises."""
    if game == 'preserve':
      return self.score
    if game == 'delete':
      return lambda masks: -self.score(1 - masks)
    return lambda masks: self.score(masks) - self.score(1 - masks)


class _Question(NamedTuple):
  """What is asked: of which layer, in which game, by which solver."""

  layer: str
  game: Game
  settings: Settings


def _eliminated(value_of, shape: tuple[int, int, int], counts, s: Elimination, chunk: int):
  """Masks `[B, A, K]`; as many images side by side as their candidates fit the chunk."""
  images, _, channels = shape
  tried = min(s.candidates, channels)

  def solve_some(image):
    value = value_of(image, max(1, chunk // len(image)))
    return eliminate(value, len(image), channels, counts, s)

  return mapped(solve_some, images, max(1, chunk // tried))


def _penalised(value_of, shape: tuple[int, int, int], counts, s: Penalised, chunk: int):
  """Masks `[B, A, K]`; each image and area is a problem of its own."""
  images, areas, channels = shape

  def solve_some(index):
    shares = counts[index % areas].astype(jnp.float32) / channels
    return penalise(value_of(index // areas, 1), len(index), channels, shares, s)

  return mapped(solve_some, images * areas, min(chunk, images * areas)).reshape(shape)


@compiled
def _channels(net, x, targets, counts, *, q: _Question, chunk: int):
  layer = q.layer
  activations = net.activations(x, net.network.cut(layer))
  shape = (x.shape[0], counts.shape[0], activations[layer].shape[-1])

  def problem_of(image, together):
    seen = {name: values[image] for name, values in activations.items()}
    return _Problem(net, seen, targets[image], layer, together)

  def value_of(image, together):
    return problem_of(image, together).value(q.game)

  if isinstance(q.settings, Elimination):
    masks = _eliminated(value_of, shape, counts, q.settings, chunk)
  else:
    masks = _penalised(value_of, shape, counts, q.settings, chunk)

  def scores_of_some(index):
    image, area = index // shape[1], index % shape[1]
    kept = masks[image, area]
    return problem_of(image, 1).score(jnp.stack([kept, 1 - kept], axis=1))

  every = shape[0] * shape[1]
  scores = mapped(scores_of_some, every, min(chunk, every)).reshape(*shape[:2], 2)
  return {
    'masks': masks,
    'scores': scores[..., 0],
    'deleted_scores': scores[..., 1],
    'full_score': pick(net(x), targets),
    'blank_score': pick(net(activations | {layer: jnp.zeros_like(activations[layer])}), targets),
    'saliency': jnp.einsum('bak,bhwk->bahw', masks, activations[layer]),
  }


@checked
def channel_attribution(
  net: Pretrained,
  x: Images,
  target: Target,
  layer: str | None = None,
  areas: Sequence[int] | None = None,
  *,
  mode: str = 'elimination',
  game: Game = 'preserve',
  chunk: Count | None = None,
  **settings: Any,
) -> ChannelResult:
  """m_a = argmax_m Phi_l+(m (x) Phi_l(x)) over masks of a channels, one value a channel (sec. 5).

  The mode 'elimination' is ours: masks of zeros and ones with exactly a ones, by dropping and
  adding one channel at a time. The mode 'paper' maximises Phi_l+(m (x) Phi_l(x)) - lambda R_a(m)
  over masks in [0, 1] (eq. 9). The paper gives the rate and the schedule of lambda; its optimiser
  and start, not given there, are those it uses for images: SGD with momentum 0.9 from all ones. As
  in PyTorch with a dampening of 0.9, a gradient enters the momentum with the weight 0.1 (there, but
  for the first).

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
    mode: 'elimination' (ours) or 'paper'; see `perturb.methods.channel_solvers`.
    game: 'preserve' maximises Phi_l+(m (x) Phi_l(x)), 'delete' minimises Phi_l+((1 - m) (x)
      Phi_l(x)), 'hybrid' maximises their difference.
    chunk: how many masks go through the network side by side, which bounds the memory; 8 on a CPU
      and 256 elsewhere by default.
    **settings: fields of the mode's settings, e.g. `candidates`, `iterations`: see
      `perturb.methods.channel_solvers.Elimination` and `Penalised`.

  Returns:
    A `ChannelResult`.

  Raises:
    UserError: for an unknown layer, one without spatial extent, or a number of channels that it
      does not have; for an unknown mode, or a setting that it does not have.
  """
  net = network_of(net, 'channel attribution')
  refuse_rules(net, 'channel attribution')
  layer = net.network.resolve(layer or default_layer(net))
  question = _Question(layer, game, settings_of(MODES, mode, settings))
  x, targets = check_arguments(net, x, target)
  counts = jnp.asarray(channel_counts(net, layer, areas), jnp.int32)
  if chunk is None:
    chunk = 8 if jax.default_backend() == 'cpu' else 256
  found = _channels(net, x, targets, counts, q=question, chunk=chunk)
  size = (x.shape[1], x.shape[2])
  return ChannelResult(areas=counts.astype(jnp.float32), size=size, game=game, **found)


class ClassChannels(NamedTuple):
  """Channels of some classes.

  Attributes:
    classes: `[C]`, indices of the classes, ascending.
    masks: `[C, K]`, the mean of the best masks of a class's images.
    channels: `[C]`, k* = argmax_k of that mean (sec. 5.2); of equal ones, as masks of zeros and
      ones of few images have many, that which more areas keep.
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
  kept = np.stack([np.asarray(result.masks)[labels == c].mean((0, 1)) for c in classes])
  channels = np.where(masks == masks.max(1, keepdims=True), kept, -np.inf).argmax(1)
  return ClassChannels(classes, masks, channels)
