"""Perturbed images: blur, fade, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.ops.perturbations import blur, blur_pyramid, fade_pyramid, perturb, pyramid

X = jnp.asarray(np.random.RandomState(0).randn(12, 15, 3), jnp.float32)
MASKS = jnp.asarray(np.random.RandomState(1).rand(2, 12, 15), jnp.float32)


def test_a_whole_mask_keeps_the_image_and_an_empty_one_perturbs_it_fully():
  levels = blur_pyramid(X, levels=5, sigma_max=4.0)
  np.testing.assert_array_equal(perturb(levels, jnp.ones((12, 15))), X)
  np.testing.assert_array_equal(perturb(levels, jnp.zeros((12, 15))), levels[0])
  np.testing.assert_allclose(levels[0], blur(X, 4.0), atol=1e-6)


def test_a_mask_value_between_two_levels_interpolates_them():
  levels = blur_pyramid(X, levels=5)
  expected = 0.25 * levels[2] + 0.75 * levels[3]
  np.testing.assert_allclose(perturb(levels, jnp.full((12, 15), 2.75 / 4)), expected, atol=1e-5)


def test_fade_is_linear_in_the_mask():
  np.testing.assert_allclose(perturb(fade_pyramid(X), MASKS[0]), MASKS[0][..., None] * X, atol=1e-6)
  grey = perturb(fade_pyramid(X, value=0.5), jnp.zeros((12, 15)))
  np.testing.assert_allclose(grey, 0.5)


def test_normalised_blur_keeps_constants_and_torchrays_darkens_the_border():
  ones = jnp.ones((224, 224, 1))
  np.testing.assert_allclose(blur(ones, 20.0), 1, rtol=1e-5)
  dark = blur(ones, 20.0, normalised=False)
  assert dark[112, 112, 0] == pytest.approx(1, abs=1e-3)
  assert dark[0, 112, 0] == pytest.approx(0.51, abs=5e-3)
  assert dark[0, 0, 0] == pytest.approx(0.26, abs=5e-3)


def test_blur_is_the_papers_sum():
  sigma = 2.5
  rows, columns = np.mgrid[:12, :15]
  u = (3, 14)
  g = np.exp(-((rows - u[0]) ** 2 + (columns - u[1]) ** 2) / (2 * sigma**2))
  expected = (g[..., None] * np.asarray(X)).sum((0, 1)) / g.sum()
  np.testing.assert_allclose(blur(X, sigma)[u], expected, rtol=1e-4)


def test_backward_is_that_of_plain_interpolation():
  def plain(levels, masks):
    position = masks[..., None] * (levels.shape[-4] - 1)
    below = jnp.floor(position)
    picked = [
      jnp.take_along_axis(levels, (below[:, None] + d).astype(int), axis=1)[:, 0] for d in (0, 1)
    ]
    return picked[0] + (position - below) * (picked[1] - picked[0])

  levels = jnp.stack([blur_pyramid(X, levels=4), blur_pyramid(-X, levels=4)])
  weights = jnp.asarray(np.random.RandomState(2).randn(2, 12, 15, 3), jnp.float32)
  got = jax.grad(lambda p, m: jnp.sum(weights * perturb(p, m)), argnums=(0, 1))(levels, MASKS)
  expected = jax.grad(lambda p, m: jnp.sum(weights * plain(p, m)), argnums=(0, 1))(levels, MASKS)
  np.testing.assert_allclose(got[0], expected[0], atol=1e-5)
  np.testing.assert_allclose(got[1], expected[1], atol=1e-4)


def test_gradient_at_the_ends_points_inwards():
  levels = fade_pyramid(X)
  for value in (0.0, 1.0):
    gradient = jax.grad(lambda m: perturb(levels, m).sum())(jnp.full((12, 15), value))
    np.testing.assert_allclose(gradient, X.sum(-1), atol=1e-5)


def test_one_pyramid_serves_several_masks():
  levels = blur_pyramid(X, levels=3)
  together = perturb(levels, MASKS)
  np.testing.assert_allclose(together[1], perturb(levels, MASKS[1]), atol=1e-6)
  gradient = jax.grad(lambda p: perturb(p, MASKS).sum())(levels)
  assert gradient.shape == levels.shape


def test_an_unknown_perturbation_is_refused():
  with pytest.raises(ValueError, match="'blur' or 'fade'"):
    pyramid(X, 'noise')
