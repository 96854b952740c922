"""Four ways to maximise a reward over masks of given areas.

`solve` takes a batch of P problems, a reward of each problem's mask, and the settings of one of the
named modes; it returns low-resolution parameters, and `render` the masks they stand for. Every
problem of a batch is independent: the energies are summed.

`paper`     SGD on reward - lambda R_a over max-convolved masks, as the paper describes it.
`torchray`  the same as TorchRay, the authors' released code, does it.
`fast`      ours: the area is not a penalty but holds exactly at every step. A lattice of values
            in [0, 1] is smoothed by a Gaussian (eq. 5) and softly thresholded at the level that
            makes the mask's mean a. The paper replaces eq. 5 by a max-convolution because a
            convolution never reaches 1; the threshold restores the contrast just as well. Adam
            climbs while the area shrinks from 1/2 to a and the threshold sharpens.
`robust`    ours: the same masks, by searches that see many views of the image, and their consensus;
            see `perturb.methods.extremal_robust`.
"""

from collections.abc import Callable
import dataclasses
from typing import Annotated, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax

from perturb.methods.extremal_reward import Reward, View
from perturb.methods.extremal_robust import Robust, solve_robust
from perturb.ops.area import area_loss, project, projected
from perturb.ops.masks import Lattice, gaussian_field, smooth_max_conv
from perturb.options import Bounds, Count, Inside, Natural, NotNegative, Positive

Logged = TypeVar('Logged')  # What is kept of each iteration.


@dataclasses.dataclass(frozen=True)
class Fast:
  """Settings of the `fast` mode.

  Attributes:
    iterations: T, steps of Adam.
    learning_rate: step size of Adam, in the units of the parameters, which lie in [0, 1].
    nodes: number of lattice nodes along the shorter side of the image.
    sigma: sigma of the Gaussian that smooths the lattice, as a fraction of the shorter side.
    start_area: area of the first masks; it shrinks (or grows) geometrically to a.
    start_width: width of the first masks' transition from 0 to 1, in units of the smoothed lattice.
    end_width: width of the last masks' transition, in the same units.
    ramp: fraction of the iterations that area and width take to arrive.
  """

  iterations: Count = 50
  learning_rate: NotNegative = 0.1
  nodes: Annotated[int, Bounds(2)] = 32
  sigma: Positive = 1 / 16
  start_area: Inside = 0.5
  start_width: Positive = 0.1
  end_width: Positive = 0.01
  ramp: Annotated[float, Bounds(0, 1)] = 0.6


@dataclasses.dataclass(frozen=True)
class Penalised:
  """Settings of the modes `paper` and `torchray`: reward - lambda_t R_a, by SGD.

  Attributes:
    iterations: T, steps of SGD.
    learning_rate: how far a unit of gradient moves a parameter, which lies in [0, 1].
    momentum: share of the last step in the next; the gradient has the rest, 1 - momentum
      (PyTorch's dampening).
    area_weight: lambda_0, what R_a, as a mean of squares, counts at the start.
    doublings: lambda doubles this many times, evenly spread over the iterations ...
    growth: ... and is multiplied by this after each one.
    step: distance between neighbouring lattice nodes, in pixels.
    temperature: T of the smooth maximum (eq. 7).
    profile: name of the kernel's profile, 'paper' or 'torchray'.
    radius: how far the kernel reaches, in lattice cells.
    margin: width of the frame around the image where the mask counts for R_a too, in cells.
    centred: whether nodes sit in the middle of their cells; see `Lattice`.
    mirror: the network sees the mirrored image on even steps.
  """

  iterations: Count
  learning_rate: NotNegative = 0.01
  momentum: Annotated[float, Bounds(0, 1, below=True)] = 0.9
  area_weight: NotNegative = 300.0
  doublings: Natural = 0
  growth: Positive = 1.0
  step: Count = 7
  temperature: Positive = 1 / 20
  profile: Literal['paper', 'torchray'] = 'paper'
  radius: Count = 6
  margin: Natural = 0
  centred: bool = True
  mirror: bool = False

  def lattice(self, size: tuple[int, int]) -> Lattice:
    """The family of masks, for an image of this size."""
    return Lattice(
      size,
      self.step,
      self.profile,
      self.radius,
      self.temperature,
      self.margin * self.step,
      self.centred,
    )


Settings = Robust | Fast | Penalised

MODES: dict[str, Settings] = {
  'fast': Fast(),
  'robust': Robust(),
  'paper': Penalised(iterations=1600, doublings=2),
  'torchray': Penalised(
    iterations=800,
    growth=1.0035,
    profile='torchray',
    radius=4,
    margin=3,
    centred=False,
    mirror=True,
  ),
}


