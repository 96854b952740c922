"""SmoothGrad, integrated and expected gradients on functions whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np

from perturb.methods.averaged_gradients import expected_gradients, integrated_gradients, smooth_grad
from perturb.methods.backprop import gradient, gradient_sum
from tests.small_net import IMAGES, TARGETS, small_net


def power(exponent):
  """The sum of each channel's powers, as three classes."""
  return lambda x: (x**exponent).sum((1, 2))


def test_no_noise_is_the_gradient():
  net = small_net()
  np.testing.assert_allclose(
    smooth_grad(net, IMAGES, TARGETS, samples=2, noise=0.0),
    gradient(net, IMAGES, TARGETS),
    rtol=1e-4,
  )


def test_smooth_grad_is_a_mean_of_noisy_gradients():
  x = IMAGES
  draws = 4000
  heat = smooth_grad(power(3), x, 1, samples=draws, noise=0.2, aggregate='sum', chunk=50)
  sigma = 0.2 * (x.max((1, 2, 3), keepdims=True) - x.min((1, 2, 3), keepdims=True))
  # E 3 (x + n)^2 = 3 x^2 + 3 sigma^2
  expected = (3 * x**2 + 3 * sigma**2)[..., 1]
  np.testing.assert_allclose(heat, expected, atol=5 * 6 * 0.2 / np.sqrt(draws))
  plain = gradient_sum(power(3), x, 1)
  assert np.abs(np.asarray(heat - expected).mean()) < 0.1 * np.abs(np.asarray(heat - plain).mean())


def test_integrated_gradients_of_a_polynomial_are_exact():
  heat = integrated_gradients(power(3), IMAGES, 2, steps=2)
  np.testing.assert_allclose(heat, IMAGES[..., 2] ** 3, rtol=1e-5, atol=1e-6)
  heat = integrated_gradients(power(3), IMAGES, 2, baseline=0.5, steps=2)
  np.testing.assert_allclose(heat, IMAGES[..., 2] ** 3 - 0.125, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_sum_to_the_difference_of_the_scores():
  net = small_net()
  heat = integrated_gradients(
    net, IMAGES, TARGETS, steps=200, baseline=IMAGES.mean((1, 2), keepdims=True)
  )
  ends = [
    np.asarray(net(x))[[0, 1], TARGETS]
    for x in (IMAGES, np.broadcast_to(IMAGES.mean((1, 2), keepdims=True), IMAGES.shape))
  ]
  np.testing.assert_allclose(heat.sum((1, 2)), ends[0] - ends[1], rtol=0.02)


def test_expected_gradients_average_over_the_references():
  references = np.random.RandomState(0).rand(3, 32, 32, 3).astype(np.float32)
  draws = 3000
  heat = expected_gradients(power(2), IMAGES, 0, references, samples=draws, chunk=50)
  expected = IMAGES[..., 0] ** 2 - (references[..., 0] ** 2).mean(0)
  np.testing.assert_allclose(heat, expected, atol=5 / np.sqrt(draws))


def test_the_key_decides():
  call = lambda seed: smooth_grad(small_net(), IMAGES, 0, samples=2, key=jax.random.key(seed))  # noqa: E731
  np.testing.assert_array_equal(call(1), call(1))
  assert not jnp.array_equal(call(1), call(2))
