"""Meaningful perturbations: the smallest mask that deletes, or preserves, what a network sees.

Source: Fong and Vedaldi, "Interpretable Explanations of Black Boxes by Meaningful Perturbation",
ICCV 2017. A mask is 1 where the image is kept and 0 where it is deleted. Two modes, never mixed:

  paper     eq. 4 as written: the blur's sigma follows the mask, sigma_0 (1 - m) (the paper prints
            sigma_0 m, with which it would blur what is kept), the mask is a Gaussian upsampling,
            differentiated through, and images shift by the jitter.
  released  as the authors' code: a blend with one blurred image; the mask is upsampled to blocks,
            cut to 1/255 and blurred as Pillow does, which the gradient ignores; images are enlarged
            by the jitter and cropped. It starts at random; a circle, if asked for, is stretched to
            [0, 1].

Shapes: B images of H x W pixels, masks of h x w parameters.
"""

from collections.abc import Sequence
import dataclasses
import math
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from perturb.base import Function, Images, Target, check_arguments, class_scores, key_or_default
from perturb.chunks import default_chunk, mapped
from perturb.compiled import compiled
from perturb.errors import UserError, check_choice
from perturb.nets.layer_gradients import refuse_rules
from perturb.ops.masks import gaussian_field, total_variation
from perturb.ops.perturbations import blur, blur_pyramid, check_fade_to, fade_pyramid, perturb
from perturb.options import Count, NotNegative, Positive, checked

Game = Literal['delete', 'preserve']
Mode = Literal['paper', 'released']
Objective = Literal['probability', 'top5', 'score']
Perturbation = Literal['blur', 'constant', 'noise']
Start = Literal['circle', 'random', 'ones']

CIRCLES = 35  # Radii tried for the start: 0, 5, ..., 170 pixels of an image of 224.
CIRCLE_SOFTNESS = 10.0  # pixels
SUPPRESSION = 0.99  # Of the score between the image and the blank one.


class MeaningfulResult(NamedTuple):
  """Meaningful perturbations of B images.

  Attributes:
    heatmap: `[B, H, W]` in [0, 1]: 1 - m in the deletion game, m in the preservation game.
    masks: `[B, H, W]` in [0, 1]: m, 1 where the image is kept.
    parameters: `[B, h, w]`, the masks before upsampling.
    scores: `[B]`, what the objective is of the perturbed image: probability or score.
    full_scores: `[B]`, the same of the image.
    blank_scores: `[B]`, the same of the fully perturbed image.
    losses: `[B, T]`, what was minimised, at each iteration.
  """

  heatmap: jax.Array
  masks: jax.Array
  parameters: jax.Array
  scores: jax.Array
  full_scores: jax.Array
  blank_scores: jax.Array
  losses: jax.Array


@dataclasses.dataclass(frozen=True)
class _Settings:
  """What is minimised, apart from the network and the image."""

  mode: Mode
  game: Game
  perturbations: tuple[Perturbation, ...]
  objective: Objective
  start: Start | None
  iterations: int
  learning_rate: float
  l1: float
  tv: float
  beta: float
  step: int
  mask_sigma: float
  jitter: int
  sigma_max: float
  fade_to: tuple[float, ...]
  noise: float

  def __post_init__(self) -> None:
    check_choice('mode', self.mode, get_args(Mode))
    check_choice('game', self.game, get_args(Game))
    check_choice('objective', self.objective, get_args(Objective))
    for perturbation in self.perturbations:
      check_choice('perturbation', perturbation, get_args(Perturbation))
    if self.start is not None:
      check_choice('start', self.start, get_args(Start))


def _lattice_shape(size: tuple[int, int], step: int) -> tuple[int, int]:
  """(h, w) of the masks' parameters."""
  return math.ceil(size[0] / step), math.ceil(size[1] / step)