class Solution(NamedTuple):
  """P solved problems.

  Attributes:
    parameters: `[P, h, w]` in [0, 1].
    masks: `[P, H, W]` in [0, 1].
    rewards: `[P, T]`, of each iteration's mask.
    area_losses: `[P, T]`, R_a of each iteration's mask (zeros in our modes).
    candidates: `[P, S, h, w]`, what each search of the `robust` mode found; S = 0 in the others.
    candidate_scores: `[P, S]`, the rewards of their masks.
    candidate_overlaps: `[P, S]`, of their masks with the one returned.
    agreement: `[P]`, how much the searches agree; NaN in the other modes.
    consensus: `[P, h, w]`, the weighted share of the searches' masks that a node is in; NaN in the
      other modes.
  """

  parameters: jax.Array
  masks: jax.Array
  rewards: jax.Array
  area_losses: jax.Array
  candidates: jax.Array
  candidate_scores: jax.Array
  candidate_overlaps: jax.Array
  agreement: jax.Array
  consensus: jax.Array


def lattice_shape(size: tuple[int, int], settings: Settings) -> tuple[int, int]:
  """(h, w) of a mode's parameters, for an image of (H, W) pixels."""
  if isinstance(settings, Penalised):
    return settings.lattice(size).shape
  spacing = max(min(size) / settings.nodes, 1)
  return round(size[0] / spacing), round(size[1] / spacing)


def searches_of(settings: Settings) -> int:
  """S: how many searches a mode makes of each mask; 0 where there are no candidates."""
  return settings.searches + settings.restarts if isinstance(settings, Robust) else 0


def _initial_parameters(size: tuple[int, int], key: jax.Array, settings: Settings) -> jax.Array:
  """Where a mode starts from, `[h, w]`: ones, or 1/2 with a little noise in the `fast` mode."""
  shape = lattice_shape(size, settings)
  if isinstance(settings, Penalised):
    return jnp.ones(shape, jnp.float32)
  return 0.5 + 1e-3 * jax.random.normal(key, shape, jnp.float32)


def solve(
  reward: Reward,
  size: tuple[int, int],
  areas: jax.Array,
  deviation: jax.Array,
  start: jax.Array | None,
  key: jax.Array,
  settings: Settings,
) -> Solution:
  """Maximises the rewards of P masks of given areas.

  Args:
    reward: what is maximised, a function of masks; each problem's depends on its own mask alone.
    size: (H, W) of the image in pixels.
    areas: a `[P]`, fractions of the image in (0, 1).
    deviation: `[P]`, the standard deviation of each image's values.
    start: `[P, h, w]` in [0, 1], the parameters to start from; None for the mode's own.
    key: PRNG key of what is random in a mode, the same for all problems: a result does not depend
      on what it is batched with.
    settings: one of `MODES`, or a variant of it.
  """
  if isinstance(settings, Robust):
    return _solve_robust(reward, size, areas, deviation, start, key, settings)
  if start is None:
    start = _initial_parameters(size, key, settings)
    start = jnp.broadcast_to(start, (len(areas), *start.shape))
  if isinstance(settings, Fast):
    return _solve_fast(reward, size, areas, start, settings)
  return _solve_penalised(reward, size, areas, start, settings)


def _one_search(
  parameters: jax.Array, masks: jax.Array, rewards: jax.Array, area_losses: jax.Array
) -> Solution:
  """The solution of a mode without candidates; histories `[T, P]`."""
  count, *shape = parameters.shape
  none = jnp.zeros((count, 0), jnp.float32)
  unknown = jnp.full(count, jnp.nan, jnp.float32)
  candidates = jnp.zeros((count, 0, *shape), jnp.float32)
  return Solution(
    parameters,
    masks,
    rewards.T,
    area_losses.T,
    candidates,
    none,
    none,
    unknown,
    jnp.full_like(parameters, jnp.nan),
  )


def _solve_robust(reward, size, areas, deviation, start, key, s: Robust) -> Solution:
  shape = lattice_shape(size, s)
  found = solve_robust(reward, size, shape, areas, deviation, start, key, s)
  return Solution(
    found.parameters,
    render(found.parameters, areas, size, s),
    found.rewards,
    jnp.zeros_like(found.rewards),
    found.candidates,
    found.candidate_scores,
    found.candidate_overlaps,
    found.agreement,
    found.consensus,
  )


def _logged_and_gradient(
  energy: Callable[[jax.Array], tuple[jax.Array, Logged]], parameters: jax.Array
) -> tuple[Logged, jax.Array]:
  (_, logged), gradient = jax.value_and_grad(energy, has_aux=True)(parameters)
  return logged, gradient


