"""Extremal perturbations as a consensus of searches that see many views of the image (ours).

A network has many masks of nearly the same score; which of them a search finds is chance, and most
of them fool this network alone. Here

1.  every step of a search sees other random views of the perturbed image (moved, zoomed, mirrored,
    noisy) under other strengths of the perturbation, so that only what survives these is rewarded;
2.  searches start where discs of the area score best, in such views too, which is the same for
    images that are nearly the same; if asked, others start from a uniform mask whose area shrinks,
    as in `fast`;
3.  the answer is their consensus: the parameters are averaged with weights that fall off as the
    rewards of the searches' masks do, and the mean is thresholded at the area. Where that scores
    less than the best search by more than the tolerance, because the mean of two optima need not be
    one, the answer is the best search's.

The table of what was tried is in docs/measured.md. Shapes: P problems, S searches with the
restarts, an image of [H, W] pixels, a lattice of h x w nodes.
"""

from collections.abc import Callable
import dataclasses
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import optax

from perturb.methods.extremal_reward import Reward, View
from perturb.ops.area import project
from perturb.ops.augment import Ranges, random_view
from perturb.ops.masks import gaussian_field
from perturb.options import Bounds, Count, Natural, NotNegative, Positive

_FIRST_AREA = 0.5  # Of a search from a uniform mask.
_WIDTHS = 0.1, 0.01  # Of a mask's transition from 0 to 1, at the start and at the end of a search.
_RAMP = 0.7  # The part of a search that area and width take to arrive.
_SETTLED = 0.75  # From this part on a search's parameters are averaged.
_EPSILON = 0.1  # Of Adam, relative to the largest gradient of the first step.
_OF_DISCS = 2**31  # Folded into the key of their views; searches fold in 0, 1, ...


@dataclasses.dataclass(frozen=True)
class Robust:
  """Settings of the `robust` mode.

  Attributes:
    iterations: steps of each search.
    searches: how many start where discs score best, each with other views.
    restarts: how many more start from a uniform mask, whose area shrinks; they may find a higher
      score elsewhere, and another one for an image that is nearly the same.
    views: how many views each step sees; their gradients are averaged.
    discs: number of discs along each side, which are tried for the start.
    disc_views: in how many views each disc is tried.
    learning_rate: step size of Adam, in the units of the parameters, which lie in [0, 1]; it
      falls to a third.
    nodes: number of lattice nodes along the shorter side of the image.
    sigma: sigma of the Gaussian that smooths the lattice, as a fraction of the shorter side.
    shift: how far a view is moved, at most, as a fraction of each side.
    zoom: how much a view is zoomed, at most: 0.15 is from 0.85 to 1.15.
    mirror: whether half of the views are mirrored; not for what is never seen so, as digits.
    noise: of a view, as a fraction of the standard deviation of the image's values.
    fading: how much weaker than full the perturbation may be in a view, at most.
    tolerance: a search whose reward is lower than the best one by this fraction of it, or of 1 if
      that is more, counts 1/e.
  """

  iterations: Count = 36
  searches: Count = 2
  restarts: Natural = 0
  views: Count = 2
  discs: Annotated[int, Bounds(2)] = 10
  disc_views: Count = 4
  learning_rate: NotNegative = 0.05
  nodes: Annotated[int, Bounds(2)] = 32
  sigma: Positive = 1 / 16
  shift: NotNegative = 0.07
  zoom: Annotated[float, Bounds(0, 1, below=True)] = 0.15
  mirror: bool = True
  noise: NotNegative = 0.1
  fading: Annotated[float, Bounds(0, 1)] = 0.5
  tolerance: Positive = 0.1

  @property
  def end_width(self) -> float:
    """Width of the last masks' transition, in the units of the smoothed lattice."""
    return _WIDTHS[1]


# (key of a view, masks [P, H, W]) -> rewards [P] in that view.
Seen = Callable[[jax.Array, jax.Array], jax.Array]


class Found(NamedTuple):
  """What the searches found.

  Attributes:
    parameters: `[P, h, w]` in [0, 1], the weighted mean of those of the searches, or the best
      search's.
    consensus: `[P, h, w]` in [0, 1], the weighted share of the searches' masks that a node is in.
    candidates: `[P, S, h, w]`, the parameters of each search.
    candidate_scores: `[P, S]`, the reward of each search's mask, of the image as it is.
    candidate_overlaps: `[P, S]` in [0, 1], the overlap (soft IoU) of each search's mask with that
      of the parameters.
    agreement: `[P]` in [0, 1], the mean of these, weighted as the parameters are.
    rewards: `[P, T]`, of the first search's masks, the mean under each step's views.
  """

  parameters: jax.Array
  consensus: jax.Array
  candidates: jax.Array
  candidate_scores: jax.Array
  candidate_overlaps: jax.Array
  agreement: jax.Array
  rewards: jax.Array


