"""An epoch: what it trains on, and that bytes and numbers are the same pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb import nets
from perturb.data.digits import load_digits
from perturb.training import epochs

MEMBERS = np.array([1, 2, 5, 7, 8, 11])  # Of twelve.


@pytest.fixture(scope='module')
def trained():
  """A function of twelve images that returns the parameters after an epoch, and the loss."""
  net = nets.load('mnist', 'random')
  rule = epochs.optimiser(1e-2, 2)
  epoch, start = epochs.make_epoch(net, rule, 3), epochs.start(net, rule)

  def train(images):
    labels = jnp.asarray(np.arange(12) % 10)
    state, loss = epoch(start, jnp.asarray(images), labels, jnp.asarray(MEMBERS), jax.random.key(0))
    return state.params, loss

  return train


def test_bytes_are_trained_on_as_preprocessed_images_are(trained):
  net, images = nets.load('mnist', 'random'), load_digits().images[::420]
  params, loss = trained(images)
  expected, expected_loss = trained(net.preprocess(images))
  np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), params, expected)


def test_an_epoch_sees_its_members_alone(trained):
  images = load_digits().images[::420].copy()
  params, loss = trained(images)
  images[np.setdiff1d(np.arange(12), MEMBERS)] = 255
  again, same_loss = trained(images)
  assert loss == same_loss
  jax.tree.map(np.testing.assert_array_equal, params, again)
  images[MEMBERS[3]] = 255
  assert trained(images)[1] != loss


def test_predictions_are_those_of_the_members_in_their_order():
  net, images = nets.load('mnist', 'random'), load_digits().images[::420]
  every = np.asarray(net(net.preprocess(images))).argmax(-1)
  found = epochs.predictions(net, jnp.asarray(images), jnp.asarray(MEMBERS[::-1]))
  np.testing.assert_array_equal(found, every[MEMBERS[::-1]])