def _field(parameters: jax.Array, size: tuple[int, int], s: Fast | Robust) -> jax.Array:
  return gaussian_field(parameters, size, s.sigma * min(size))


def _solve_fast(reward, size, areas, start, s: Fast) -> Solution:
  optimiser = optax.adam(s.learning_rate, b2=0.99)
  ramp = min(s.ramp * s.iterations, s.iterations - 1)

  def iterate(carry, t):
    parameters, state, best, best_rewards = carry
    progress = jnp.minimum(t / ramp, 1.0) if ramp else jnp.float32(1)
    area = s.start_area * (areas / s.start_area) ** progress
    width = s.start_width * (s.end_width / s.start_width) ** progress

    def energy(parameters):
      rewards = reward(project(_field(parameters, size, s), area, width), View())
      return -jnp.sum(rewards), rewards

    rewards, gradient = _logged_and_gradient(energy, parameters)
    # Only once the area is a are rewards those of the masks asked for.
    better = (progress == 1) & (rewards > best_rewards)
    best = jnp.where(better[:, None, None], parameters, best)
    best_rewards = jnp.where(better, rewards, best_rewards)
    updates, state = optimiser.update(gradient, state)
    return (jnp.clip(parameters + updates, 0, 1), state, best, best_rewards), rewards

  first = (start, optimiser.init(start), start, jnp.full(areas.shape, -jnp.inf, jnp.float32))
  (_, _, best, _), rewards = jax.lax.scan(iterate, first, jnp.arange(s.iterations))
  return _one_search(best, render(best, areas, size, s), rewards, jnp.zeros_like(rewards))


def _settle(
  fields: jax.Array, areas: jax.Array, width: float, tolerance: float = 0.004
) -> jax.Array:
  """Masks whose mean is the area and whose share above 1/2 is within the tolerance of it.

  The width of the transition is halved, for those masks that need it, at most 16 times. No gradient
  goes through the choice of the width.
  """
  still = jax.lax.stop_gradient(fields)

  def off(masks):
    return jnp.abs(jnp.mean(masks > 0.5, axis=(1, 2)) - areas) > tolerance

  def sharpen(carry):
    widths, masks, count = carry
    widths = jnp.where(off(masks), widths / 2, widths)
    return widths, project(still, areas, widths), count + 1

  widths = jnp.full(areas.shape, width, jnp.float32)
  widths, masks, _ = jax.lax.while_loop(
    lambda carry: jnp.any(off(carry[1])) & (carry[2] < 16),
    sharpen,
    (widths, project(still, areas, widths), 0),
  )
  return projected(masks, fields, areas, widths)


def area_weight(t: jax.Array, s: Penalised) -> jax.Array:
  """lambda at iteration t."""
  doubled = jnp.floor(t * (s.doublings + 1) / s.iterations)
  return s.area_weight * 2.0**doubled * s.growth**t


def _solve_penalised(reward, size, areas, start, s: Penalised) -> Solution:
  lattice = s.lattice(size)

  def iterate(carry, t):
    parameters, momentum, _ = carry

    def energy(parameters):
      masks = smooth_max_conv(parameters, lattice)
      losses = area_loss(masks, areas)
      mirrored = (t % 2 == 0) & s.mirror
      view = View(lambda images: jnp.where(mirrored, images[:, :, ::-1], images))
      rewards = reward(lattice.crop(masks), view)
      return jnp.sum(area_weight(t, s) * losses - rewards), (rewards, losses)

    logged, gradient = _logged_and_gradient(energy, parameters)
    momentum = jnp.where(t == 0, gradient, s.momentum * momentum + (1 - s.momentum) * gradient)
    moved = jnp.clip(parameters - s.learning_rate * momentum, 0, 1)
    return (moved, momentum, parameters), logged

  # The masks are those of the last energy, before the last update, as in TorchRay.
  (_, _, parameters), (rewards, losses) = jax.lax.scan(
    iterate, (start, jnp.zeros_like(start), start), jnp.arange(s.iterations)
  )
  return _one_search(parameters, render(parameters, areas, size, s), rewards, losses)


def render(
  parameters: jax.Array, areas: jax.Array, size: tuple[int, int], settings: Settings
) -> jax.Array:
  """The masks that parameters stand for.

  Args:
    parameters: `[P, h, w]` in [0, 1].
    areas: a `[P]`, fractions of the image in (0, 1).
    size: (H, W) of the masks in pixels.
    settings: those of the mode that found the parameters.

  Returns:
    `[P, H, W]` in [0, 1].
  """
  if not isinstance(settings, Penalised):
    return _settle(_field(parameters, size, settings), areas, settings.end_width)
  lattice = settings.lattice(size)
  return lattice.crop(smooth_max_conv(parameters, lattice))
