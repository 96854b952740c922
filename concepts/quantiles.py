"""Thresholds T_k of all filters of a layer: P(a_k > T_k) = tau over all pictures and positions.

T_k is the least number that at most a share tau of the values exceeds. Where values are tied, less
than tau may exceed it: nothing, for a constant filter; all above zero, where that is less than tau.

Source: Fong and Vedaldi, Net2Vec (CVPR 2018), section 3.1.1. The quantile of the released code lies
at .994995, which is tau = 5 / 999 for a tau of .005.

Letters: K filters, S values of each.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturb.errors import UserError
from perturb.ops.area import kth_smallest

TAU = 0.005
BINS = 2**16  # As many as float16 has numbers.
FULL = 2**32 - 1  # Values of a filter: so many, or more.

_ZERO = 2**15  # The bin of zero.
_LEAST, _LARGEST = 1023, 64512  # Those of -inf and inf; NaN lies outside.
_SMALLEST = 2.0**-24  # The least positive float16.


class Thresholds(NamedTuple):
  """Where the filters of a layer begin to be active.

  Attributes:
    levels: T_k, float32 `[K]`.
    above: the share of its values that exceeds it, at most tau, float64 `[K]`.
  """

  levels: np.ndarray
  above: np.ndarray


class Sketch(NamedTuple):
  """How often each filter had each value, rounded to float16.

  Sketches of the same filters add up, and their sum depends neither on the order of the values nor
  on how they were divided. A pytree of a fixed size: 256 KiB a filter.

  Attributes:
    counts: uint32 `[K, 65536]`, by rising value; that of zero is left out.
    total: S, uint32. It stops at 2^32 - 1, which stands for that or more: too many for counters of
      32 bits. Below are BRODEN's 63 305 pictures with maps of 260 x 260.
  """

  counts: jax.Array
  total: jax.Array


def exact_thresholds(values: jax.Array | np.ndarray, tau: float = TAU) -> Thresholds:
  """T_k by selection, of values that fit into memory.

  Args:
    values: a_k `[S, K]`, finite.
    tau: the share that exceeds it, in (0, 1).

  Raises:
    UserError: for a tau outside (0, 1), no values, or values that are not finite.
  """
  _check_tau(tau)
  if values.ndim != 2 or not values.size:
    raise UserError(f'values must be [S, K], one or more of each, not {tuple(values.shape)}')
  levels, above, finite = _select(values, _allowed(tau, values.shape[0]))
  if not finite.all():
    raise UserError(f'filter {int(jnp.argmin(finite))} has values that are not finite numbers')
  return Thresholds(np.asarray(levels), np.asarray(above, np.float64) / values.shape[0])


def empty_sketch(filters: int) -> Sketch:
  """The sketch of no values, of K filters."""
  if filters < 1:
    raise UserError(f'{filters} filters: a layer has one or more')
  return Sketch(jnp.zeros((filters, BINS), jnp.uint32), jnp.zeros((), jnp.uint32))


@functools.partial(jax.jit, donate_argnums=0)
def add(sketch: Sketch, values: jax.Array) -> Sketch:
  """The sketch with some more values `[..., K]`. The old one is used up."""
  rows = values.reshape(-1, values.shape[-1])
  bins = _bin_of(rows)
  filters = jnp.broadcast_to(jnp.arange(rows.shape[1]), bins.shape)
  # The many zeros behind a ReLU would all wait for one counter: how many they are, the rest says.
  bins = jnp.where(bins == _ZERO, BINS, bins)
  counts = sketch.counts.at[filters, bins].add(jnp.uint32(1), mode='drop')
  return Sketch(counts, _up_to_full(sketch.total, jnp.uint32(rows.shape[0])))


def merge(a: Sketch, b: Sketch) -> Sketch:
  """The sketch of the values of both."""
  return Sketch(a.counts + b.counts, _up_to_full(a.total, b.total))


def threshold(sketch: Sketch, tau: float = TAU) -> Thresholds:
  """T_k of all values of a sketch.

  T is at or above the exact one, by less than 2^-10 of it, or by less than 2^-24 if that is more.
  The share above it is that of the very values, not of rounded ones. For values that are float16
  numbers the same values exceed it as the exact one.

  Raises:
    UserError: for a tau outside (0, 1), a sketch of no values or of 2^32 - 1 or more; if a
      threshold is beyond 65504, the largest float16, or values are NaN.
  """
  _check_tau(tau)
  total = int(sketch.total)
  if not total:
    raise UserError('a sketch of no values has no thresholds')
  if total == FULL:
    raise UserError(
      f'a sketch counts fewer than {FULL} values of a filter (pictures x height x width): take '
      'fewer pictures, or a layer with smaller maps'
    )
  allowed = np.uint32(_allowed(tau, total))
  bins, above, unknown = (np.asarray(found) for found in _chosen(sketch, allowed))
  if unknown.any():
    raise UserError(f'filter {int(np.argmax(unknown))} has values that are not numbers')
  beyond = (bins <= _LEAST) | (bins >= _LARGEST)
  if beyond.any():
    raise UserError(
      f'filter {int(np.argmax(beyond))}: its threshold is beyond 65504, the largest float16; '
      'divide the activations of the layer by a constant'
    )
  return Thresholds(_upper_edges(bins), above / total)


def _up_to_full(a: jax.Array, b: jax.Array) -> jax.Array:
  """The sum of two uint32, at most `FULL`."""
  total = a + b
  return jnp.where(total < a, jnp.uint32(FULL), total)


def _check_tau(tau: float) -> None:
  if not 0 < tau < 1:
    raise UserError(f'tau must be in (0, 1), a share of the values, not {tau}')


def _allowed(tau: float, total: int) -> int:
  """How many of so many values may exceed the threshold."""
  return min(int(np.floor(tau * total * (1 + 1e-12))), total - 1)


@jax.jit
def _select(values: jax.Array, allowed: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
  """(T_k, how many exceed it, whether all values are finite), `[K]` each."""
  rows = values.astype(jnp.float32).T
  rank = rows.shape[1] - 1 - allowed
  levels = kth_smallest(rows, jnp.broadcast_to(rank, rows.shape[:1]))
  return levels, (rows > levels[:, None]).sum(1), jnp.isfinite(rows).all(1)


def _bin_of(values: jax.Array) -> jax.Array:
  """The number of each value's float16 among all of these by size, int32; never zero's, but for 0.

  Rounding keeps the order. What it would make zero goes to the least number on its side, so that a
  threshold of zero is exact.
  """
  small = jnp.abs(values) < _SMALLEST
  kept = jnp.where(small, _SMALLEST * jnp.sign(values), values)
  bits = jax.lax.bitcast_convert_type(kept.astype(jnp.float16), jnp.uint16).astype(jnp.int32)
  bins = jnp.where(bits < _ZERO, bits + _ZERO, BINS - 1 - bits)
  return jnp.where(values == 0, _ZERO, bins)


@jax.jit
def _chosen(sketch: Sketch, allowed: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
  """(the bin of T_k, how many values lie above it, whether some are NaN), `[K]` each."""

  def of_filter(counts: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    counts = counts.at[_ZERO].set(sketch.total - counts.sum(dtype=jnp.uint32))
    above = sketch.total - jnp.cumsum(counts, dtype=jnp.uint32)
    chosen = jnp.argmax(above <= allowed)
    unknown = counts[:_LEAST].any() | counts[_LARGEST + 1 :].any()
    return chosen, above[chosen], unknown

  return jax.lax.map(of_filter, sketch.counts)


def _upper_edges(bins: np.ndarray) -> np.ndarray:
  """The largest float32 of each bin: half way to the next float16, which the even one has."""
  bits = np.where(bins >= _ZERO, bins - _ZERO, BINS - 1 - bins).astype(np.uint16)
  numbers = bits.view(np.float16).astype(np.float64)
  following = np.nextafter(bits.view(np.float16), np.float16(np.inf)).astype(np.float64)
  edges = ((numbers + following) / 2).astype(np.float32)
  edges = np.where(bits % 2 == 0, edges, np.nextafter(edges, np.float32(-np.inf)))
  edges = np.where(bins == _ZERO, 0, edges)
  return np.where(bins == _ZERO - 2, -np.finfo(np.float32).tiny, edges).astype(np.float32)
