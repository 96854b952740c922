"""When an explanation should not be trusted, in words."""

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np

from perturb.methods.area_growth import BlankScores, has_evidence, smallest_area

Array = TypeVar('Array', jax.Array, np.ndarray)

UNSEEN = 'the class scores no higher in the image than in the blank one'
HARDLY = 'the class scores hardly higher in the image than in the blank one'
UNREACHED = 'no area reaches the score'
CHEAPER = 'the pixels of Grad-CAM do better than the mask'
OTHERS = 'another region does as well'


def game_value(game: str, kept: Array, deleted: Array) -> Array:
  """What a game maximises, of the scores with a region kept and with it deleted."""
  match game:
    case 'preserve':
      return kept
    case 'delete':
      return -deleted
  return kept - deleted


def star_of(result: BlankScores, threshold: float, game: str) -> np.ndarray:
  """a* of each image, `[B]`; NaN in the deletion game, which does not look for what is kept."""
  stars = smallest_area(result, threshold)
  return np.full_like(stars, np.nan) if game == 'delete' else stars


def doubts_of(
  result: BlankScores,
  threshold: float,
  game: str,
  values: np.ndarray,
  cheap: np.ndarray,
  others: np.ndarray,
) -> list[list[str]]:
  """Why not to trust the explanation of an image at an area: for each image and area, '' if not.

  Args:
    result: the scores of B images at A areas.
    threshold: tau of a*.
    game: 'preserve', 'delete' or 'hybrid'.
    values: `[B, A]`, what the game maximises, of the masks found.
    cheap: `[B, A]`, the same of the largest pixels of a heatmap; NaN where that is not known.
    others: `[B, A]`, whether a search found another region that does as well.

  Returns:
    B lists of A texts.
  """
  rise = np.asarray(result.full_score) - np.asarray(result.blank_score)
  evidence, star = has_evidence(result), star_of(result, threshold, game)
  better = np.asarray(cheap) > np.asarray(values)
  texts = []
  for image, areas in enumerate(better):
    if not evidence[image]:
      whole = UNSEEN if rise[image] <= 0 else HARDLY
    else:
      whole = UNREACHED if np.isnan(star[image]) and game != 'delete' else ''
    texts.append(
      [
        '; '.join(filter(None, (whole, CHEAPER if cheaper else '', OTHERS if other else '')))
        for cheaper, other in zip(areas, np.asarray(others)[image], strict=True)
      ]
    )
  return texts


def in_words(doubts: Sequence[str], areas: Sequence[float] | jax.Array | np.ndarray) -> list[str]:
  """The doubts of one image, a line each, with the areas that it concerns unless it is all."""
  lines = []
  for doubt in dict.fromkeys(part for text in doubts for part in text.split('; ') if part):
    at = [float(a) for a, text in zip(areas, doubts, strict=True) if doubt in text.split('; ')]
    where = '' if len(at) == len(doubts) else f' (area {", ".join(f"{a:g}" for a in at)})'
    lines.append(doubt + where)
  return lines
