"""What an extremal perturbation maximises: the game, the score, the perturbation, the view.

Source: Fong, Patrick and Vedaldi, "Understanding Deep Networks via Extremal Perturbations and
Smooth Masks", ICCV 2019. Shapes: P problems, [H, W, C] pixels.
"""

from collections.abc import Callable
import dataclasses
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from perturb.base import Function, class_scores, pick
from perturb.errors import check_choice
from perturb.ops.perturbations import Perturbation, perturb, pyramid

Game = Literal['preserve', 'delete', 'hybrid']
Objective = Literal['score', 'contrastive']


def _unchanged(images: jax.Array) -> jax.Array:
  return images


class View(NamedTuple):
  """How the network is shown perturbed images; by default as they are.

  Attributes:
    show: from perturbed images `[P, H, W, C]` to what the network sees.
    strength: how strong the perturbation is, as a fraction of the full one; None for 1.
  """

  show: Callable[[jax.Array], jax.Array] = _unchanged
  strength: jax.Array | None = None


# (masks [P, H, W], view) -> rewards [P]; a problem's depends on its own mask alone.
Reward = Callable[[jax.Array, View], jax.Array]


@dataclasses.dataclass(frozen=True)
class Play:
  """What is maximised, apart from the network and the image.

  Attributes:
    game: 'preserve', 'delete' or 'hybrid'.
    objective: 'score' or 'contrastive'.
    perturbation: 'blur' or 'fade', with its `levels`, `sigma_max` (pixels), whether the blur is
      `normalised` inside the image, and the constant `fade_to`.
  """

  game: Game
  objective: Objective
  perturbation: Perturbation
  levels: int
  sigma_max: float
  normalised: bool
  fade_to: tuple[float, ...]

  def __post_init__(self) -> None:
    check_choice('game', self.game, get_args(Game))
    check_choice('objective', self.objective, get_args(Objective))
    check_choice('perturbation', self.perturbation, get_args(Perturbation))

  def pyramids(self, x: jax.Array) -> jax.Array:
    """Images `[P, H, W, C]` at each strength of the perturbation: `[P, levels, H, W, C]`."""
    return pyramid(
      x,
      self.perturbation,
      levels=self.levels,
      sigma_max=self.sigma_max,
      normalised=self.normalised,
      fade_to=self.fade_to,
    )


def contrast(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """Score of the target minus the best score of any other class: `[N]`."""
  scores = class_scores(outputs)
  chosen = jnp.arange(scores.shape[1]) == targets[:, None]
  return pick(outputs, targets) - jnp.max(jnp.where(chosen, -jnp.inf, scores), axis=1)


def reward_of(f: Function, pyramids: jax.Array, targets: jax.Array, play: Play) -> Reward:
  """The reward of P problems: Phi(m (x) x), -Phi((1 - m) (x) x), or their sum."""
  value = pick if play.objective == 'score' else contrast

  def seen(masks: jax.Array, view: View) -> jax.Array:
    if view.strength is not None:
      masks = 1 - view.strength * (1 - masks)
    return value(f(view.show(perturb(pyramids, masks))), targets)

  def reward(masks: jax.Array, view: View) -> jax.Array:
    if play.game == 'preserve':
      return seen(masks, view)
    if play.game == 'delete':
      return -seen(1 - masks, view)
    return seen(masks, view) - seen(1 - masks, view)

  return reward
