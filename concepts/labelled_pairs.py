"""Pictures, each with a concept that it contains and where: what vectors are trained on.

Letters: P pairs of a picture and a concept, R vectors, (sh, sw) pixels of a mask.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np

from perturb.errors import UserError

CHUNK = 256  # Masks that are unpacked at once.


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Pictures, each with a concept that it contains, and where.

  Attributes:
    concept: number of the concept, int `[P]`, not negative.
    picture: index of the picture, int `[P]`.
    masks: L, `np.packbits(mask.reshape(P, sh * sw), axis=-1)`: uint8 `[P, ceil(sh * sw / 8)]`.
    size: (sh, sw).
  """

  concept: np.ndarray
  picture: np.ndarray
  masks: np.ndarray
  size: tuple[int, int]

  def take(self, chosen: np.ndarray) -> 'Pairs':
    """Some of the pairs, by index or by a mask."""
    return Pairs(self.concept[chosen], self.picture[chosen], self.masks[chosen], self.size)

  def areas(self) -> np.ndarray:
    """|L|, the pixels of each mask: int `[P]`."""
    return np.bitwise_count(self.masks).sum(-1, dtype=np.int64)


def usable_filters(mask: np.ndarray | None, vectors: int, filters: int) -> np.ndarray:
  """Which filters each vector may use, bool `[R, K]`; by default all.

  Raises:
    UserError: for a mask of another shape.
  """
  shape = (vectors, filters)
  found = np.ones(shape, bool) if mask is None else np.asarray(mask, bool)
  if found.shape != shape:
    raise UserError(f'mask must be bool {shape}: vectors, filters; not of shape {found.shape}')
  return found


def alphas(pairs: Pairs, concept: Sequence[int] | np.ndarray) -> np.ndarray:
  """1 - mean |L| / (sh sw) over the pairs of each concept: float32 `[R]`; NaN without pairs."""
  starts, counts, listed = grouped(pairs.concept, np.asarray(concept))
  sums = np.concatenate([[0], np.cumsum(pairs.areas()[listed])])
  with np.errstate(invalid='ignore'):
    share = (sums[starts + counts] - sums[starts]) / (counts * pairs.size[0] * pairs.size[1])
  return (1 - share).astype(np.float32)


def grouped(of_pairs: np.ndarray, concept: np.ndarray) -> tuple[np.ndarray, ...]:
  """(where the pairs of each concept start `[R]`, their number `[R]`, the pairs in this order)."""
  listed = np.argsort(of_pairs, kind='stable')
  in_order = of_pairs[listed]
  starts = np.searchsorted(in_order, concept)
  return starts, np.searchsorted(in_order, concept, side='right') - starts, listed


def in_planes(masks: np.ndarray) -> np.ndarray:
  """Packed so that `planes` gives the pixels in their order."""
  packed = np.empty_like(masks)
  for start in range(0, len(masks), CHUNK):
    bits = np.unpackbits(masks[start : start + CHUNK], axis=-1)
    packed[start : start + CHUNK] = np.packbits(bits.reshape(len(bits), 8, -1), axis=1)[:, 0]
  return packed