def pillow_blur_matrix(size: int, sigma: float) -> np.ndarray:
  """Pillow's Gaussian blur along one axis: three box blurs of the same variance, edges repeated."""
  length = math.sqrt(4 * sigma**2 + 1)  # Of each box, with fractional ends: 12 sigma^2 / 3 + 1.
  whole = math.floor((length - 1) / 2)
  part = (2 * whole + 1) * (whole * (whole + 1) - 3 * sigma**2 / 3)
  part /= 6 * (sigma**2 / 3 - (whole + 1) ** 2)
  taps = np.array([part, *[1.0] * (2 * whole + 1), part]) / (2 * (whole + part) + 1)
  box = np.zeros((size, size))
  for offset, tap in zip(range(-whole - 1, whole + 2), taps, strict=True):
    np.add.at(box, (np.arange(size), np.clip(np.arange(size) + offset, 0, size - 1)), tap)
  return np.linalg.matrix_power(box, 3).astype(np.float32)


def _blocks(parameters: jax.Array, size: tuple[int, int], step: int) -> jax.Array:
  """Nearest-neighbour upsampling to blocks of step x step pixels."""
  return parameters.repeat(step, -2).repeat(step, -1)[..., : size[0], : size[1]]


def _released_masks(parameters: jax.Array, size: tuple[int, int], s: _Settings) -> jax.Array:
  blocks = _blocks(parameters, size, s.step)
  rows, columns = (pillow_blur_matrix(n, s.mask_sigma) for n in size)
  cut = jnp.floor(blocks * 255)
  smooth = jnp.round(jnp.einsum('hi,...ij,wj->...hw', rows, cut, columns)) / 255
  return blocks + jax.lax.stop_gradient(smooth - blocks)


def upsample(parameters: jax.Array, size: tuple[int, int], s: _Settings) -> jax.Array:
  """Masks `[P, H, W]` of parameters `[P, h, w]`."""
  if s.mode == 'released':
    return _released_masks(parameters, size, s)
  return gaussian_field(parameters, size, s.mask_sigma)


def _pyramids(x: jax.Array, perturbation: Perturbation, key: jax.Array, s: _Settings) -> jax.Array:
  """What the mask chooses between: `[P, levels, H, W, C]`, the last level the image."""
  if perturbation == 'constant':
    return fade_pyramid(x, value=jnp.asarray(s.fade_to, jnp.float32))
  if perturbation == 'noise':
    noise = s.noise * jax.random.normal(key, x.shape[-3:], jnp.float32)
    return fade_pyramid(x, value=noise)
  if s.mode == 'released':
    return fade_pyramid(x, value=blur(x, s.sigma_max))
  return blur_pyramid(x, sigma_max=s.sigma_max)


def jittered(pyramids: jax.Array, offset: jax.Array, jitter: int, mode: Mode) -> jax.Array:
  """Pyramids `[..., H, W, C]` seen through a window at an offset (row, column) in [0, jitter).

  In the paper's mode the image shifts, its edges repeated; in the released one it is enlarged by
  `jitter` pixels first. The mask stays where it is.
  """
  height, width, channels = pyramids.shape[-3:]
  if mode == 'released':
    shape = (*pyramids.shape[:-3], height + jitter, width + jitter, channels)
    larger = jax.image.resize(pyramids, shape, 'linear', antialias=False)
  else:
    before, after = (jitter - 1) // 2, jitter // 2
    edges = [(0, 0)] * (pyramids.ndim - 3) + [(before, after), (before, after), (0, 0)]
    larger = jnp.pad(pyramids, edges, mode='edge')
  rows = jax.lax.dynamic_slice_in_dim(larger, offset[0], height, axis=-3)
  return jax.lax.dynamic_slice_in_dim(rows, offset[1], width, axis=-2)


def _circles(size: tuple[int, int]) -> jax.Array:
  """Soft discs in the middle, `[CIRCLES, H, W]`, from nothing to nearly everything."""
  rows, columns = (np.arange(n) - (n - 1) / 2 for n in size)
  distance = np.hypot(rows[:, None], columns[None])
  radii = np.arange(CIRCLES) * 5 * min(size) / 224
  hard = (distance <= radii[:, None, None]) & (radii[:, None, None] > 0)
  softness = CIRCLE_SOFTNESS * min(size) / 224
  return blur(jnp.asarray(hard, jnp.float32)[..., None], softness)[..., 0]


