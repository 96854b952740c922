"""One self-contained HTML page of a run: the regions, with a slider over their areas."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from perturb.figures.extremal import shown_area
from perturb.figures.pages import data_url, filled, outline
from perturb.figures.style import enlarge
from perturb.methods.area_growth import trusted_fraction
from perturb.store.doubts import in_words
from perturb.store.explanations import Explanation


def _picture(pixels: np.ndarray) -> str:
  return data_url(Image.fromarray(pixels), 'jpeg', quality=90)


def _mask(mask: np.ndarray) -> str:
  """White with the mask as its opacity."""
  alpha = (np.asarray(mask) * 255 + 0.5).astype(np.uint8)
  return data_url(
    Image.fromarray(np.stack([np.full_like(alpha, 255), alpha], -1)), 'png', optimize=True
  )


def _item(explanation: Explanation) -> dict[str, Any]:
  result = explanation.result
  best, reached = shown_area(explanation)
  masks = np.asarray(result.masks)[0]
  height, width = masks.shape[1:]

  def numbers(values: Any) -> list[float | None]:
    return [round(float(value), 5) if np.isfinite(value) else None for value in values]

  return {
    'name': explanation.name,
    'class_name': explanation.class_name,
    'probability': None if np.isnan(explanation.probability) else explanation.probability,
    'width': width,
    'height': height,
    'areas': numbers(result.areas),
    'best': best if reached else -1,
    'mean_area': numbers(result.mean_area[0]),
    'share_area': numbers(result.share_area[0]),
    'scores': numbers(result.scores[0]),
    'deleted': numbers(result.deleted_scores[0]),
    'kept': numbers(trusted_fraction(result, np.inf)[0]),
    'doubts': in_words(explanation.doubts, result.areas),
    'rank': explanation.rank,
    'full': float(result.full_score[0]),
    'blank': float(result.blank_score[0]),
    'picture': _picture(explanation.picture),
    'blurred': _picture(explanation.blurred),
    'masks': [_mask(mask) for mask in masks],
    'outlines': [outline(enlarge(mask, mask.shape)) for mask in masks],
  }


def html_report(explanations: Sequence[Explanation], made: str, game: str) -> str:
  """The page, as text; it loads nothing from outside.

  Args:
    explanations: in the order of the page.
    made: text that says how they were made.
    game: 'preserve', 'delete' or 'hybrid'; says what the regions are.
  """
  items = [_item(explanation) for explanation in explanations]
  return filled('perturb.figures', 'report.html', {'items': items, 'made': made, 'game': game})
