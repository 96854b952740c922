"""Class sensitivity and max-sensitivity: known maps, Captum's numbers."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import perturb
from perturb.errors import UserError
from perturb.evaluate.sensitivity import class_sensitivity, max_sensitivity
from perturb.ops.heatmaps import spearman
from tests import fixtures
from tests.small_net import IMAGES, TARGETS, small_net

RECORDED = pathlib.Path(__file__).parents[1] / 'recorded' / 'metrics.npz'
X = np.random.RandomState(0).randn(3, 6, 7, 4).astype(np.float32)


def mean_of_channel(x):
  return x.mean((1, 2))


def the_channel(f, x, target):  # noqa: ARG001
  """The image's channel of the target, as a heatmap."""
  return jnp.take_along_axis(x, jnp.broadcast_to(target, x.shape[0])[:, None, None, None], 3)[
    ..., 0
  ]


def constant(f, x, target):  # noqa: ARG001
  return jnp.ones(x.shape[:3])


def edges(f, x, target):  # noqa: ARG001
  """A heatmap that asks neither the network nor the class."""
  return jnp.abs(jnp.diff(x.mean(3), axis=2, append=0))


def test_rank_correlation_is_scipys_ties_included():
  a = np.random.RandomState(1).randint(0, 5, (3, 6, 7)).astype(np.float32)
  b = a + np.random.RandomState(2).randint(0, 9, (3, 6, 7))
  found = spearman(jnp.asarray(a), jnp.asarray(b))
  expected = [
    stats.spearmanr(*pair).statistic
    for pair in zip(a.reshape(3, -1), b.reshape(3, -1), strict=True)
  ]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_maps_compared_are_those_of_the_likeliest_and_the_least_likely_class():
  found = class_sensitivity(the_channel, mean_of_channel, X)
  scores = X.mean((1, 2))
  np.testing.assert_array_equal(found.likeliest, scores.argmax(1))
  np.testing.assert_array_equal(found.least_likely, scores.argmin(1))
  rows = np.arange(3)
  np.testing.assert_array_equal(found.heatmaps[0], X[rows, ..., scores.argmax(1)])
  for image in rows:
    pair = [X[image, ..., c[image]].ravel() for c in (scores.argmax(1), scores.argmin(1))]
    np.testing.assert_allclose(
      found.correlation[image], stats.spearmanr(*pair).statistic, rtol=1e-5, atol=1e-6
    )


def test_a_map_that_does_not_ask_for_the_class_correlates_wholly():
  np.testing.assert_allclose(
    class_sensitivity(edges, small_net(), IMAGES).correlation, 1, rtol=1e-6
  )


def test_absolute_maps_and_maps_of_another_size():
  def signed(f, x, target):
    return the_channel(f, x, 0) * jnp.where(target == 1, 1, -1)[:, None, None]

  def two_classes(x):
    return jnp.stack([x[..., 0].mean((1, 2)) * 0, x[..., 0].mean((1, 2)) * 0 + 1], 1)

  found = class_sensitivity(signed, two_classes, X)
  np.testing.assert_allclose(found.correlation, -1, rtol=1e-6)
  found = class_sensitivity(signed, two_classes, X, absolute=True)
  np.testing.assert_allclose(found.correlation, 1, rtol=1e-6)
  net = small_net()
  small = class_sensitivity(perturb.linear_approximation, net, IMAGES, layer='relu3')
  assert small.heatmaps.shape == (2, 2, 32, 32)
  assert np.isnan(class_sensitivity(constant, mean_of_channel, X).correlation).all()


def test_max_sensitivity_is_captums_for_the_same_noise():
  expected = np.load(RECORDED)['max_sensitivity']
  given = {'noise': fixtures.metric_noise()}
  found = max_sensitivity(perturb.gradient, small_net(), IMAGES, TARGETS, **given)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  chunks = max_sensitivity(
    perturb.gradient, small_net(), IMAGES[1:], 3, noise=given['noise'][:, 1:], chunk=4
  )
  np.testing.assert_allclose(chunks, expected[1:], rtol=1e-5)


def test_max_sensitivity_in_closed_form():
  """A map that is the image itself moves as far as the noise; a constant one does not move."""
  noise = np.zeros((2, 3, 6, 7, 4), np.float32)
  noise[0, :, 2, 3], noise[1, :, 4, 5] = 0.5, -3
  found = max_sensitivity(the_channel, mean_of_channel, X, 2, noise=noise)
  np.testing.assert_allclose(found, 3 / np.linalg.norm(X[..., 2].reshape(3, -1), axis=1), rtol=1e-5)
  still = max_sensitivity(constant, mean_of_channel, X, 2)
  np.testing.assert_array_equal(still, 0)
  empty = max_sensitivity(the_channel, mean_of_channel, X * 0, 2, noise=noise)
  np.testing.assert_allclose(empty, 3, rtol=1e-6)  # A norm of zero counts as 1.


def test_noise_that_is_drawn_stays_in_its_ball_and_grows_with_it():
  def most(radius, **options):
    """Of one pixel the change is |delta|, at most the radius."""
    one = np.ones((2, 1, 1, 4), np.float32)
    return max_sensitivity(the_channel, mean_of_channel, one, 1, radius=radius, **options)

  few, many = most(0.1, samples=2), most(0.1, samples=200)
  assert (few < many).all() and (many <= 0.1).all() and (many > 0.095).all()
  np.testing.assert_allclose(most(0.2, samples=200), 2 * many, rtol=1e-4)
  assert most(0.1, key=1)[0] != most(0.1)[0] == most(0.1)[1]
  one = jax.jit(lambda x: max_sensitivity(the_channel, mean_of_channel, x, 1))
  np.testing.assert_allclose(one(X[:1])[0], jax.vmap(lambda x: one(x[None])[0])(X)[0], rtol=1e-5)
  with jax.enable_x64(True):
    double = most(0.1)
  assert double.dtype == np.float32
  np.testing.assert_allclose(double, most(0.1), rtol=1e-5)


def test_what_does_not_fit_is_named():
  with pytest.raises(UserError, match=r'noise must be of shape \(S, \*\(3, 6, 7, 4\)\)'):
    max_sensitivity(the_channel, mean_of_channel, X, 2, noise=np.zeros((3, 6, 7, 4)))
  with pytest.raises(UserError, match='radius must be a number, above 0'):
    max_sensitivity(the_channel, mean_of_channel, X, 2, radius=0.0)
  with pytest.raises(UserError, match='f must return'):
    class_sensitivity(the_channel, lambda x: x[0], X)
