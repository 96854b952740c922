"""Smooth masks from the nodes of a lattice."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.methods.extremal_solvers import MODES
from perturb.ops.masks import PROFILES, Lattice, gaussian_basis, smooth_max_conv

TORCHRAY = MODES['torchray'].lattice((224, 224))
HARD = Lattice((40, 47), step=5, radius=10, temperature=0)


def naive(parameters, lattice):
  """Eq. 7 over the window, one distance at a time, without any of the reshaping."""
  h, w = lattice.shape
  m = lattice.margin
  pixels = [np.arange(-m, size - m) for size in lattice.mask_size]
  offsets = [
    (n - 1 - lattice.step * (k - 1)) / 2 if lattice.centred else 0.0
    for n, k in zip(lattice.size, lattice.shape, strict=True)
  ]
  numerator = denominator = 0.0
  cells = [p // lattice.step for p in pixels]
  for di in range(-lattice.radius, lattice.radius + 1):
    for dj in range(-lattice.radius, lattice.radius + 1):
      i, j = cells[0] + di, cells[1] + dj
      distance = (
        np.hypot(
          (pixels[0] - (lattice.step * i + offsets[0]))[:, None],
          (pixels[1] - (lattice.step * j + offsets[1]))[None],
        )
        / lattice.step
      )
      k = PROFILES[lattice.profile](distance)
      inside = ((i >= 0) & (i < h))[:, None] & ((j >= 0) & (j < w))[None]
      nodes = parameters[:, np.clip(i, 0, h - 1)][:, :, np.clip(j, 0, w - 1)] * inside
      f = nodes * k
      numerator = numerator + f * jnp.exp(f / lattice.temperature)
      denominator = denominator + jnp.exp(f / lattice.temperature)
  return numerator / denominator


@pytest.mark.parametrize(
  'lattice',
  [
    Lattice((23, 31), step=5, radius=2),
    Lattice((16, 12), step=3, radius=2, profile='torchray', margin=6, centred=False),
  ],
)
def test_mask_and_its_backward_equal_the_plain_formula(lattice):
  parameters = jnp.asarray(np.random.RandomState(0).rand(2, *lattice.shape), jnp.float32)
  np.testing.assert_allclose(
    smooth_max_conv(parameters, lattice), naive(parameters, lattice), atol=2e-6
  )
  weights = jnp.asarray(np.random.RandomState(1).randn(2, *lattice.mask_size), jnp.float32)
  gradient = jax.jit(jax.grad(lambda p: jnp.sum(weights * smooth_max_conv(p, lattice))))(parameters)
  expected = jax.jit(jax.grad(lambda p: jnp.sum(weights * naive(p, lattice))))(parameters)
  np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=2e-5)


def nodes_of(lattice):
  offsets = [
    (n - 1 - lattice.step * (k - 1)) // 2 if lattice.centred else 0
    for n, k in zip(lattice.size, lattice.shape, strict=True)
  ]
  return (slice(offsets[0], None, lattice.step), slice(offsets[1], None, lattice.step))


def test_lemma_1_holds_for_the_maximum_over_a_whole_window():
  lattice = dataclasses.replace(HARD, size=(40, 45))
  parameters = jnp.asarray(np.random.RandomState(0).rand(3, *lattice.shape) ** 4, jnp.float32)
  parameters = parameters.at[:, 3, 3].set(1)
  mask = smooth_max_conv(parameters, lattice)
  at_nodes = mask[(slice(None), *nodes_of(lattice))]
  assert (at_nodes >= parameters - 1e-6).all()
  assert mask.max() <= 1
  np.testing.assert_allclose(at_nodes[:, 3, 3], 1)
  lipschitz = math.exp(-0.5) / math.sqrt(2) / lattice.step  # of exp(-max(0, z - 1)^2 / 4), a pixel
  for axis in (1, 2):
    assert jnp.abs(jnp.diff(mask, axis=axis)).max() <= lipschitz + 1e-6


def test_lemma_1_fails_for_torchrays_truncated_window():
  lattice = dataclasses.replace(TORCHRAY, temperature=0)
  single = jnp.zeros((1, 32, 32)).at[0, 16, 16].set(1)
  jump = jnp.abs(jnp.diff(lattice.crop(smooth_max_conv(single, lattice)), axis=2)).max()
  assert jump == pytest.approx(0.249, abs=1e-3)  # against a bound of 2 exp(-1/2) / 21 = 0.058


def test_smooth_maximum_has_the_maximum_and_the_mean_as_its_limits():
  parameters = jnp.asarray(np.random.RandomState(0).rand(1, *HARD.shape), jnp.float32)
  hard = smooth_max_conv(parameters, HARD)
  masks = [
    smooth_max_conv(parameters, dataclasses.replace(HARD, temperature=t))
    for t in (1 / 80, 1 / 40, 1 / 20, 1 / 10, 1)
  ]
  for colder, warmer in itertools.pairwise(masks):
    assert (colder >= warmer - 1e-6).all()
  np.testing.assert_allclose(masks[0], hard, atol=0.1)
  one = jnp.zeros((1, 32, 32)).at[0, 16, 16].set(1)
  mean = smooth_max_conv(one, dataclasses.replace(TORCHRAY, temperature=1e6))
  assert TORCHRAY.crop(mean)[0, 7 * 16, 7 * 16] == pytest.approx(1 / 81, rel=1e-4)


def test_shapes_of_torchrays_generator():
  assert TORCHRAY.shape == (32, 32)
  assert TORCHRAY.mask_size == (260, 260)
  wide = MODES['torchray'].lattice((224, 298))
  assert (wide.shape, wide.mask_size) == ((32, 43), (260, 337))
  small = dataclasses.replace(MODES['torchray'], step=2).lattice((32, 32))
  assert (small.shape, small.mask_size) == ((16, 16), (43, 43))


def test_regression_numbers_of_torchrays_masks():
  full = smooth_max_conv(jnp.ones((1, 32, 32)), TORCHRAY)
  image = TORCHRAY.crop(full)
  np.testing.assert_allclose(
    [image.min(), image.max(), image.mean()], [0.97587, 0.99566, 0.98812], atol=1e-5
  )
  np.testing.assert_allclose([full.min(), full.mean()], [0.06662, 0.95783], atol=1e-5)
  half = TORCHRAY.crop(smooth_max_conv(jnp.full((1, 32, 32), 0.5), TORCHRAY))
  assert half.mean() == pytest.approx(0.48320, abs=1e-5)
  assert (smooth_max_conv(jnp.zeros((1, 32, 32)), TORCHRAY) == 0).all()
  for value, peak, above in ((1.0, 1.0, 1641), (0.5, 0.49819, 0), (0.2, 0.08113, 0)):
    mask = TORCHRAY.crop(smooth_max_conv(jnp.zeros((1, 32, 32)).at[0, 16, 16].set(value), TORCHRAY))
    assert mask.max() == pytest.approx(peak, abs=1e-5)
    assert (mask > 0.5).sum() == above


def test_regression_numbers_of_the_area_loss_at_torchrays_start():
  from perturb.ops.area import area_loss

  full = smooth_max_conv(jnp.ones((1, 32, 32)), TORCHRAY)
  areas = jnp.array([0.025, 0.05, 0.1, 0.2, 0.4, 0.8])
  losses = area_loss(jnp.repeat(full, 6, axis=0), areas)
  np.testing.assert_allclose(
    losses, [0.90120, 0.87663, 0.82750, 0.72954, 0.53411, 0.14491], atol=1.5e-5
  )


def test_a_mirrored_lattice_gives_the_mirrored_mask():
  lattice = Lattice((28, 42), step=7, radius=3)
  parameters = jnp.asarray(np.random.RandomState(0).rand(1, *lattice.shape), jnp.float32)
  mirrored = smooth_max_conv(parameters[:, ::-1, ::-1], lattice)
  expected = smooth_max_conv(parameters, lattice)[:, ::-1, ::-1]
  np.testing.assert_allclose(mirrored, expected, atol=1e-5)


def test_gaussian_basis_reproduces_constants_and_is_symmetric():
  basis = gaussian_basis(50, 9, 6.0)
  np.testing.assert_allclose(basis.sum(axis=1), 1, rtol=1e-6)
  np.testing.assert_allclose(basis, basis[::-1, ::-1], atol=1e-6)


def test_nodes_that_attain_the_maximum_share_its_gradient():
  lattice = dataclasses.replace(HARD, size=(20, 20), radius=1, profile='torchray')
  slope = jax.jit(jax.grad(lambda p: smooth_max_conv(p, lattice)[0, 9, 9]))
  flat = slope(jnp.full((1, *lattice.shape), 0.5))[0]
  taps = flat[flat != 0]
  # The profile is 1 up to half a unit of 3 cells, so that several nodes tie at any pixel.
  assert len(taps) > 1
  np.testing.assert_allclose(flat.sum(), 1, rtol=1e-6)
  np.testing.assert_allclose(taps, 1 / len(taps), rtol=1e-6)
