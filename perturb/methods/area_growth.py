"""How the score grows with the area: what results over several areas say together.

Source: Fong, Patrick and Vedaldi, "Understanding Deep Networks via Extremal Perturbations and
Smooth Masks", ICCV 2019, section 4.1. Shapes: B images, A areas.
"""

from typing import Protocol, runtime_checkable

import jax
import numpy as np

Array = jax.Array | np.ndarray


class AreaScores(Protocol):
  """A result with areas `[A]`, scores `[B, A]` and a full score `[B]`."""

  @property
  def areas(self) -> Array: ...
  @property
  def scores(self) -> Array: ...
  @property
  def full_score(self) -> Array: ...


@runtime_checkable
class BlankScores(AreaScores, Protocol):
  """The same with a blank score `[B]`."""

  @property
  def blank_score(self) -> Array: ...


SATURATION = 1.25  # Where the bars of the area growth end.
# Where the whole image adds less than this to the score of a blank one, in nats if it is a logit,
# no mask may move the score by more than so many times as much.
LITTLE, MOST_MOVED = 1.0, 2.0


def has_evidence(result: BlankScores) -> np.ndarray:
  """Whether the image speaks for the class so much that a share of its score means something.

  That is where Phi_0, the score of the image, is above Phi_min, that of the blank one: by at least
  1, or, for scores in other units than logits, so far that no mask takes the score further from
  Phi_min than twice that. Where a class is not in the image, the masks that raise its score most
  show what would be mistaken for it.

  Args:
    result: of any game.

  Returns:
    `[B]` booleans.
  """
  blank = np.asarray(result.blank_score)
  rise = np.asarray(result.full_score) - blank
  moved = np.abs(np.asarray(result.scores) - blank[:, None]).max(axis=1)
  return (rise > 0) & ((rise >= LITTLE) | (moved <= MOST_MOVED * rise))


def trusted_fraction(result: BlankScores, saturation: float = SATURATION) -> np.ndarray:
  """`kept_fraction`, and NaN for all areas of an image without evidence: what figures show."""
  return np.where(has_evidence(result)[:, None], kept_fraction(result, saturation), np.nan)


def smallest_area(result: AreaScores, fraction: float = 1.0) -> np.ndarray:
  """a* = min{a : Phi(m_a (x) x) >= Phi_0} (eq. 3), Phi_0 = Phi_min + tau (Phi(x) - Phi_min).

  Phi_min is the blank score; 0 for a result that has none.

  Args:
    result: one of the game 'preserve' or 'hybrid', whose scores are those of what is kept.
    fraction: tau, the share of the score that is to be reached, as `kept_fraction` counts it.

  Returns:
    `[B]`: a*, or NaN where no area asked for reaches Phi_0, and where the result has a blank score
    but the image no evidence for the class (see `has_evidence`).
  """
  full = np.asarray(result.full_score)
  blank = np.asarray(result.blank_score) if isinstance(result, BlankScores) else np.zeros_like(full)
  # So written that tau = 1 asks for Phi(x) to the last bit.
  threshold = full - (1 - fraction) * (full - blank)
  reached = np.asarray(result.scores) >= threshold[:, None]
  if isinstance(result, BlankScores):
    reached &= has_evidence(result)[:, None]
  smallest = np.where(reached, np.asarray(result.areas), np.inf).min(axis=1)
  return np.where(np.isinf(smallest), np.nan, smallest)


def is_monotonic(result: AreaScores, fraction: float = 1.0) -> np.ndarray:
  """Whether a_1 <= a_2 implies Phi(m_a1 (x) x) <= Phi(m_a2 (x) x) for all areas below a* (eq. 8).

  Args:
    result: as in `smallest_area`.
    fraction: tau of a*, as in `smallest_area`.

  Returns:
    `[B]` booleans; true where fewer than two areas lie below a*. Without an a*, all areas count.
  """
  order = np.argsort(np.asarray(result.areas))
  areas = np.asarray(result.areas)[order]
  scores = np.asarray(result.scores)[:, order]
  limit = smallest_area(result, fraction)
  limit = np.where(np.isnan(limit), np.inf, limit)
  both_below = areas[None, 1:] < limit[:, None]
  return np.all((np.diff(scores, axis=1) >= 0) | ~both_below, axis=1)


def kept_fraction(result: BlankScores, saturation: float = SATURATION) -> np.ndarray:
  """v = min((Phi(m_a (x) x) - Phi_min) / (Phi_0 - Phi_min), 1.25), the bars of the area growth.

  Source: supplement eq. 1, which prints `max` where its text says that the bar saturates.

  Args:
    result: as in `smallest_area`, with the score of the fully perturbed image, Phi_min.
    saturation: the largest value of v; `np.inf` for none.

  Returns:
    `[B, A]`; NaN where Phi_0, the score of the image, is not above Phi_min. Where it hardly is, the
    values say little: see `has_evidence`.
  """
  blank = np.asarray(result.blank_score)[:, None]
  rise = np.asarray(result.full_score)[:, None] - blank
  rise = np.where(rise > 0, rise, np.nan)
  return np.minimum((np.asarray(result.scores) - blank) / rise, saturation)
