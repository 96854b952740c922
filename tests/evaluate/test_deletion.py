"""Deletion and insertion on functions whose curves are known in closed form."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from perturb.errors import UserError
from perturb.evaluate.deletion import area_under, deletion_insertion
from perturb.evaluate.substrates import WINDOW, window_blur, window_taps
from perturb.ops.imputation import linear_imputation

RANDOM = np.random.RandomState(0)
X = RANDOM.rand(2, 4, 5, 3).astype(np.float32) + 1
HEAT = np.stack([RANDOM.permutation(20).reshape(4, 5) for _ in range(2)]).astype(np.float32)


def one_pixel(x):
  return x[:, 2, 3]


def total(x):
  return x.sum((1, 2))


def test_the_area_by_rises_rule_worked_out_by_hand():
  np.testing.assert_allclose(area_under(jnp.array([1.0, 0.5, 0.25, 0.0])), (1.75 - 0.5) / 3)
  np.testing.assert_allclose(area_under(jnp.ones((2, 7))), 1)


@pytest.mark.parametrize('place', [0, 7, 19])
def test_a_model_that_reads_one_pixel_has_steps_for_curves(place):
  """The pixel at this place of the order: deleted once place + 1 pixels are."""
  heat = np.arange(20)[::-1].reshape(1, 4, 5).copy()
  heat[0, 2, 3], heat[0].flat[place] = heat[0].flat[place], heat[0, 2, 3]
  found = deletion_insertion(
    one_pixel, X[:1], 1, heat, pixels=1, insertion_fill='constant', value='score'
  )
  value = X[0, 2, 3, 1]
  expected = np.where(np.arange(21) <= place, value, 0)
  np.testing.assert_allclose(found.deletion[0], expected)
  np.testing.assert_allclose(found.insertion[0], value - expected)
  np.testing.assert_allclose(found.deletion_auc[0], value * (place + 0.5) / 20, rtol=1e-6)
  np.testing.assert_allclose(found.insertion_auc[0], value * (1 - (place + 0.5) / 20), rtol=1e-6)
  np.testing.assert_allclose(found.shares, np.arange(21) / 20, rtol=1e-6)


def test_a_model_that_sums_pixels_loses_what_is_deleted_and_gains_what_is_inserted():
  fill = RANDOM.rand(4, 5, 3).astype(np.float32)
  found = deletion_insertion(
    total, X, [0, 2], HEAT, pixels=6, deletion_fill=fill, insertion_fill=fill, value='score'
  )
  np.testing.assert_allclose(found.shares, [0, 0.3, 0.6, 0.9, 1], rtol=1e-6)
  for image, target in ((0, 0), (1, 2)):
    order = np.argsort(-HEAT[image].ravel())
    ours, theirs = (a[..., target].ravel()[order] for a in (X[image], fill))
    for point, count in enumerate((0, 6, 12, 18, 20)):
      deleted = theirs[:count].sum() + ours[count:].sum()
      np.testing.assert_allclose(found.deletion[image, point], deleted, rtol=1e-6)
      inserted = ours[:count].sum() + theirs[count:].sum()
      np.testing.assert_allclose(found.insertion[image, point], inserted, rtol=1e-6)


def test_no_order_deletes_a_linear_model_sooner_than_that_of_its_contributions():
  """All 720 orders of an image of 2 x 3 pixels."""
  x = np.random.RandomState(3).randn(1, 2, 3, 1).astype(np.float32)
  weights = np.random.RandomState(4).randn(2, 3, 1).astype(np.float32)

  def linear(x):
    return (x * weights).sum((1, 2))

  orders = np.array(list(itertools.permutations(range(6))), np.float32).reshape(-1, 2, 3)
  heat = np.concatenate([(weights * x[0])[None, ..., 0], orders])
  options = {'pixels': 1, 'insertion_fill': 'constant', 'value': 'score'}
  many = np.repeat(x, len(heat), axis=0)
  found = deletion_insertion(linear, many, 0, heat, **options)
  deletion, insertion = np.asarray(found.deletion_auc), np.asarray(found.insertion_auc)
  np.testing.assert_allclose(deletion[0], deletion[1:].min(), rtol=1e-5)
  np.testing.assert_allclose(insertion[0], insertion[1:].max(), rtol=1e-5)
  assert (deletion[1:] < deletion[0] + 1e-5).sum() == 1  # No other order is as good.


def test_probabilities_are_those_of_the_softmax():
  found = deletion_insertion(one_pixel, X, 1, HEAT)
  expected = np.exp(X[:, 2, 3, 1]) / np.exp(X[:, 2, 3]).sum(-1)
  np.testing.assert_allclose(found.deletion[:, 0], expected, rtol=1e-5)
  np.testing.assert_allclose(found.insertion[:, -1], expected, rtol=1e-5)
  np.testing.assert_allclose(found.deletion[:, -1], 1 / 3, rtol=1e-5)
  assert found.shares.shape == (5,)  # A row at a time.


@pytest.mark.parametrize('fill', ['constant', 'blur', 'road'])
def test_an_image_does_not_depend_on_its_batch_or_chunk_or_on_a_trace(fill):
  def play(x, heatmaps, chunk):
    return deletion_insertion(
      total, x, 1, heatmaps, deletion_fill=fill, insertion_fill=fill, value='score', chunk=chunk
    )

  together = play(X, HEAT, 20)
  for other in (play(X[1:], HEAT[1:], 3), jax.jit(play, static_argnums=2)(X[1:], HEAT[1:], 3)):
    for a, b in zip(together[1:], other[1:], strict=True):
      np.testing.assert_allclose(a[1:], b, rtol=1e-5)
  each = jax.vmap(lambda x, heat: play(x[None], heat[None], 20))(X, HEAT)
  np.testing.assert_allclose(each.insertion[:, 0], together.insertion, rtol=1e-5)


def test_it_computes_in_float32_whatever_it_is_given():
  plain = deletion_insertion(total, X, 1, HEAT, deletion_fill='road', value='score')
  with jax.enable_x64(True):
    double = deletion_insertion(
      total, X.astype(float), 1, HEAT.astype(float), deletion_fill='road', value='score'
    )
  for a, b in zip(plain, double, strict=True):
    assert b.dtype == np.float32
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_road_imputes_each_point_of_its_game_and_no_other():
  options = {'pixels': 6, 'deletion_fill': 'road', 'value': 'score'}
  found = deletion_insertion(total, X, 1, HEAT, noise=0.0, **options)
  places = np.argsort(np.argsort(-HEAT.reshape(2, -1))).reshape(HEAT.shape)
  for point, count in enumerate((0, 6, 12, 18, 20)):
    imputed = np.asarray(linear_imputation(X, places >= count))
    np.testing.assert_allclose(found.deletion[:, point], imputed[..., 1].sum((1, 2)), rtol=1e-5)
  blurred = deletion_insertion(total, X, 1, HEAT, pixels=6, value='score')
  np.testing.assert_allclose(found.insertion, blurred.insertion, rtol=1e-5)
  noisy = deletion_insertion(total, X, 1, HEAT, noise=0.1, key=1, **options)
  apart = np.asarray(noisy.deletion - found.deletion)
  np.testing.assert_allclose(apart[:, 0], 0, atol=1e-5)
  assert (np.abs(apart[:, 1:]) > 1e-3).all()


def test_equal_pixels_go_in_reading_order_or_in_one_that_is_drawn():
  flat, options = np.zeros((2, 4, 5)), {'pixels': 1, 'value': 'score'}
  found = deletion_insertion(one_pixel, X, 1, flat, **options)
  assert (np.asarray(found.deletion) > 0).sum(1).tolist() == [14, 14]  # Pixel 13 of 20.

  def gone(key):
    drawn = deletion_insertion(one_pixel, X, 1, flat, ties='random', key=key, **options)
    first, second = (np.asarray(drawn.deletion) > 0).sum(1)
    assert first == second
    return first

  assert len({gone(key) for key in range(5)}) > 1 and gone(3) == gone(3)
  steps = np.arange(20.0).reshape(1, 4, 5).repeat(2, 0)
  plain = deletion_insertion(one_pixel, X, 1, steps, **options)
  drawn = deletion_insertion(one_pixel, X, 1, steps, ties='random', **options)
  np.testing.assert_array_equal(plain.deletion, drawn.deletion)


def test_a_heatmap_without_numbers_has_no_curve_and_a_small_one_is_resampled():
  heat = HEAT.copy()
  heat[0, 1, 1] = np.nan
  found = deletion_insertion(total, X, 1, heat, value='score')
  assert np.isnan(found.deletion[0]).all() and np.isnan(found.insertion_auc[0])
  assert np.isfinite(found.deletion[1]).all()
  corner = np.array([[[4.0, 3], [2, 1]]]).repeat(2, 0)
  small = deletion_insertion(one_pixel, X, 1, corner, pixels=1, value='score')
  assert (np.asarray(small.deletion[0]) > 0).sum() > 12  # Pixel (2, 3) is among the last.


def test_rises_blur_is_that_of_its_code():
  """Which filters a delta by scipy within a window of 11 x 11, and then convolves with that."""
  delta = np.zeros((WINDOW, WINDOW))
  delta[5, 5] = 1
  kernel = ndimage.gaussian_filter(delta, 5)
  np.testing.assert_allclose(np.outer(window_taps(), window_taps()), kernel, rtol=1e-6)
  x = RANDOM.randn(1, 13, 20, 2).astype(np.float32)
  expected = ndimage.convolve(x, kernel[None, ..., None], mode='constant')
  np.testing.assert_allclose(window_blur(jnp.asarray(x)), expected, atol=1e-6)


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    ({'heatmaps': HEAT[:1]}, r'heatmaps must be of shape \(2, h, w\), not \(1, 4, 5\)'),
    ({'pixels': 0}, 'pixels must be a whole number, at least 1'),
    ({'deletion_fill': 'gray'}, 'deletion_fill must be one of constant, blur, road'),
    ({'insertion_fill': np.zeros(7)}, r'insertion_fill must broadcast to \(2, 4, 5, 3\)'),
    ({'fade_to': (0.0, 1.0)}, 'fade_to must be one value or 3'),
    ({'ties': 'last'}, 'ties must be one of reading, random'),
  ],
)
def test_what_does_not_fit_is_named(changed, message):
  with pytest.raises(UserError, match=message):
    deletion_insertion(total, **{'x': X, 'target': 0, 'heatmaps': HEAT} | changed)
