"""Activations made small, so that a page can hold them and compute their similarities itself."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from concepts.patch_similarity import Activations, as_activations, unit
from perturb.errors import UserError

LEVELS = 127  # Of the sign and magnitude of an int8; -128 is not used.
QUICK, THOROUGH = 768, 2048  # Patches whose pairs are checked: in the search, and at its end.


class Packed(NamedTuple):
  """Activations of a layer, small enough for a page.

  Unit vectors along the k first principal axes (uncentred, of unit vectors), int8 with one scale:
  cosine(u, v) ~= (codes_u . codes_v) * inverse_u * inverse_v;
  dot(u, v) ~= cosine * lengths_u * lengths_v.

  Attributes:
    codes: int8 `[H, W, k]` of each picture; pictures may differ in H and W.
    inverse: float32 `[H, W]` of each: 1 / ||codes||; 0 for a vector of zeros.
    lengths: float32 `[H, W]` of each: ||activations||, of the weighted ones for a class.
    kept: mean share of the squared unit vectors along the k axes.
    error: the largest |cosine - packed cosine| over the pairs checked.
  """

  codes: list[np.ndarray]
  inverse: list[np.ndarray]
  lengths: list[np.ndarray]
  kept: float
  error: float


def pack(activations: Sequence[Activations], *, tolerance: float = 0.02) -> Packed:
  """The smallest number of axes k whose cosines are within a tolerance.

  All pairs of up to `THOROUGH` patches are checked; of more patches, the pairs among so many: three
  of four at random, always the same, and those that lose most to the axes left out. If no number of
  axes is within the tolerance, which rounding to 8 bits may bring about, all are taken; `error`
  says so.

  Args:
    activations: `[H, W, C]` of each picture; H and W may differ.
    tolerance: of |cosine - packed cosine|.

  Raises:
    UserError: for no picture, different numbers of channels, or values that are not finite.
  """
  pictures = _checked(activations)
  shapes = [one.shape[:2] for one in pictures]
  flat = np.concatenate([one.reshape(-1, one.shape[-1]) for one in pictures])
  along, shares = _principal(unit(flat))
  low, high = 1, along.shape[1]
  while low < high:
    middle = (low + high) // 2
    if _error(along, middle, QUICK) <= tolerance:
      high = middle
    else:
      low = middle + 1
  while (error := _error(along, low, THOROUGH)) > tolerance and low < along.shape[1]:
    low = min(low + 1 + low // 16, along.shape[1])
  codes = _codes(along[:, :low])
  lengths = np.linalg.norm(flat.astype(np.float64), axis=1).astype(np.float32)
  kept = float(shares[:low].sum() / max(shares.sum(), 1e-30))
  return Packed(
    codes=_split(codes, shapes),
    inverse=_split(_inverse(codes), shapes),
    lengths=_split(lengths, shapes),
    kept=min(kept, 1.0),
    error=error,
  )


def packed_cosine(packed: Packed, first: int, second: int) -> np.ndarray:
  """The cosines `[H1, W1, H2, W2]` of two pictures as a page computes them."""
  one, other = (packed.codes[at].astype(np.float32) for at in (first, second))
  inverse = packed.inverse[first][:, :, None, None] * packed.inverse[second]
  return np.tensordot(one, other, axes=(-1, -1)) * inverse


def _checked(activations: Sequence[Activations]) -> list[np.ndarray]:
  pictures = [np.asarray(as_activations(one), np.float32) for one in activations]
  if not pictures:
    raise UserError('activations: there is no picture to pack')
  channels = {one.shape[-1] for one in pictures}
  if len(channels) > 1:
    raise UserError(f'activations have {sorted(channels)} channels; those of one layer go together')
  for number, one in enumerate(pictures):
    if not np.isfinite(one).all():
      raise UserError(f'activations of picture {number} have values that are NaN or infinite')
  return pictures


def _principal(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(the unit vectors along the principal axes `[n, C]`, the mean square along each `[C]`)."""
  moments = units.T.astype(np.float64) @ units / len(units)
  values, axes = np.linalg.eigh(moments)
  values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
  peaks = np.abs(axes).argmax(0)
  axes = axes * np.sign(axes[peaks, np.arange(axes.shape[1])])  # The sign of an axis is arbitrary.
  rank = max(1, int((values > 1e-12 * values[0]).sum()))
  return (units @ axes[:, :rank].astype(np.float32)), values[:rank]


def _codes(along: np.ndarray) -> np.ndarray:
  scale = LEVELS / max(float(np.abs(along).max()), 1e-30)
  return np.rint(along * scale).astype(np.int8)


def _inverse(codes: np.ndarray) -> np.ndarray:
  lengths = np.linalg.norm(codes.astype(np.float32), axis=1)
  return np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def _error(along: np.ndarray, axes: int, most: int) -> float:
  """The largest error of a cosine with so many axes, over the pairs among `most` patches."""
  chosen = _chosen(along, axes, most)
  codes = _codes(along[:, :axes])[chosen]
  packed = codes.astype(np.float32) * _inverse(codes)[:, None]
  exact = along[chosen]
  return float(np.abs(exact @ exact.T - packed @ packed.T).max())


def _chosen(along: np.ndarray, axes: int, most: int) -> np.ndarray:
  """All patches, or three of four at random and those that lose most to the axes left out."""
  count = len(along)
  if count <= most:
    return np.arange(count)
  some = np.random.default_rng(0).choice(count, most * 3 // 4, replace=False)
  lost = np.square(along[:, axes:]).sum(1)
  return np.union1d(some, np.argsort(-lost, kind='stable')[: most // 4])


def _split(values: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
  ends = np.cumsum([height * width for height, width in shapes])[:-1]
  parts = np.split(values, ends)
  return [part.reshape(*shape, *part.shape[1:]) for part, shape in zip(parts, shapes, strict=True)]