def solve_robust(
  reward: Reward,
  size: tuple[int, int],
  shape: tuple[int, int],
  areas: jax.Array,
  deviation: jax.Array,
  start: jax.Array | None,
  key: jax.Array,
  s: Robust,
) -> Found:
  """Searches for P masks of given areas.

  Args:
    reward: what is maximised.
    size: (H, W) of the image in pixels.
    shape: (h, w) of the lattice.
    areas: a `[P]`, fractions of the image in (0, 1).
    deviation: `[P]`, the standard deviation of each image's values.
    start: where the searches start, `[P, h, w]`; None for the best discs.
    key: PRNG key of the views.
    s: the settings.
  """

  def masks_of(parameters: jax.Array, areas: jax.Array, width: jax.Array | float) -> jax.Array:
    return project(gaussian_field(parameters, size, s.sigma * min(size)), areas, width)

  def seen(key: jax.Array, masks: jax.Array) -> jax.Array:
    return reward(masks, _view(key, deviation, s))

  def search(i: jax.Array) -> tuple[jax.Array, jax.Array]:
    first = i < s.searches
    return _climb(
      masks_of,
      seen,
      jnp.where(first, beginning, 0.5),
      areas,
      jnp.where(first, areas, _FIRST_AREA),
      jax.random.fold_in(key, i),
      s,
    )

  if start is None:
    beginning = _best_discs(seen, size, shape, areas, jax.random.fold_in(key, _OF_DISCS), s)
  else:
    beginning = start
  candidates, rewards = jax.lax.map(search, jnp.arange(s.searches + s.restarts))
  masks = jax.lax.map(lambda c: masks_of(c, areas, s.end_width), candidates)

  def mean_of(scores: jax.Array) -> jax.Array:
    return jnp.einsum('sp,sphw->phw', _weights(scores, s.tolerance), candidates)

  def judge(scores: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The searches' masks one after the other, and then their mean's: one program for all."""
    mean = masks_of(mean_of(scores), areas, s.end_width)
    found = reward(jnp.where(i < len(masks), masks[i], mean), View())
    return scores.at[i].set(found, mode='drop'), found

  unknown = jnp.full((len(masks), len(areas)), -jnp.inf, jnp.float32)
  scores, judged = jax.lax.scan(judge, unknown, jnp.arange(len(masks) + 1))
  weights = _weights(scores, s.tolerance)
  best = _finite(scores).max(0)
  as_good = _finite(judged[-1]) >= best - s.tolerance * jnp.maximum(jnp.abs(best), 1)
  chosen = candidates[_finite(scores).argmax(0), jnp.arange(len(areas))]
  parameters = jnp.where(as_good[:, None, None], mean_of(scores), chosen)
  consensus = jnp.einsum('sp,sphw->phw', weights, masks)
  final = masks_of(parameters, areas, s.end_width)
  overlaps = jnp.minimum(masks, final).sum((2, 3)) / jnp.maximum(masks, final).sum((2, 3))
  return Found(
    parameters,
    jnp.clip(jax.image.resize(consensus, (len(areas), *shape), 'linear'), 0, 1),
    candidates.swapaxes(0, 1),
    scores.T,
    overlaps.T,
    (weights * overlaps).sum(0),
    rewards[0].T,
  )


def _weights(scores: jax.Array, tolerance: float) -> jax.Array:
  """What each search counts, `[S, P]`, with a sum of 1 over the searches."""
  known = _finite(scores)
  best = known.max(0)
  return jax.nn.softmax((known - best) / (tolerance * jnp.maximum(jnp.abs(best), 1)), axis=0)


def _finite(scores: jax.Array) -> jax.Array:
  """Scores of which one that is NaN or infinite counts as low as any."""
  return jnp.where(jnp.isfinite(scores), scores, -1e30)


def _view(key: jax.Array, deviation: jax.Array, s: Robust) -> View:
  view_key, strength_key = jax.random.split(key)
  ranges = Ranges(s.shift, s.zoom, s.mirror, s.noise)
  return View(
    lambda images: random_view(view_key, images, deviation, ranges),
    1 - s.fading * jax.random.uniform(strength_key, (), jnp.float32) if s.fading else None,
  )


def _climb(
  masks_of: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
  seen: Seen,
  start: jax.Array,
  areas: jax.Array,
  first_areas: jax.Array,
  key: jax.Array,
  s: Robust,
) -> tuple[jax.Array, jax.Array]:
  """Adam from a start: the mean parameters of the last steps `[P, h, w]`, rewards `[T, P]`.

  Where a gradient is not finite the parameters stay as they are. Adam moves a node whose gradient
  is nothing but noise as far as any other, so gradients count relative to the largest one of the
  first step, and those far below it move little.
  """
  adam = optax.scale_by_adam(b2=0.99, eps=_EPSILON)
  ramp = max(_RAMP * s.iterations, 1)
  settled = int(_SETTLED * s.iterations)

  def step(carry, t):
    parameters, state, mean, scale = carry
    time = t.astype(jnp.float32)
    progress = jnp.minimum(time / ramp, 1.0)
    area = first_areas * (areas / first_areas) ** progress
    width = _WIDTHS[0] * (_WIDTHS[1] / _WIDTHS[0]) ** progress
    masks, to_parameters = jax.vjp(lambda p: masks_of(p, area, width), parameters)
    rewards, gradient = _averaged(seen, masks, jax.random.fold_in(key, t), s.views)
    (gradient,) = to_parameters(-gradient)
    known = jnp.isfinite(gradient).all((1, 2), keepdims=True)
    gradient = jnp.where(known, gradient, 0)
    largest = jnp.abs(gradient).max((1, 2), keepdims=True)
    scale = jnp.where(scale == 0, largest, scale)
    updates, state = adam.update(gradient / jnp.where(scale == 0, 1, scale), state)
    rate = s.learning_rate * 3.0 ** (-time / s.iterations)
    parameters = jnp.clip(parameters - rate * updates, 0, 1)
    share = jnp.where(t >= settled, jnp.float32(1 / (s.iterations - settled)), 0)
    return (parameters, state, mean + share * parameters, scale), rewards

  nothing = jnp.zeros_like(start)
  carry = (start, adam.init(start), nothing, nothing[:, :1, :1])
  (_, _, mean, _), rewards = jax.lax.scan(step, carry, jnp.arange(s.iterations))
  return mean, rewards


def _averaged(
  seen: Seen, masks: jax.Array, key: jax.Array, views: int
) -> tuple[jax.Array, jax.Array]:
  """The mean reward of masks over views `[P]`, and its gradient `[P, H, W]`."""

  def energy(masks, key):
    rewards = seen(key, masks)
    return rewards.sum(), rewards

  def add(total, v):
    (_, rewards), gradient = jax.value_and_grad(energy, has_aux=True)(
      masks, jax.random.fold_in(key, v)
    )
    return (total[0] + rewards / views, total[1] + gradient / views), None

  nothing = jnp.zeros(len(masks), jnp.float32), jnp.zeros_like(masks)
  return jax.lax.scan(add, nothing, jnp.arange(views))[0]


def _best_discs(
  seen: Seen,
  size: tuple[int, int],
  shape: tuple[int, int],
  areas: jax.Array,
  key: jax.Array,
  s: Robust,
) -> jax.Array:
  """A start where discs of the area score best: `[P, h, w]` in [0, 1].

  The rewards of discs at n x n places, each in views of its own, are smoothed over neighbouring
  places; the start is the mean of a bump at each place, weighted by the softmax of these: no place
  is chosen, so that an image that is nearly the same has nearly the same start.
  """
  n, pixels = s.discs, [_middles(side) for side in size]
  places = _middles(n) / n

  def score(i: jax.Array) -> jax.Array:
    down = pixels[0] - places[i // n] * size[0]
    across = pixels[1] - places[i % n] * size[1]
    distance = jnp.hypot(down[:, None], across) / min(size)
    discs = project(jnp.broadcast_to(-distance, (len(areas), *size)), areas, _WIDTHS[1])

    def add(total: jax.Array, v: jax.Array) -> tuple[jax.Array, None]:
      view_key = jax.random.fold_in(jax.random.fold_in(key, i), v)
      return total + seen(view_key, discs) / s.disc_views, None

    return jax.lax.scan(add, jnp.zeros(len(areas), jnp.float32), jnp.arange(s.disc_views))[0]

  scores = jax.lax.map(score, jnp.arange(n * n)).T.reshape(-1, n, n)
  known = jnp.isfinite(scores)
  lowest = jnp.where(known, scores, jnp.inf).min((1, 2), keepdims=True)
  scores = jnp.where(known, scores, jnp.where(jnp.isfinite(lowest), lowest, 0))
  blend = jnp.maximum(0, 2 - jnp.abs(_middles(n)[:, None] - _middles(n)))
  blend = blend / blend.sum(1, keepdims=True)
  scores = jnp.einsum('ai,pij,bj->pab', blend, scores, blend)
  spread = scores.max((1, 2), keepdims=True) - scores.min((1, 2), keepdims=True)
  sharp = scores / (0.1 * jnp.where(spread == 0, 1, spread))
  chance = jax.nn.softmax(sharp.reshape(len(areas), -1)).reshape(scores.shape)
  radius = 0.7 * jnp.sqrt(areas / jnp.pi)
  rows, columns = (_bumps(_middles(m) / m, places, radius) for m in shape)
  field = jnp.einsum('pya,pab,pxb->pyx', rows, chance, columns)
  return 0.1 + 0.8 * field / field.max((1, 2), keepdims=True)


def _middles(count: int) -> jax.Array:
  return jnp.arange(count, dtype=jnp.float32) + 0.5


def _bumps(at: jax.Array, places: jax.Array, radius: jax.Array) -> jax.Array:
  """Gaussian bumps about each place along an axis, `[P, m, n]`; all in units of the axis."""
  return jnp.exp(-0.5 * ((at[:, None] - places) / radius[:, None, None]) ** 2)