@dataclasses.dataclass(frozen=True)
class _Problem:
  """P images that are solved side by side.

  Attributes:
    f: the network, see `perturb.base`.
    x: the images `[P, H, W, C]`.
    targets: `[P]`, the classes.
    predicted: `[P, 5]`, the five classes of the largest scores.
    pyramids: those of each perturbation, the noise as the first iteration draws it.
    noise_key: the key that gives each iteration that of its noise.
    jitter_key: the key that gives each iteration that of its jitter.
    settings: what is minimised, and how.
  """

  f: Function
  x: jax.Array
  targets: jax.Array
  predicted: jax.Array
  pyramids: dict[Perturbation, jax.Array]
  noise_key: jax.Array
  jitter_key: jax.Array
  settings: _Settings

  @property
  def size(self) -> tuple[int, int]:
    return self.x.shape[1], self.x.shape[2]

  @property
  def parameters_shape(self) -> tuple[int, int, int]:
    return self.x.shape[0], *_lattice_shape(self.size, self.settings.step)


def _problem(
  f: Function,
  x: jax.Array,
  targets: jax.Array,
  noise_key: jax.Array,
  jitter_key: jax.Array,
  s: _Settings,
) -> _Problem:
  scores = class_scores(f(x))
  predicted = jax.lax.top_k(scores, min(5, scores.shape[1]))[1]
  first_noise = jax.random.fold_in(noise_key, 0)
  pyramids = {p: _pyramids(x, p, first_noise, s) for p in s.perturbations}
  return _Problem(f, x, targets, predicted, pyramids, noise_key, jitter_key, s)


def _pyramids_at(problem: _Problem, perturbation: Perturbation, iteration: jax.Array) -> jax.Array:
  """The pyramids of an iteration: the noise is new at each."""
  if perturbation != 'noise':
    return problem.pyramids[perturbation]
  key = jax.random.fold_in(problem.noise_key, iteration)
  return _pyramids(problem.x, perturbation, key, problem.settings)


def _objective(problem: _Problem, pyramids: jax.Array, masks: jax.Array) -> jax.Array:
  """f_c(Phi(x; m)) of masks `[P, H, W]`: `[P]`, a score or a probability."""
  scores = class_scores(problem.f(perturb(pyramids, masks)))
  objective = problem.settings.objective
  if objective != 'score':
    scores = jax.nn.softmax(scores)
  chosen = problem.predicted if objective == 'top5' else problem.targets[:, None]
  return jnp.take_along_axis(scores, chosen, axis=1).sum(1)


def _still_objective(problem: _Problem, masks: jax.Array) -> jax.Array:
  """Mean of f_c over the perturbations, without jitter: `[P]`; masks broadcast to `[P, H, W]`."""
  masks = jnp.broadcast_to(masks, problem.x.shape[:3])
  perturbations = problem.settings.perturbations
  values = (_objective(problem, problem.pyramids[p], masks) for p in perturbations)
  return sum(values, jnp.float32(0)) / len(perturbations)


def _jittered_objective(problem: _Problem, masks: jax.Array, iteration: jax.Array) -> jax.Array:
  """Mean of f_c over the perturbations, at the jitter of an iteration: `[P]`."""
  s = problem.settings
  key = jax.random.fold_in(problem.jitter_key, iteration)
  offset = jax.random.randint(key, (2,), 0, s.jitter, jnp.int32)
  mean = jnp.float32(0)
  for perturbation in s.perturbations:
    pyramids = _pyramids_at(problem, perturbation, iteration)
    if s.jitter > 1:
      pyramids = jittered(pyramids, offset, s.jitter, s.mode)
    mean += _objective(problem, pyramids, masks) / len(s.perturbations)
  return mean


