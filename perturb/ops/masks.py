"""Smooth masks: max-convolution of a low-resolution lattice (paper sec. 3.5, eqs. 5-7).

Also a Gaussian field (eq. 5), and the total variation of a mask.

Source: Fong, Patrick and Vedaldi, "Understanding Deep Networks via Extremal Perturbations and
Smooth Masks", ICCV 2019. Shapes: B masks, a lattice of h x w nodes, an image of H x W pixels.
"""

from collections.abc import Callable
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

Profile = Callable[[np.ndarray], np.ndarray]  # distance in lattice cells -> [0, 1]


def paper_profile(distance: np.ndarray) -> np.ndarray:
  """k(z) = exp(-max(0, z - 1)^2 / 4), z in lattice cells (sec. 4, with its missing minus sign)."""
  return np.exp(-(np.maximum(distance - 1, 0) ** 2) / 4)


def torchray_profile(distance: np.ndarray) -> np.ndarray:
  """k(z) = exp(-2 max(0, z - 1/2)^2) with z in units of 3 cells, as TorchRay computes it."""
  return np.exp(-2 * np.maximum(distance / 3 - 0.5, 0) ** 2)


PROFILES: dict[str, Profile] = {'paper': paper_profile, 'torchray': torchray_profile}


@dataclasses.dataclass(frozen=True)
class Lattice:
  """How low-resolution parameters become a mask.

  Attributes:
    size: (H, W) of the image in pixels.
    step: distance between neighbouring lattice nodes, in pixels.
    profile: name of the kernel's profile, a key of `PROFILES`.
    radius: how far the window reaches, in cells: a pixel sees (2 radius + 1)^2 nodes.
    temperature: T of the smooth maximum (eq. 7); 0 for the maximum itself.
    margin: pixels around the image where the mask also exists (TorchRay's area constraint
      counts them).
    centred: nodes sit in the middle of their step x step cells (so that a mirrored lattice
      gives the mirrored mask), else on its first pixel, as in TorchRay.
  """

  size: tuple[int, int]
  step: int = 7
  profile: str = 'paper'
  radius: int = 4
  temperature: float = 1 / 20
  margin: int = 0
  centred: bool = True

  @property
  def shape(self) -> tuple[int, int]:
    """(h, w): number of nodes."""
    return math.ceil(self.size[0] / self.step), math.ceil(self.size[1] / self.step)

  @property
  def mask_size(self) -> tuple[int, int]:
    """(H, W) of the mask with its margin, in pixels.

    TorchRay's transposed convolution ends one step short of the last cell: 260 for 224.
    """
    if self.margin == 0:
      return self.size
    h, w = ((n + 2 * math.ceil(self.margin / self.step) - 1) * self.step + 1 for n in self.shape)
    return h, w

  @property
  def _cells(self) -> tuple[tuple[int, int], tuple[int, int]]:
    """(first, count) of the cells that cover the mask, along each axis."""
    before = math.ceil(self.margin / self.step)
    return ((-before, self.shape[0] + 2 * before), (-before, self.shape[1] + 2 * before))

  def _node_offset(self, axis: int) -> float:
    """Position of node 0, in pixels."""
    if not self.centred:
      return 0.0
    return (self.size[axis] - 1 - self.step * (self.shape[axis] - 1)) / 2

  def taps(self) -> np.ndarray:
    """Kernel values `[2r+1, 2r+1, step, step]`: window offset, pixel within its cell."""
    steps = np.arange(self.step)
    window = np.arange(-self.radius, self.radius + 1)
    axes = [
      (steps[None, :] - self._node_offset(axis)) / self.step - window[:, None] for axis in (0, 1)
    ]
    distance = np.hypot(axes[0][:, None, :, None], axes[1][None, :, None, :])
    return PROFILES[self.profile](distance).astype(np.float32)

  def crop(self, mask: jax.Array) -> jax.Array:
    """The part of a mask `[..., H', W']` that lies on the image: `[..., H, W]`."""
    (height, width), m = self.size, self.margin
    return mask[..., m : m + height, m : m + width]


