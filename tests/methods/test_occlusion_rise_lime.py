"""Occlusion, RISE, LIME and minimal images on functions whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
from skimage.transform import resize

from perturb.methods.lime import lime, weighted_ridge
from perturb.methods.minimal_image import minimal_image
from perturb.methods.occlusion import occlusion, variable_occlusion
from perturb.methods.rise import random_mask, rise, upsampling
from perturb.ops.superpixels import superpixels
from tests.small_net import IMAGES, TARGETS, small_net

PIXEL = (13, 20)


def one_pixel(x):
  """Class 0 is the first channel of a pixel, class 1 its negative."""
  value = x[:, PIXEL[0], PIXEL[1], 0]
  return jnp.stack([value, -value], -1)


def quadrant(x):
  """Class 0 is the brightness of the upper right quarter, class 1 a constant."""
  bright = x[:, :16, 16:].mean((1, 2, 3))
  return jnp.stack([bright, jnp.full_like(bright, 0.2)], -1)


SEGMENTS = np.arange(32)[:, None] // 16 * 2 + np.arange(32)[None] // 16  # 0 1 / 2 3


def test_occlusion_is_the_mean_drop_over_the_patches_that_hide_a_pixel():
  heat = np.asarray(occlusion(one_pixel, IMAGES, 0, size=8, stride=4, fade_to=(0.5,)))
  starts = range(0, 25, 4)
  total, count = np.zeros((2, 32, 32)), np.zeros((32, 32))
  for i in starts:
    for j in starts:
      hit = i <= PIXEL[0] < i + 8 and j <= PIXEL[1] < j + 8
      total[:, i : i + 8, j : j + 8] += hit * (IMAGES[:, *PIXEL, 0] - 0.5)[:, None, None]
      count[i : i + 8, j : j + 8] += 1
  np.testing.assert_allclose(heat, total / count, atol=1e-5)


def test_the_last_patch_ends_with_the_image():
  heat = occlusion(lambda x: x.sum((1, 2)), np.ones((30, 31, 3)), 0, size=8, stride=7)
  np.testing.assert_allclose(heat, 64, rtol=1e-5)  # Every patch costs as much, everywhere.


def test_a_soft_disc_finds_the_pixel():
  x = np.ones((32, 32, 3), np.float32)
  heat = occlusion(one_pixel, x, 0, shape='disc', size=6, stride=1, softness=1.5)[0]
  assert np.unravel_index(np.argmax(heat), heat.shape) == PIXEL


def test_variable_occlusion_takes_the_smallest_disc_that_suffices():
  def blob(x):
    """Seen as long as any of a disc of radius 4 is visible."""
    rows, columns = np.ogrid[:32, :32]
    inside = np.hypot(rows - 17, columns - 13) <= 4
    seen = jnp.where(inside[..., None], x, 0).max((1, 2, 3))
    return jnp.stack([seen, 0 * seen], -1)

  x = np.ones((32, 32, 3), np.float32)
  heat = variable_occlusion(
    blob, x, 0, sizes=(4, 10, 24), stride=4, softness=0.0, perturbation='fade', share=0.01
  )[0]
  # Discs of 4 hide it nowhere, one of 10 does at its middle; one of 24 does at many places.
  rows, columns = np.nonzero(np.asarray(heat) > 0.5)
  assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (11, 11)
  assert (rows.mean(), columns.mean()) == (17, 13)


def test_upsampling_is_scikit_images():
  grid = np.random.RandomState(0).rand(7, 7)
  matrix = upsampling(224, 7)
  expected = resize(grid, (256, 256), order=1, mode='reflect', anti_aliasing=False)
  np.testing.assert_allclose(matrix @ grid @ matrix.T, expected, atol=1e-6)


def test_masks_keep_their_share():
  masks = jax.vmap(
    lambda i: random_mask(jax.random.fold_in(jax.random.key(0), i), (32, 32), 4, 0.3)
  )(jnp.arange(2000))
  assert masks.shape == (2000, 32, 32)
  np.testing.assert_allclose(masks.mean(0), 0.3, atol=0.06)
  assert float(masks.min()) == 0 and float(masks.max()) == 1


def test_rise_peaks_at_the_pixel_a_model_reads_and_keeps_the_mean_elsewhere():
  x = np.ones((1, 32, 32, 3), np.float32)
  heat = np.asarray(rise(one_pixel, x, 0, masks=4000, cells=4, value='score', chunk=100))[0]
  peak = np.unravel_index(heat.argmax(), heat.shape)
  assert np.hypot(peak[0] - PIXEL[0], peak[1] - PIXEL[1]) <= 3
  # Far away the mask is independent of the pixel: E[m(p) m(u)] / p = p.
  np.testing.assert_allclose(heat[-4:, :4], 0.5, atol=0.05)


def test_lime_recovers_a_model_that_is_linear_in_the_segments():
  contribution = np.array([[1.0, -2.0], [0.5, 3.0]])
  weights = np.kron(contribution, np.ones((16, 16)))[..., None] / 256

  def linear(x):
    score = (x[..., :1] * weights).sum((1, 2, 3))
    return jnp.stack([score, -score], -1)

  x = np.stack([np.ones((32, 32, 3)), np.full((32, 32, 3), 2.0)]).astype(np.float32)
  x[:, ::2] = 0  # So that the mean colour differs from the pixels.
  x += 0.1
  result = lime(linear, x, 0, SEGMENTS, samples=64, ridge=0.0, value='score')
  np.testing.assert_allclose(result.weights, 0, atol=1e-3)  # Means keep a linear sum.

  def squares(x):
    score = (x[..., :1] ** 2 * weights).sum((1, 2, 3))
    return jnp.stack([score, -score], -1)

  result = lime(squares, x, 0, SEGMENTS, samples=64, ridge=0.0, value='score')
  variance = x[:, :, 0, 0].var(1)  # What a segment loses with its mean colour.
  np.testing.assert_allclose(
    result.weights, variance[:, None] * contribution.reshape(1, 4), rtol=2e-3
  )
  np.testing.assert_allclose(result.fit, 1, atol=1e-4)
  np.testing.assert_allclose(result.heatmap[0, 20, 20], result.weights[0, 3])


def test_images_with_fewer_segments_are_not_disturbed():
  net = small_net()
  three = np.minimum(SEGMENTS, 2)
  for ridge in (1.0, 0.0):
    both = lime(net, IMAGES, TARGETS, np.stack([SEGMENTS, three]), samples=30, ridge=ridge)
    assert both.weights.shape == (2, 4)
    for i, segments in enumerate((SEGMENTS, three)):
      alone = lime(net, IMAGES[i], TARGETS[i], segments, samples=30, ridge=ridge)
      count = segments.max() + 1
      assert alone.weights.shape == (1, count) and np.isfinite(alone.weights).all()
      scale = np.abs(alone.weights).max()
      np.testing.assert_allclose(both.weights[i, :count], alone.weights[0], atol=1e-4 * scale)
      np.testing.assert_allclose(both.heatmap[i], alone.heatmap[0], atol=1e-4 * scale)
      np.testing.assert_allclose(both.fit[i], alone.fit[0], rtol=1e-3)


def test_weighted_ridge_equals_its_normal_equations():
  random = np.random.RandomState(0)
  z, y, w = random.rand(30, 4), random.rand(30), random.rand(30)
  beta, intercept, _ = weighted_ridge(*(jnp.asarray(v, jnp.float32) for v in (z, y, w)), 0.7)
  design = np.concatenate([z, np.ones((30, 1))], 1)
  penalty = np.diag([0.7] * 4 + [0])
  expected = np.linalg.solve(design.T @ (w[:, None] * design) + penalty, design.T @ (w * y))
  np.testing.assert_allclose(np.append(beta, intercept), expected, rtol=1e-3)


def test_a_minimal_image_keeps_the_segment_that_decides():
  result = minimal_image(quadrant, np.ones((32, 32, 3)), 0, SEGMENTS, perturbation='fade')
  np.testing.assert_array_equal(result.mask[0], SEGMENTS == 1)
  assert int(result.deleted[0]) == 3
  np.testing.assert_allclose(result.images[0, ..., 0], SEGMENTS == 1)
  np.testing.assert_allclose(result.scores, 1)
  assert float(result.heatmap[0, 0, 31]) == 1 and float(result.heatmap[0].min()) < 1


def test_an_image_of_another_class_is_its_own_minimal_image():
  result = minimal_image(quadrant, np.full((32, 32, 3), 0.1), 0, SEGMENTS, perturbation='fade')
  assert int(result.deleted[0]) == 0
  np.testing.assert_array_equal(result.mask, 1)


def test_superpixels_follow_an_edge():
  image = np.zeros((1, 32, 32, 3), np.float32)
  image[:, :, 11:] = 1
  segments = superpixels(image, 8)[0]
  left, right = set(segments[:, :11].ravel()), set(segments[:, 11:].ravel())
  assert not left & right
  assert segments.min() == 0 and segments.max() + 1 == len(left | right)


def test_pictures_with_other_numbers_of_segments_share_a_program():
  traces = []

  def f(x):
    traces.append(x.shape)
    return x.mean((1, 2))

  x = np.random.RandomState(0).rand(1, 8, 8, 3)
  for count in (4, 8):
    segments = np.arange(64).reshape(8, 8) // (64 // count)
    found = lime(f, x, 1, segments, samples=20)
    assert found.weights.shape == (1, count)
    minimal_image(f, x, int(x.mean((0, 1, 2)).argmax()), segments)
    if count == 4:
      traced = len(traces)
  assert len(traces) == traced
