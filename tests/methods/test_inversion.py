"""Optimised images: the parameterisation, the views, and what is reached."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.methods.inversion import (
  activation_maximisation,
  caricature,
  feature_inversion,
  pixel_inversion,
)
from perturb.ops.fourier import COLOURS, images_of, random_spectra
from perturb.ops.views import random_view, view
from tests.small_net import IMAGES, small_net


def test_an_empty_spectrum_is_grey():
  spectra = jnp.zeros((2, 8, 6, 3, 2))
  np.testing.assert_allclose(images_of(spectra, (8, 10)), 0.5)


def test_a_parameter_is_a_wave_weighed_by_its_frequency():
  size = (16, 16)
  amplitude = {}
  for frequency in (1, 4):
    spectra = jnp.zeros((1, 16, 9, 3, 2)).at[0, 0, frequency, 0, 0].set(1e-3)
    values = np.asarray(jax.scipy.special.logit(images_of(spectra, size)))[0]
    wave = np.cos(2 * np.pi * frequency * np.arange(16) / 16)
    amplitude[frequency] = values[0, 0, 0]
    np.testing.assert_allclose(
      values[:, :, 0], values[0, 0, 0] * wave[None] + 0 * values[:, :, 0], atol=1e-5
    )
    # The first of the decorrelated colours is brightness.
    np.testing.assert_allclose(
      values[0, 0] / values[0, 0, 0], COLOURS[:, 0] / COLOURS[0, 0], rtol=1e-2
    )
  np.testing.assert_allclose(amplitude[1] / amplitude[4], 4, rtol=1e-2)


def test_random_spectra_depend_on_the_key_and_give_valid_images():
  images = images_of(random_spectra(jax.random.key(1), 2, (9, 12)), (9, 12))
  assert images.shape == (2, 9, 12, 3)
  assert 0 < float(images.min()) < float(images.max()) < 1


def still(**changes):
  settings = {'shift': jnp.zeros(2), 'scale': jnp.ones(()), 'angle': jnp.zeros(())}
  return view(jnp.asarray(IMAGES), **settings | changes)


def test_views():
  x = jnp.asarray(IMAGES)
  np.testing.assert_allclose(still(), x, atol=1e-6)
  shifted = still(shift=jnp.array([2.0, -3.0]))
  np.testing.assert_allclose(shifted[:, 2:, :-3], x[:, :-2, 3:], atol=1e-6)
  np.testing.assert_allclose(shifted[:, :2], 0.5, atol=1e-6)  # Grey outside.
  turned = still(angle=jnp.pi / 2)
  np.testing.assert_allclose(turned, jnp.rot90(x, axes=(1, 2)), atol=1e-4)
  half = still(scale=jnp.array(0.5))
  np.testing.assert_allclose(half[:, :7], 0.5, atol=1e-6)
  mean = np.asarray(x).reshape(2, 16, 2, 16, 2, 3).mean((2, 4))
  np.testing.assert_allclose(half[:, 8:24, 8:24], mean, atol=1e-4)
  same = [random_view(jax.random.key(3), x) for _ in range(2)]
  np.testing.assert_array_equal(*same)


def test_inverting_the_input_gives_the_image_back_up_to_contrast():
  wanted = IMAGES - 0.5
  result = feature_inversion(
    small_net(), wanted, 'input', steps=200, learning_rate=0.3, decay=0.0, robust=False
  )
  found = np.asarray(result.images)
  assert ((found > 0.5) == (wanted > 0)).mean() > 0.9
  assert (result.values[:, -1] > result.values[:, 0]).all()


def test_an_inversion_climbs_and_does_not_depend_on_what_it_is_batched_with():
  net = small_net()
  activations = net.activations(IMAGES, ['relu2'])['relu2']
  both = feature_inversion(net, activations, 'relu2', steps=20)
  alone = feature_inversion(net, activations[1:], 'relu2', steps=20)
  np.testing.assert_allclose(both.images[1], alone.images[0], atol=1e-3)
  assert (both.values[:, -3:].mean(1) > both.values[:, :3].mean(1)).all()
  closer = caricature(net, IMAGES, 'relu2', power=2.0, steps=20, robust=False)
  assert closer.images.shape == (2, 32, 32, 3)


def test_a_maximised_channel_is_stronger_than_in_any_image():
  net = small_net()
  result = activation_maximisation(net, 'relu3', [2, 5], steps=60, robust=False)
  reached = net.activations(result.images, ['relu3'])['relu3'].mean((1, 2))
  usual = net.activations(IMAGES, ['relu3'])['relu3'].mean((1, 2))
  assert reached[0, 2] > usual[:, 2].max() and reached[1, 5] > usual[:, 5].max()
  logits = activation_maximisation(net, 'fc', [3], steps=60, robust=False)
  assert net(logits.images)[0, 3] > net(IMAGES)[:, 3].max()


def test_pixels_that_give_the_same_features():
  net = small_net()
  result = pixel_inversion(net, IMAGES, 'relu1', steps=100, learning_rate=5.0)
  losses = np.asarray(result.values)
  assert (losses[:, -1] < 0.1 * losses[:, 0]).all()
  found, wanted = (net.activations(x, ['relu1'])['relu1'] for x in (result.images, IMAGES))
  assert jnp.square(found - wanted).sum() < 0.1 * jnp.square(wanted).sum()


def test_errors():
  net = small_net()
  with pytest.raises(UserError, match=r'activations must be \[N, 16, 16, 12\] at relu2'):
    feature_inversion(net, np.zeros((1, 16, 16, 11)), 'relu2')
  with pytest.raises(UserError, match='relu3 has channels 0 to 9, not 10'):
    activation_maximisation(net, 'relu3', [10])
