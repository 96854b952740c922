"""Activations above their thresholds, 1[A_k > T_k], kept so that sums over filters are cheap.

One in 200 is active (tau = .005). Two forms have the same sums: the bits, eight filters a byte, for
accelerators; and for CPUs the lists of those that are active, in which a sum over the filters of a
picture has hundreds of terms in place of ten thousands. On an accelerator, lists would add in any
order, and another run would not give the same bits.

Letters: n pictures, K filters, maps of (h, w) positions, E entries of a list.
"""

import dataclasses
import functools
from typing import Literal, Protocol, get_args

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError, check_choice

Form = Literal['lists', 'bits']
HIGHEST = jax.lax.Precision.HIGHEST
CHUNK = 256  # Pictures that are unpacked at once.
LARGER = 4  # Times the memory of the bits, that lists may take unless they are asked for.


class Binarised(Protocol):
  """The binarised activations of n pictures, in either form."""

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """(n, h, w, K)."""

  def combine(self, index: jax.Array, weights: jax.Array) -> jax.Array:
    """sum_k w_k 1[A_k > T_k] of some pictures: `[b]` indices and weights `[K]` to `[b, h, w]`."""


@functools.partial(jax.tree_util.register_dataclass, data_fields=['bits'], meta_fields=['filters'])
@dataclasses.dataclass(frozen=True)
class Bits:
  """Eight filters a byte.

  Attributes:
    bits: as `np.packbits(active, axis=-1)`, uint8 `[n, h, w, ceil(K / 8)]`.
    filters: K.
  """

  bits: jax.Array | np.ndarray
  filters: int

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """(n, h, w, K)."""
    n, h, w, _ = self.bits.shape
    return n, h, w, self.filters

  def combine(self, index: jax.Array, weights: jax.Array) -> jax.Array:
    """See `Binarised`."""
    m = self.bits.shape[-1]
    padded = jnp.pad(weights, (0, 8 * m - self.filters)).reshape(m, 8)
    return jnp.einsum('bhwjm,mj->bhw', planes(self.bits[index]), padded, precision=HIGHEST)


@functools.partial(
  jax.tree_util.register_dataclass, data_fields=['position', 'filter'], meta_fields=['sizes']
)
@dataclasses.dataclass(frozen=True)
class Lists:
  """What is active in each picture.

  Attributes:
    position: y w + x of each entry, unsigned `[n, E]`; h w where a list is at its end.
    filter: k of each entry, unsigned `[n, E]`.
    sizes: (h, w, K).
  """

  position: jax.Array | np.ndarray
  filter: jax.Array | np.ndarray
  sizes: tuple[int, int, int]

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """(n, h, w, K)."""
    return (self.position.shape[0], *self.sizes)

  def combine(self, index: jax.Array, weights: jax.Array) -> jax.Array:
    """See `Binarised`."""
    h, w, _ = self.sizes
    terms = weights[self.filter[index]]
    rows = jnp.arange(index.shape[0])[:, None]
    sums = jnp.zeros((index.shape[0], h * w), weights.dtype)
    return sums.at[rows, self.position[index]].add(terms, mode='drop').reshape(-1, h, w)


def binarised(
  packed: np.ndarray, filters: int, form: Form | None = None, *, entries: int | None = None
) -> Binarised:
  """Packed bits in the form that is fastest here.

  Args:
    packed: `np.packbits(active, axis=-1)`, uint8 `[n, h, w, ceil(K / 8)]`; may be mapped from disk.
    filters: K.
    form: 'lists' or 'bits'; by default lists on a CPU, unless they would take more than four times
      the memory of the bits, as where one picture is far fuller than the others; else bits.
    entries: E; by default as many as the fullest picture needs, as a power of two, so that few
      shapes are compiled.

  Raises:
    UserError: for another form or shape, and for a picture with more than E active.
  """
  if form is not None:
    check_choice('form', form, get_args(Form))
  if packed.ndim != 4 or packed.shape[-1] != -(-filters // 8) or packed.dtype != np.uint8:
    raise UserError(
      f'binarised activations must be uint8 [n, h, w, {-(-filters // 8)}] for {filters} filters, '
      f'not {packed.dtype} {packed.shape}'
    )
  if form == 'bits' or (form is None and jax.default_backend() != 'cpu'):
    return Bits(packed, filters)
  counts = _counts_of(packed)
  entries = _entries(counts, entries)
  small = _index_type(packed, filters)
  if form is None and 2 * len(packed) * entries * small.itemsize > LARGER * packed.nbytes:
    return Bits(packed, filters)
  return _listed(packed, filters, counts, entries)


def planes(packed: jax.Array) -> jax.Array:
  """The bits of bytes as float32, the first bit of every byte first: `[..., m]` to `[..., 8, m]`.

  In this order they unpack three times faster on a CPU than in that of `np.unpackbits`.
  """
  shifts = jnp.arange(7, -1, -1, dtype=jnp.uint8)[:, None]
  return ((packed[..., None, :] >> shifts) & 1).astype(jnp.float32)


def _counts_of(packed: np.ndarray) -> np.ndarray:
  """How many are active in each picture, int64 `[n]`."""
  counts = np.zeros(len(packed), np.int64)
  for start in range(0, len(packed), CHUNK):
    some = packed[start : start + CHUNK]
    counts[start : start + CHUNK] = np.bitwise_count(some).sum((1, 2, 3), dtype=np.int64)
  return counts


def _entries(counts: np.ndarray, entries: int | None) -> int:
  """E: as many as are asked for, if they are enough; else as few as are, as a power of two."""
  most = int(counts.max(initial=1))
  if entries is None:
    entries = 2 ** (most - 1).bit_length()
  if most > entries:
    raise UserError(f'picture {counts.argmax()} has {most} active positions, not {entries} at most')
  return entries


def _index_type(packed: np.ndarray, filters: int) -> np.dtype:
  """Of the positions and filters of lists."""
  _, h, w, _ = packed.shape
  return np.dtype(np.uint16 if max(h * w, filters) < 2**16 else np.uint32)


def _listed(packed: np.ndarray, filters: int, counts: np.ndarray, entries: int) -> Lists:
  n, h, w, _ = packed.shape
  small = _index_type(packed, filters)
  position, numbers = np.full((n, entries), h * w, small), np.zeros((n, entries), small)
  for start in range(0, n, CHUNK):
    some = np.unpackbits(packed[start : start + CHUNK], axis=-1, count=filters)
    picture, place, number = np.nonzero(some.reshape(len(some), h * w, filters))
    ends = np.cumsum(counts[start : start + CHUNK])
    within = np.arange(len(picture)) - np.concatenate([[0], ends])[picture]
    position[start + picture, within], numbers[start + picture, within] = place, number
  return Lists(position, numbers, (h, w, filters))