def _windows(parameters: jax.Array, lattice: Lattice) -> jax.Array:
  """Parameters `[B, h, w]` padded so that every cell of the mask has its whole window."""
  (top, rows), (left, columns) = lattice._cells
  r = lattice.radius
  pads = [
    (r - first, r + count + first - n)
    for first, count, n in ((top, rows, lattice.shape[0]), (left, columns, lattice.shape[1]))
  ]
  return jnp.pad(parameters, ((0, 0), *pads))


def _row(padded: jax.Array, i: jax.Array, cells: tuple[int, int], width: int) -> list[jax.Array]:
  """The nodes at row offset i, one `[B, rows, columns]` for each column offset."""
  batch = padded.shape[0]
  band = jax.lax.dynamic_slice(padded, (0, i, 0), (batch, cells[0], padded.shape[2]))
  return [band[:, :, j : j + cells[1]] for j in range(width)]


def _to_cells(mask: jax.Array, lattice: Lattice) -> jax.Array:
  """`[B, H, W]` to `[B, rows, step, columns, step]`, zeros beyond the mask."""
  (_, rows), (_, columns) = lattice._cells
  s = lattice.step
  full = jnp.pad(mask, ((0, 0), (0, rows * s - mask.shape[1]), (0, columns * s - mask.shape[2])))
  return full.reshape(mask.shape[0], rows, s, columns, s)


def _from_cells(cells: jax.Array, lattice: Lattice) -> jax.Array:
  batch, rows, s, columns, _ = cells.shape
  height, width = lattice.mask_size
  return cells.reshape(batch, rows * s, columns * s)[:, :height, :width]


def _spread(nodes: jax.Array, tap: jax.Array) -> jax.Array:
  """Node values times kernel: `[B, rows, columns]`, `[step, step]` to cells."""
  return nodes[:, :, None, :, None] * tap[None, None, :, None, :]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def smooth_max_conv(parameters: jax.Array, lattice: Lattice) -> jax.Array:
  """The smooth mask of low-resolution parameters (eqs. 6 and 7), upsampled to pixels.

  m(u) = smax_v;T k(u - v) m_(v) = sum_v f e^(f/T) / sum_v e^(f/T), f = k(u - v) m_(v), over the
  window of nodes around u; nodes outside the image count as zeros.

  Args:
    parameters: `[B, h, w]` in [0, 1], `(h, w) = lattice.shape`.
    lattice: the kernel, its window, the temperature and the sizes.

  Returns:
    Masks `[B, H', W']` in [0, 1], `(H', W') = lattice.mask_size`.
  """
  return _smooth_max_conv(parameters, lattice)[0]


def _smooth_max_conv(parameters, lattice):
  padded = _windows(parameters, lattice)
  taps = jnp.asarray(lattice.taps(), jnp.float32)
  (_, rows), (_, columns) = lattice._cells
  width = 2 * lattice.radius + 1
  shape = (parameters.shape[0], rows, lattice.step, columns, lattice.step)
  zeros = jnp.zeros(shape, jnp.float32)
  coldness = 1 / lattice.temperature if lattice.temperature else 0.0

  def add_row(i, totals):
    numerator, denominator = totals
    for j, nodes in enumerate(_row(padded, i, (rows, columns), width)):
      f = _spread(nodes, taps[i, j])
      if lattice.temperature:
        # f <= 1 and 1/T is about 20, so e^(f/T) needs no shift by the maximum.
        e = jnp.exp(f * coldness)
        numerator, denominator = numerator + f * e, denominator + e
      else:
        numerator = jnp.maximum(numerator, f)
    return numerator, denominator

  numerator, denominator = jax.lax.fori_loop(0, width, add_row, (zeros, zeros))
  mask = numerator / denominator if lattice.temperature else numerator
  return _from_cells(mask, lattice), (padded, mask, denominator)


