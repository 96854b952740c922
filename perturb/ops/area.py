"""The area constraint (paper sec. 3.3): R_a, by exact selection instead of a sort.

Sorting is only needed to know which values fall among the a |Omega| largest. The one order
statistic that separates them is found by bisection on the bits of the floats, 32 counting passes.
"""

import jax
import jax.numpy as jnp


def _ordered_bits(x: jax.Array) -> jax.Array:
  """float32 to uint32, keeping the order."""
  bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
  sign = jnp.uint32(0x80000000)
  return jnp.where(bits >= sign, ~bits, bits | sign)


def kth_smallest(values: jax.Array, rank: jax.Array) -> jax.Array:
  """The order statistic of each row, exactly.

  Args:
    values: the rows `[B, n]`, float32, no NaN.
    rank: `[B]` integers in [0, n): 0 is the smallest.

  Returns:
    `[B]`, elements of the rows.
  """
  bits = _ordered_bits(values)

  def halve(i, low):
    middle = low | (jnp.uint32(1) << (31 - i).astype(jnp.uint32))
    below = jnp.sum(bits < middle[:, None], axis=1)
    return jnp.where(below <= rank, middle, low)

  found = jax.lax.fori_loop(0, 32, halve, jnp.zeros(values.shape[0], jnp.uint32))
  sign = jnp.uint32(0x80000000)
  return jax.lax.bitcast_convert_type(jnp.where(found >= sign, found ^ sign, ~found), jnp.float32)


def reference(values: jax.Array, zeros: jax.Array) -> jax.Array:
  """r_a in the order of the values: 0 for the `zeros` smallest of a row, 1 for the others.

  Where the boundary falls among tied values they share the ones evenly: any split gives the same
  loss, this one a gradient without preference for a corner of the image.

  Args:
    values: mask values `[B, n]`.
    zeros: `[B]` integers in [0, n], how many zeros r_a has.

  Returns:
    `[B, n]` in [0, 1], with sum n - zeros.
  """
  n = values.shape[1]
  threshold = kth_smallest(values, jnp.clip(zeros, 0, n - 1))[:, None]
  above, tied = values > threshold, values == threshold
  ones = n - zeros - jnp.sum(above, axis=1)
  share = jnp.clip(ones / jnp.sum(tied, axis=1), 0, 1)
  return jnp.where(above, 1.0, jnp.where(tied, share[:, None], 0.0))


def count_ones(areas: jax.Array, pixels: int) -> jax.Array:
  """a |Omega|, the number of ones in r_a, rounded to a pixel: `[B]` integers."""
  return jnp.round(areas * pixels).astype(jnp.int32)


def area_loss(masks: jax.Array, areas: jax.Array) -> jax.Array:
  """R_a(m) = ||vecsort(m) - r_a||^2 / |Omega| (eq. 4), r_a: (1-a)|Omega| zeros, then ones.

  Args:
    masks: m `[B, H, W]`.
    areas: a `[B]`, fractions of the image in [0, 1].

  Returns:
    `[B]`: the mean of squares, as TorchRay weighs it; times H W for the paper's sum.
  """
  values = masks.reshape(masks.shape[0], -1)
  n = values.shape[1]
  r = jax.lax.stop_gradient(reference(values, n - count_ones(areas, n)))
  # Equals mean((m - r)^2) where r is 0 or 1, and the shared loss of tied values where it is not.
  return jnp.mean(values * values - 2 * values * r + r, axis=1)


def project(fields: jax.Array, areas: jax.Array, width: jax.Array | float) -> jax.Array:
  """Soft threshold of each field at the level where the mask's mean is exactly the area.

  m = sigmoid((g - q) / width) with q such that mean(m) = a, found by bisection. The gradient is
  that of the implicit function: what raises the mask here lowers it along the rest of its border.

  Args:
    fields: g `[B, H, W]`, in any units.
    areas: a `[B]`, fractions of the image in (0, 1).
    width: width of the transition from 0 to 1, in the units of g; a scalar, or `[B]`.

  Returns:
    Masks m `[B, H, W]` in [0, 1].
  """
  n = fields.shape[0]
  return _project(fields, areas[:, None, None], jnp.broadcast_to(width, (n,))[:, None, None])