def _smallest_circle(problem: _Problem, full: jax.Array, blank: jax.Array) -> jax.Array:
  """The smallest circle that suppresses (or preserves) 99 % of the score, as parameters.

  The largest one where none does, or the image scores no higher than the reference.
  """
  s, size = problem.settings, problem.size
  circles = _circles(size)
  deleting = s.game == 'delete'
  scores = jax.lax.map(
    lambda circle: _still_objective(problem, 1 - circle if deleting else circle), circles
  )
  reference = scores[-1] if s.mode == 'released' and deleting else blank
  share = (scores - reference) / jnp.where(full > reference, full - reference, jnp.nan)
  enough = share < 1 - SUPPRESSION if deleting else share > SUPPRESSION
  first = jnp.where(enough.any(0), jnp.argmax(enough, axis=0), CIRCLES - 1)  # [P]
  rows, columns = (
    np.minimum(np.arange(n) * s.step + s.step // 2, m - 1)
    for n, m in zip(problem.parameters_shape[1:], size, strict=True)
  )
  chosen = circles[first][:, rows][:, :, columns]
  return _stretched(1 - chosen if deleting else chosen, s.mode)


def _stretched(masks: jax.Array, mode: Mode) -> jax.Array:
  """In the released mode from 0 to 1 in each mask, as its resizing leaves them."""
  if mode == 'paper':
    return masks
  low, high = (side(masks, axis=(1, 2), keepdims=True) for side in (jnp.min, jnp.max))
  return jnp.where(high > low, (masks - low) / jnp.where(high > low, high - low, 1), masks)


def _start(problem: _Problem, key: jax.Array, full: jax.Array, blank: jax.Array) -> jax.Array:
  """The parameters `[P, h, w]` of the start by name."""
  shape = problem.parameters_shape
  match problem.settings.start:
    case 'circle':
      return _smallest_circle(problem, full, blank)
    case 'random':  # The same for every image: a result does not depend on its batch.
      return jnp.broadcast_to(jax.random.uniform(key, shape[1:], jnp.float32), shape)
  return jnp.ones(shape, jnp.float32)


def _losses(parameters: jax.Array, iteration: jax.Array, problem: _Problem) -> jax.Array:
  """What eq. 4 minimises, at the jitter and noise of an iteration: `[P]`."""
  s = problem.settings
  value = _jittered_objective(problem, upsample(parameters, problem.size, s), iteration)
  deleted = 1 - parameters if s.game == 'delete' else parameters
  norm = jnp.abs(deleted).sum((1, 2))
  sign = 1 if s.game == 'delete' else -1
  return s.l1 * norm + s.tv * total_variation(parameters, s.beta) + sign * value


def _minimise(problem: _Problem, start: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Adam, with m cut to [0, 1]: parameters `[P, h, w]`, and the losses `[P, T]` on the way."""
  s = problem.settings
  optimiser = optax.adam(s.learning_rate)

  def energy(parameters, iteration):
    losses = _losses(parameters, iteration, problem)
    return losses.sum(), losses

  def iterate(iteration, carry):
    parameters, state, history = carry
    slope, losses = jax.grad(energy, has_aux=True)(parameters, iteration)
    updates, state = optimiser.update(slope, state)
    parameters = jnp.clip(optax.apply_updates(parameters, updates), 0, 1)
    return parameters, state, history.at[:, iteration].set(losses)

  history = jnp.zeros((start.shape[0], s.iterations), jnp.float32)
  first = (start, optimiser.init(start), history)
  parameters, _, history = jax.lax.fori_loop(0, s.iterations, iterate, first)
  return parameters, history


def _solve(f, x, targets, key, given, s: _Settings) -> MeaningfulResult:
  """P problems at once: x `[P, H, W, C]`; given `[P, h, w]`, or None for the start by name."""
  noise_key, jitter_key, start_key = jax.random.split(key, 3)
  problem = _problem(f, x, targets, noise_key, jitter_key, s)
  full = _still_objective(problem, jnp.ones(problem.size, jnp.float32))
  blank = _still_objective(problem, jnp.zeros(problem.size, jnp.float32))
  start = _start(problem, start_key, full, blank) if given is None else given
  parameters, losses = _minimise(problem, start)
  masks = jnp.clip(upsample(parameters, problem.size, s), 0, 1)
  heatmap = 1 - masks if s.game == 'delete' else masks
  scores = _still_objective(problem, masks)
  return MeaningfulResult(heatmap, masks, parameters, scores, full, blank, losses)


@compiled
def _meaningful(f, x, targets, key, given, *, settings, chunk):
  def solve_some(images):
    start = None if given is None else given[images]
    return _solve(f, x[images], targets[images], key, start, settings)

  return mapped(solve_some, x.shape[0], chunk)


def _given_start(start: jax.Array | np.ndarray, x: jax.Array, step: int) -> jax.Array:
  shape = (x.shape[0], *_lattice_shape((x.shape[1], x.shape[2]), step))
  try:
    return jnp.broadcast_to(jnp.asarray(start, jnp.float32), shape)
  except ValueError as error:
    raise UserError(f'start must have the shape {shape}, not {np.shape(start)}') from error


@checked
def meaningful_perturbation(
  f: Function,
  x: Images,
  target: Target,
  *,
  key: jax.Array | None = None,
  mode: Mode = 'paper',
  game: Game = 'delete',
  perturbation: Perturbation | Sequence[Perturbation] = 'blur',
  objective: Objective = 'probability',
  start: Start | jax.Array | np.ndarray | None = None,
  iterations: Count = 300,
  learning_rate: NotNegative = 0.1,
  l1: NotNegative = 1e-4,
  tv: NotNegative = 1e-2,
  beta: Positive = 3.0,
  step: Count = 8,
  mask_sigma: Positive = 5.0,
  jitter: Count = 4,
  sigma_max: Positive = 10.0,
  fade_to: Sequence[float] = (0.0,),
  noise: NotNegative = 1.0,
  chunk: Count | None = None,
) -> MeaningfulResult:
  """min_m l1 ||1 - m||_1 + tv sum_u ||grad m(u)||^beta + E_tau[f_c(Phi(x(. - tau); M))] (eq. 4).

  In the preservation game: min l1 ||m||_1 + tv sum_u ||grad m(u)||^beta - E_tau[f_c(...)]. By Adam,
  with m cut to [0, 1] after each step; both norms are of the low-resolution mask.

  Example:
    >>> result = perturb.meaningful_perturbation(net, x, cat, iterations=20)
    >>> result.heatmap.shape, result.losses.shape
    ((1, 32, 32), (1, 20))

  Args:
    f, x, target: see `perturb.base`; f is any differentiable function.
    key: PRNG key of the jitter, the noise and a random start, the same for every image;
      `jax.random.key(0)` by default.
    mode: 'paper' or 'released', see this module.
    game: 'delete' what the network sees, or 'preserve' it.
    perturbation: 'blur'; 'constant', a fade to `fade_to` that other methods call 'fade'; or
      'noise', new at each iteration. Of several the mean is taken.
    objective: the softmax 'probability' of the target; 'top5': the sum of those of the five classes
      predicted, as for localisation and pointing (with l1=1e-3 and beta=2); or the 'score' f gives.
    start: 'circle': the smallest in the middle that takes (or keeps) 99 % of the score, the default
      in the paper's mode; 'random', that of the released code; 'ones'; or parameters that broadcast
      to `[B, h, w]`.
    iterations: N, the number of Adam's steps.
    learning_rate: gamma, step size of Adam in the units of the mask.
    l1: lambda_1, what each parameter that is deleted (or preserved) counts.
    tv: lambda_2, what the total variation counts.
    beta: exponent of the total variation.
    step: delta, pixels of the image for each parameter.
    mask_sigma: sigma_m of the mask's upsampling, in pixels.
    jitter: tau; offsets are whole pixels in [0, tau), one a step. 1 for none.
    sigma_max: sigma_0 of the strongest blur, in pixels.
    fade_to: the constant of a fade, one value for each channel or one for all, in the units of x.
    noise: sigma of the noise, in the units of x.
    chunk: how many images are solved side by side; by default as many as suit the machine.

  Returns:
    A `MeaningfulResult`.

  Raises:
    UserError: names the argument that does not fit and what would.
  """
  if start is None:
    start = 'circle' if mode == 'paper' else 'random'
  settings = _Settings(
    mode,
    game,
    (perturbation,) if isinstance(perturbation, str) else tuple(perturbation),
    objective,
    start if isinstance(start, str) else None,
    iterations,
    learning_rate,
    l1,
    tv,
    beta,
    step,
    mask_sigma,
    jitter,
    sigma_max,
    tuple(map(float, fade_to)),
    noise,
  )
  x, targets = check_arguments(f, x, target)
  refuse_rules(f, 'a meaningful perturbation')
  check_fade_to(fade_to, x)
  return _meaningful(
    f,
    x,
    targets,
    key_or_default(key),
    None if isinstance(start, str) else _given_start(start, x, step),
    settings=settings,
    chunk=min(chunk or default_chunk(x.shape[1:3]), x.shape[0]),
  )