def _slope(f: jax.Array, mask: jax.Array, lattice: Lattice) -> jax.Array:
  """dm/df, times the denominator of m; that of the maximum itself is how many nodes attain it."""
  if lattice.temperature:
    coldness = 1 / lattice.temperature
    return jnp.exp(f * coldness) * (1 + (f - mask) * coldness)
  return (f == mask).astype(f.dtype)


def _attained(padded: jax.Array, mask: jax.Array, taps: jax.Array, lattice: Lattice) -> jax.Array:
  """How many nodes attain the maximum at each pixel; they share its gradient."""
  (_, rows), (_, columns) = lattice._cells
  width = 2 * lattice.radius + 1

  def add_row(i, total):
    for j, nodes in enumerate(_row(padded, i, (rows, columns), width)):
      total = total + (_spread(nodes, taps[i, j]) == mask)
    return total

  return jax.lax.fori_loop(0, width, add_row, jnp.zeros_like(mask))


def _smooth_max_conv_backward(lattice, residuals, g):
  padded, mask, denominator = residuals
  taps = jnp.asarray(lattice.taps(), jnp.float32)
  (_, rows), (_, columns) = lattice._cells
  width = 2 * lattice.radius + 1
  if not lattice.temperature:
    denominator = _attained(padded, mask, taps, lattice)
  g = _to_cells(g, lattice) / denominator

  def add_row(i, total):
    band = jnp.zeros((padded.shape[0], rows, padded.shape[2]), jnp.float32)
    for j, nodes in enumerate(_row(padded, i, (rows, columns), width)):
      slope = _slope(_spread(nodes, taps[i, j]), mask, lattice)
      share = jnp.sum(g * slope * taps[i, j][None, None, :, None, :], axis=(2, 4))
      band = band.at[:, :, j : j + columns].add(share)
    old = jax.lax.dynamic_slice(total, (0, i, 0), band.shape)
    return jax.lax.dynamic_update_slice(total, old + band, (0, i, 0))

  total = jax.lax.fori_loop(0, width, add_row, jnp.zeros_like(padded))
  (top, _), (left, _) = lattice._cells
  first = (lattice.radius - top, lattice.radius - left)
  h, w = lattice.shape
  return (total[:, first[0] : first[0] + h, first[1] : first[1] + w],)


smooth_max_conv.defvjp(_smooth_max_conv, _smooth_max_conv_backward)


def gaussian_basis(size: int, nodes: int, sigma: float) -> np.ndarray:
  """Interpolation of `nodes` evenly spread lattice values to `size` pixels along one axis (eq. 5).

  Args:
    size: number of pixels along the axis.
    nodes: number of lattice nodes, in the middle of their cells.
    sigma: standard deviation of the Gaussian, in pixels.

  Returns:
    `[size, nodes]`; each row sums to one.
  """
  centres = (np.arange(nodes) + 0.5) * size / nodes - 0.5
  weights = np.exp(-0.5 * ((np.arange(size)[:, None] - centres) / sigma) ** 2)
  return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def gaussian_field(parameters: jax.Array, size: tuple[int, int], sigma: float) -> jax.Array:
  """Smooth field of low-resolution parameters (eq. 5): `[B, h, w]` to `[B, H, W]`."""
  rows = gaussian_basis(size[0], parameters.shape[1], sigma)
  columns = gaussian_basis(size[1], parameters.shape[2], sigma)
  return jnp.einsum(
    'hi,bij,wj->bhw', rows, parameters, columns, precision=jax.lax.Precision.HIGHEST
  )


def total_variation(masks: jax.Array, beta: float) -> jax.Array:
  """sum_u ||grad m(u)||^beta of forward differences, zero at the last row and column: `[...]`."""
  down = jnp.pad(jnp.diff(masks, axis=-2), [(0, 0)] * (masks.ndim - 2) + [(0, 1), (0, 0)])
  across = jnp.pad(jnp.diff(masks, axis=-1), [(0, 0)] * (masks.ndim - 2) + [(0, 0), (0, 1)])
  squares = down**2 + across**2
  flat = squares == 0
  return jnp.where(flat, 0, jnp.where(flat, 1, squares) ** (beta / 2)).sum((-2, -1))