@jax.custom_vjp
def _project(g: jax.Array, area: jax.Array, width: jax.Array) -> jax.Array:
  axes = (1, 2)
  # The level lies where a field that is constant at its minimum or maximum would have it.
  shift = width * (jnp.log(area) - jnp.log1p(-area))
  low = jnp.min(g, axes, keepdims=True) - shift
  high = jnp.max(g, axes, keepdims=True) - shift

  def halve(_, bounds):
    low, high = bounds
    middle = (low + high) / 2
    too_large = jnp.mean(jax.nn.sigmoid((g - middle) / width), axes, keepdims=True) > area
    return jnp.where(too_large, middle, low), jnp.where(too_large, high, middle)

  low, high = jax.lax.fori_loop(0, 24, halve, (low, high))
  return jax.nn.sigmoid((g - (low + high) / 2) / width)


def _project_forward(g, area, width):
  masks = _project(g, area, width)
  return masks, (masks, area, width)


def _project_backward(residuals, cotangent):
  masks, area, width = residuals
  slope = masks * (1 - masks) / width
  total = jnp.maximum(jnp.sum(slope, (1, 2), keepdims=True), jnp.finfo(slope.dtype).tiny)
  mean = jnp.sum(cotangent * slope, (1, 2), keepdims=True) / total
  # The area and the width are constants of the solver: their derivatives are not defined here.
  return slope * (cotangent - mean), jnp.full_like(area, jnp.nan), jnp.full_like(width, jnp.nan)


_project.defvjp(_project_forward, _project_backward)


@jax.custom_vjp
def projected(masks: jax.Array, fields: jax.Array, areas: jax.Array, width: jax.Array) -> jax.Array:
  """Masks that `project` has found, as they are, with its gradient with respect to the fields.

  Args:
    masks: `project(fields, areas, width)`, from where no gradient comes, as a loop.
    fields: g `[B, H, W]`.
    areas: a `[B]`.
    width: `[B]`.
  """
  del fields, areas, width
  return masks


def _projected_forward(masks, fields, areas, width):
  del fields
  return masks, (masks, areas, width)


def _projected_backward(residuals, cotangent):
  masks, areas, width = residuals
  shaped = masks, areas[:, None, None], width[:, None, None]
  slope, _, _ = _project_backward(shaped, cotangent)
  return jnp.zeros_like(masks), slope, jnp.full_like(areas, jnp.nan), jnp.full_like(width, jnp.nan)


projected.defvjp(_projected_forward, _projected_backward)


def ranks(maps: jax.Array) -> jax.Array:
  """How many values of a map come before each of its own, from the largest down.

  Ties go to the first pixels in reading order; NaN comes last.

  Args:
    maps: `[B, H, W]`.

  Returns:
    int32 `[B, H, W]`, each of 0 .. HW - 1 once.
  """
  values = maps.reshape(maps.shape[0], -1)
  found = jnp.argsort(jnp.argsort(-values, axis=1), axis=1)
  return found.astype(jnp.int32).reshape(maps.shape)


def binarise(masks: jax.Array, areas: jax.Array) -> jax.Array:
  """The binary mask of each one's a |Omega| largest values, exactly that many.

  Ties go to the first pixels in reading order.

  Args:
    masks: m `[B, H, W]`.
    areas: a `[B]`, fractions of the image in [0, 1].

  Returns:
    `[B, H, W]`, zeros and ones.
  """
  ones = count_ones(areas, masks[0].size)
  return (ranks(masks) < ones[:, None, None]).astype(masks.dtype)
