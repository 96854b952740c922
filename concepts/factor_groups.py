"""Groups of patches by their activations: non-negative factors, joint over all pictures.

Source: Fong, Mordvintsev, Vedaldi and Olah, "Interactive Similarity Overlays", VISxAI 2021, after
Olah et al., "The Building Blocks of Interpretability", Distill 2018.
"""

from collections.abc import Sequence
from typing import NamedTuple
import warnings

import numpy as np
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from concepts.patch_similarity import Activations, as_activations
from perturb.errors import UserError

ITERATIONS = 400


class PatchGroups(NamedTuple):
  """G groups of the patches of several pictures.

  Attributes:
    maps: float32 `[H, W, G]` of each picture, not negative; the largest value of all is 1.
    directions: float32 `[G, C]` of length 1: what the patches of a group share.
    clipped: share of the squared activations that was negative, and left out.
  """

  maps: list[np.ndarray]
  directions: np.ndarray
  clipped: float


def patch_groups(
  activations: Sequence[Activations], count: int, *, clip: bool = False
) -> PatchGroups:
  """Non-negative matrix factorisation A ~= M D of the activations of all patches, `[n, C]`.

  scikit-learn's NMF from an NNDSVDa start, without chance. The groups are ordered by the sum of
  their maps.

  Args:
    activations: `[H, W, C]` of each picture; H and W may differ.
    count: G, from 1 to the number of channels and of patches.
    clip: whether negative activations, which have no such factors, become 0. In a layer without a
      ReLU they are as much a signal as the positive ones.

  Raises:
    UserError: for negative activations without `clip`, or a count that cannot be.
  """
  pictures = [np.asarray(as_activations(one), np.float32) for one in activations]
  if not pictures or len({one.shape[-1] for one in pictures}) > 1:
    raise UserError('activations: give those of one layer, for at least one picture')
  flat = np.concatenate([one.reshape(-1, one.shape[-1]) for one in pictures])
  negative = np.minimum(flat, 0)
  if negative.any() and not clip:
    raise UserError(
      f'activations are negative, down to {flat.min():.3g}; non-negative factors need a layer '
      'after a ReLU, or clip=True, which leaves the negative ones out'
    )
  if not 1 <= count <= min(flat.shape):
    raise UserError(f'count must be from 1 to {min(flat.shape)}, not {count}')
  weights, directions = _factors(np.maximum(flat, 0), count)
  lengths = np.linalg.norm(directions, axis=1)
  weights = weights * lengths
  order = np.argsort(-weights.sum(0), kind='stable')
  maps = (weights / max(float(weights.max()), 1e-30))[:, order].astype(np.float32)
  ends = np.cumsum([one.shape[0] * one.shape[1] for one in pictures])[:-1]
  squares = float(np.square(flat, dtype=np.float64).sum())
  return PatchGroups(
    [
      part.reshape(*one.shape[:2], count)
      for part, one in zip(np.split(maps, ends), pictures, strict=True)
    ],
    (directions / np.maximum(lengths, 1e-30)[:, None])[order].astype(np.float32),
    float(np.square(negative, dtype=np.float64).sum()) / max(squares, 1e-30),
  )


def _factors(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
  scale = max(float(values.max()), 1e-30)
  model = NMF(count, init='nndsvda', random_state=0, max_iter=ITERATIONS)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', ConvergenceWarning)  # Maps of a page need no last digit.
    weights = model.fit_transform(values / scale)
  return weights * scale, model.components_
