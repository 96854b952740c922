"""Extremal perturbations: the mask of a given area that maximally affects a network's output.

Source: Fong, Patrick and Vedaldi, "Understanding Deep Networks via Extremal Perturbations and
Smooth Masks", ICCV 2019. Shapes: B images, A areas, [H, W, C] pixels.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturb import options
from perturb.base import (
  Function,
  Images,
  Target,
  check_arguments,
  count_outputs,
  key_or_default,
  pick,
)
from perturb.chunks import default_chunk, mapped
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.methods.extremal_reward import Game, Objective, Play, reward_of
from perturb.methods.extremal_solvers import (
  MODES,
  Settings,
  lattice_shape,
  render,
  solve,
)
from perturb.nets.layer_gradients import refuse_rules
from perturb.ops.area import binarise
from perturb.ops.heatmaps import smooth
from perturb.ops.perturbations import Perturbation, check_fade_to, perturb
from perturb.options import Bounds, Count, Option, Positive, checked, setting_options

DEFAULT_AREAS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


class ExtremalResult(NamedTuple):
  """Extremal perturbations of B images at A areas.

  Attributes:
    areas: `[A]`, the areas asked for, as fractions of the image.
    masks: `[B, A, H, W]` in [0, 1]. 1 marks the region of area a: what `preserve` keeps, what
      `delete` removes.
    parameters: `[B, A, h, w]`, the low-resolution parameters of the masks.
    mean_area: `[B, A]`, mean of each mask.
    share_area: `[B, A]`, share of its pixels above 1/2.
    scores: `[B, A]`, Phi(m (x) x), the score with only the region kept.
    deleted_scores: `[B, A]`, Phi((1 - m) (x) x), the score with the region removed.
    binary_scores: `[B, A]`, the score with exactly the a |Omega| largest mask pixels kept.
    full_score: `[B]`, Phi(x), the score of the image.
    blank_score: `[B]`, Phi of the fully perturbed image.
    rewards: `[B, A, T]`, what the solver (the first search) maximised, at each iteration.
    area_losses: `[B, A, T]`, R_a at each iteration (zeros in our modes).
    agreement: `[B, A]` in [0, 1], how much the searches of the `robust` mode agree: the mean
      overlap of their masks with the one returned, weighted by their scores. NaN in other modes.
    candidates: `[B, A, S, h, w]`, the parameters that each search found; S = 0 in other modes.
    candidate_scores: `[B, A, S]`, what is maximised, of each one's mask.
    candidate_overlaps: `[B, A, S]` in [0, 1], soft IoU of each one's mask with the one returned.
    consensus: `[B, A, h, w]` in [0, 1], in which share of the masks found a node lies, weighted by
      their scores. NaN in other modes.
  """

  areas: jax.Array
  masks: jax.Array
  parameters: jax.Array
  mean_area: jax.Array
  share_area: jax.Array
  scores: jax.Array
  deleted_scores: jax.Array
  binary_scores: jax.Array
  full_score: jax.Array
  blank_score: jax.Array
  rewards: jax.Array
  area_losses: jax.Array
  agreement: jax.Array
  candidates: jax.Array
  candidate_scores: jax.Array
  candidate_overlaps: jax.Array
  consensus: jax.Array

  @property
  def alternatives(self) -> np.ndarray:
    """`[B, A, S]`: which candidates are other regions that do as well as the best one.

    Their score is within 5 % of the best one's, and they overlap with the mask returned by less
    than half. `render_masks(result.candidates[:, :, s], areas, size, mode='robust')` shows them.
    """
    return other_regions(self.candidate_scores, self.candidate_overlaps)

  @property
  def heatmap(self) -> jax.Array:
    """`[B, H, W]`: the sum of the masks, blurred by 9 % of the shorter side (sec. 4.2)."""
    return smooth(jnp.asarray(self.masks).sum(1), 0.09)


def _solve_chunk(
  f, x, targets, areas, start, key, play: Play, settings: Settings
) -> dict[str, jax.Array]:
  """P problems at once: x `[P, H, W, C]`, targets `[P]`, areas `[P]`, start `[P, h, w]` or None."""
  pyramids = play.pyramids(x)
  reward = reward_of(f, pyramids, targets, play)
  deviation = x.std((1, 2, 3))
  solution = solve(reward, x.shape[1:3], areas, deviation, start, key, settings)
  masks = solution.masks
  asked = jnp.stack(
    [masks, 1 - masks, binarise(masks, areas), jnp.ones_like(masks), jnp.zeros_like(masks)]
  )
  # A loop, so that the network is compiled once for the five.
  scores, deleted, binary, full, blank = jax.lax.map(
    lambda masks: pick(f(perturb(pyramids, masks)), targets), asked
  )
  return {
    'masks': masks,
    'parameters': solution.parameters,
    'mean_area': masks.mean((1, 2)),
    'share_area': (masks > 0.5).mean((1, 2)),
    'scores': scores,
    'deleted_scores': deleted,
    'binary_scores': binary,
    'full_score': full,
    'blank_score': blank,
    'rewards': solution.rewards,
    'area_losses': solution.area_losses,
    'agreement': solution.agreement,
    'candidates': solution.candidates,
    'candidate_scores': solution.candidate_scores,
    'candidate_overlaps': solution.candidate_overlaps,
    'consensus': solution.consensus,
  }


@compiled
def _extremal(
  f, x, targets, areas, start, key, *, play: Play, settings: Settings, chunk: int
) -> ExtremalResult:
  n_images, n_areas = x.shape[0], areas.shape[0]

  def solve_some(some):
    image, area = some // n_areas, some % n_areas
    begin = None if start is None else start[image, area]
    return _solve_chunk(f, x[image], targets[image], areas[area], begin, key, play, settings)

  solved = {
    name: value.reshape(n_images, n_areas, *value.shape[1:])
    for name, value in mapped(solve_some, n_images * n_areas, chunk).items()
  }
  for name in ('full_score', 'blank_score'):  # The same for every area.
    solved[name] = solved[name][:, 0]
  return ExtremalResult(areas=areas, **solved)


def every_setting() -> dict[str, Option]:
  """The settings of all modes; not every mode has each."""
  return {name: one for mode in MODES.values() for name, one in setting_options(mode).items()}


def settings_of(mode: str, **overrides: Any) -> Settings:
  """The settings of a mode with some of them changed; see `perturb.options.settings_of`."""
  return options.settings_of(MODES, mode, overrides)


def check_areas(areas: float | Sequence[float] | jax.Array | np.ndarray) -> tuple[float, ...]:
  """Areas as floats; one number counts as a list of one.

  Raises:
    UserError: names the first one that is not between 0 and 1.
  """
  several = areas if isinstance(areas, str) else np.atleast_1d(np.asarray(areas, object)).tolist()
  if not len(several):
    raise UserError('areas: give at least one, a fraction of the image between 0 and 1')
  for area in several:
    if not isinstance(area, int | float | np.number) or not 0 < area < 1:
      raise UserError(
        f'area {area!r}: an area is a fraction of the image between 0 and 1, both excluded'
      )
  return tuple(float(area) for area in several)


@checked
def extremal_perturbation(
  f: Function,
  x: Images,
  target: Target,
  areas: float | Sequence[float] | jax.Array | np.ndarray = DEFAULT_AREAS,
  *,
  key: jax.Array | None = None,
  start: jax.Array | np.ndarray | None = None,
  mode: str = 'fast',
  game: Game = 'preserve',
  objective: Objective = 'score',
  perturbation: Perturbation = 'blur',
  levels: Annotated[int, Bounds(2)] = 8,
  sigma_max: Positive = 20.0,
  fade_to: Sequence[float] = (0.0,),
  chunk: Count | None = None,
  **settings: Any,
) -> ExtremalResult:
  """Finds, for each image and area, the mask that maximally affects one output of a network.

  m_a = argmax Phi(m (x) x) over smooth masks of area a (eq. 2), for each area on its own, as one
  compiled call.

  Example:
    >>> result = perturb.extremal_perturbation(net, x, cat, areas=[0.05, 0.1])
    >>> result.masks.shape
    (1, 2, 32, 32)
    >>> bool(abs(result.mean_area - result.areas).max() < 1e-3)  # The areas asked for.
    True

  Args:
    f, x, target: see `perturb.base`; f is any differentiable function.
    areas: fractions of the image, each in (0, 1).
    key: PRNG key of the views of the 'robust' mode and of the start of the 'fast' mode;
      `jax.random.key(0)` by default.
    start: parameters to start from, e.g. of another result: `[B, A, h, w]` in [0, 1], or any shape
      that broadcasts to it; of the 'robust' mode's searches, not of its restarts. By
      default each mode's own.
    mode: 'fast' or 'robust' (ours), 'paper' or 'torchray' (as the authors' released code); see
      `perturb.methods.extremal_solvers`.
    game: 'preserve' maximises Phi(m (x) x), 'delete' minimises Phi((1 - m) (x) x), 'hybrid'
      maximises their difference.
    objective: what is maximised: the 'score' f gives, or 'contrastive': that score minus the best
      other class.
    perturbation: 'blur' what is not kept, or 'fade' it to `fade_to`.
    levels: number of images in the blur pyramid, the unblurred one included.
    sigma_max: sigma of the strongest blur, in pixels.
    fade_to: the constant of a fade, one value for each channel or one for all, in the units of x.
      The default of zero is the training mean of a normalised input; give the preprocessed value of
      black for black.
    chunk: how many problems (image, area) are solved side by side, which bounds the memory; by
      default as many as suit the machine.
    **settings: fields of the mode's settings, e.g. `iterations`, `learning_rate`: see
      `perturb.methods.extremal_robust.Robust`, and `Fast` and `Penalised` of
      `perturb.methods.extremal_solvers`.

  Returns:
    An `ExtremalResult`.

  Raises:
    UserError: names the argument that does not fit and what would.
  """
  x, targets = check_arguments(f, x, target)
  refuse_rules(f, 'an extremal perturbation')
  if objective == 'contrastive' and count_outputs(f, x) < 2:
    raise UserError("objective 'contrastive': f has one output, so there is no other class")
  areas = check_areas(areas)
  check_fade_to(fade_to, x)
  resolved = settings_of(mode, **settings)
  chunk = min(chunk or default_chunk(x.shape[1:3]), len(areas) * x.shape[0])
  return _extremal(
    f,
    x,
    targets,
    jnp.asarray(areas, jnp.float32),
    _start(start, x, len(areas), resolved),
    key_or_default(key),
    settings=resolved,
    chunk=chunk,
    play=Play(
      game,
      objective,
      perturbation,
      levels,
      sigma_max,
      normalised=mode != 'torchray',
      fade_to=tuple(map(float, fade_to)),
    ),
  )


def _start(
  start: jax.Array | np.ndarray | None, x: jax.Array, n_areas: int, settings: Settings
) -> jax.Array | None:
  if start is None:
    return None
  shape = (x.shape[0], n_areas, *lattice_shape((x.shape[1], x.shape[2]), settings))
  try:
    return jnp.broadcast_to(jnp.asarray(start, jnp.float32), shape)
  except ValueError as error:
    raise UserError(f'start must have the shape {shape}, not {np.shape(start)}') from error


def other_regions(scores: jax.Array | np.ndarray, overlaps: jax.Array | np.ndarray) -> np.ndarray:
  """Which candidates `[..., S]` do as well as the best and are elsewhere than the mask returned.

  Args:
    scores: of the candidates; within 5 % of the best one is as well.
    overlaps: of their masks with the one returned; less than a half is elsewhere.
  """
  scores = np.asarray(scores)
  best = scores.max(-1, keepdims=True, initial=-np.inf)
  return (scores >= best - 0.05 * np.abs(best)) & (np.asarray(overlaps) < 0.5)


@compiled
def _render(parameters, areas, *, size, settings: Settings, chunk: int) -> jax.Array:
  count = areas.shape[0]

  def render_some(index):
    image, area = index // count, index % count
    return render(parameters[image, area], areas[area], size, settings)

  masks = mapped(render_some, parameters.shape[0] * count, chunk)
  return masks.reshape(-1, count, *size)


def render_masks(
  parameters: jax.Array | np.ndarray,
  areas: Sequence[float] | jax.Array | np.ndarray,
  size: tuple[int, int],
  *,
  mode: str = 'fast',
  chunk: int | None = None,
  **settings: Any,
) -> jax.Array:
  """The masks of an `ExtremalResult`, from its parameters.

  Args:
    parameters: `[B, A, h, w]` in [0, 1].
    areas: `[A]`, as fractions of the image.
    size: (H, W) of the images in pixels.
    mode: the mode that found the parameters.
    chunk: as for `extremal_perturbation`. With the same images, `chunk` and kind of device, the
      masks are the same to the last bit.
    **settings: those that the mode had, as in `extremal_perturbation`.

  Returns:
    `[B, A, H, W]` in [0, 1].
  """
  problems = parameters.shape[0] * len(areas)
  return _render(
    jnp.asarray(parameters),
    jnp.asarray(areas, jnp.float32),
    size=size,
    settings=settings_of(mode, **settings),
    chunk=min(chunk or default_chunk(size), problems),
  )
