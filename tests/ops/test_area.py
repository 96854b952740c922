"""The loss on a mask's area, and the projection to an area."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.ops.area import area_loss, binarise, kth_smallest, project, projected, reference


def sorted_area_loss(masks, areas):
  """R_a as the paper writes it: sort, compare with (1-a)n zeros, then ones."""
  values = jnp.sort(masks.reshape(masks.shape[0], -1), axis=1)
  n = values.shape[1]
  r = jnp.arange(n) >= n - jnp.round(areas * n)[:, None]
  return jnp.mean((values - r) ** 2, axis=1)


MASKS = jnp.asarray(np.random.RandomState(0).rand(4, 13, 17), jnp.float32)
AREAS = jnp.array([0.05, 0.3, 0.5, 0.99])


def test_kth_smallest_is_the_order_statistic_of_any_floats():
  values = np.random.RandomState(1).randn(3, 100).astype(np.float32)
  values[0, :5] = [np.inf, -np.inf, 0.0, -0.0, 1e-42]
  for rank in (0, 1, 50, 99):
    found = jax.jit(kth_smallest)(values, jnp.full(3, rank))
    np.testing.assert_array_equal(found, np.sort(values, axis=1)[:, rank])


def test_area_loss_equals_its_sorting_form_with_the_same_gradient():
  np.testing.assert_allclose(area_loss(MASKS, AREAS), sorted_area_loss(MASKS, AREAS), rtol=1e-5)
  gradient = jax.grad(lambda m: area_loss(m, AREAS).sum())(MASKS)
  expected = jax.grad(lambda m: sorted_area_loss(m, AREAS).sum())(MASKS)
  np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_area_loss_is_zero_only_for_a_binary_mask_of_that_area():
  mask = jnp.zeros((1, 10, 10)).at[0, :3].set(1)
  assert area_loss(mask, jnp.array([0.3]))[0] == 0
  assert area_loss(mask, jnp.array([0.29]))[0] == pytest.approx(1 / 100)
  moved = mask.at[0, 9, 9].add(0.01)
  assert area_loss(moved, jnp.array([0.3]))[0] == pytest.approx(0.01**2 / 100, rel=1e-3)


def test_tied_values_share_the_loss_and_the_gradient():
  flat = jnp.full((1, 10, 10), 0.8)
  areas = jnp.array([0.25])
  assert area_loss(flat, areas)[0] == pytest.approx(0.25 * 0.2**2 + 0.75 * 0.8**2, rel=1e-5)
  gradient = jax.grad(lambda m: area_loss(m, areas).sum())(flat)
  np.testing.assert_allclose(gradient, 2 * (0.8 - 0.25) / 100, rtol=1e-5)
  np.testing.assert_allclose(reference(flat.reshape(1, -1), jnp.array([75])).sum(), 25, rtol=1e-6)


@pytest.mark.parametrize('width', [1.0, 0.1, 0.003])
def test_project_gives_exactly_the_area(width):
  masks = project(MASKS, AREAS, width)
  np.testing.assert_allclose(masks.mean((1, 2)), AREAS, atol=2e-6)


def test_project_of_a_constant_field_is_the_constant_area():
  np.testing.assert_allclose(
    project(jnp.full((1, 5, 6), 0.7), jnp.array([0.2]), 0.05), 0.2, rtol=1e-5
  )


def test_project_gradient_is_that_of_finite_differences():
  weights = jnp.asarray(np.random.RandomState(3).randn(4, 13, 17))

  def value(fields):
    return jnp.sum(weights * project(fields, AREAS, 0.2))

  gradient = jax.grad(value)(MASKS)
  direction = jnp.asarray(np.random.RandomState(4).randn(4, 13, 17), jnp.float32)
  step = 1e-2
  slope = (value(MASKS + step * direction) - value(MASKS - step * direction)) / (2 * step)
  assert float(jnp.sum(gradient * direction)) == pytest.approx(float(slope), rel=5e-3)


def test_binarise_keeps_exactly_the_largest_values():
  binary = binarise(MASKS, AREAS)
  for mask, kept, area in zip(MASKS, binary, AREAS, strict=True):
    count = round(float(area) * mask.size)
    assert kept.sum() == count
    assert mask[kept == 1].min() >= mask[kept == 0].max()
  assert binarise(jnp.ones((1, 3, 3)), jnp.array([0.5])).sum() == 4  # ties do not add pixels


def test_masks_from_elsewhere_have_the_gradient_of_the_projection():
  fields = jnp.asarray(np.random.RandomState(0).rand(2, 5, 6), jnp.float32)
  areas, widths = jnp.asarray([0.2, 0.6]), jnp.asarray([0.1, 0.3])
  weights = jnp.asarray(np.random.RandomState(1).randn(2, 5, 6), jnp.float32)
  found = project(fields, areas, widths)
  np.testing.assert_array_equal(projected(found, fields, areas, widths), found)
  through = jax.grad(lambda g: (weights * projected(found, g, areas, widths)).sum())(fields)
  expected = jax.grad(lambda g: (weights * project(g, areas, widths)).sum())(fields)
  np.testing.assert_allclose(through, expected, rtol=1e-6)
