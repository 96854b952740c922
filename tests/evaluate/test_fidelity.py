"""Infidelity: closed forms, Captum's numbers."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.fidelity import infidelity, random_square
from tests import fixtures
from tests.small_net import IMAGES, TARGETS, small_net

RECORDED = pathlib.Path(__file__).parents[1] / 'recorded' / 'metrics.npz'
X = np.random.RandomState(0).randn(2, 8, 10, 3).astype(np.float32)
WEIGHTS = np.random.RandomState(1).randn(8, 10, 3).astype(np.float32)


def linear(x):
  score = (x * WEIGHTS).sum((1, 2, 3))
  return jnp.stack([score, -score], 1)


def gradients(net):
  return jax.jit(jax.grad(lambda x: net(x)[np.arange(2), TARGETS].sum()))(IMAGES)


@pytest.mark.parametrize('normalise', [False, True])
def test_it_is_captums_for_the_same_perturbations(normalise):
  net, recorded = small_net(), np.load(RECORDED)
  gradient = gradients(net)
  options = {'normalise': normalise, 'value': 'score'}
  found = infidelity(
    net, IMAGES, TARGETS, gradient, perturbations=fixtures.metric_noise(), **options
  )
  np.testing.assert_allclose(found, recorded[f'infidelity_noise{normalise:d}'], rtol=1e-4)
  heat = (gradient * IMAGES).sum(-1)
  found = infidelity(net, IMAGES, TARGETS, heat, perturbations=fixtures.metric_masks(), **options)
  np.testing.assert_allclose(found, recorded[f'infidelity_masks{normalise:d}'], rtol=1e-4)


@pytest.mark.parametrize('fill', [0.0, 0.5])
def test_attributions_of_a_linear_model_foretell_every_change(fill):
  heat = (WEIGHTS * (X - fill)).sum(-1)
  options = {'samples': 6, 'fill': fill}
  for phi, target in ((heat, 0), (-heat, 1), (np.stack([WEIGHTS] * 2), 0)):
    np.testing.assert_allclose(infidelity(linear, X, target, phi, **options), 0, atol=1e-7)
    plain = infidelity(linear, X, target, phi, normalise=False, **options)
    np.testing.assert_allclose(plain, 0, atol=1e-7)
  # Of another scale they do so once they are scaled.
  np.testing.assert_allclose(infidelity(linear, X, 0, 7 * heat, **options), 0, atol=1e-7)
  assert (infidelity(linear, X, 0, 7 * heat, normalise=False, **options) > 1).all()
  assert (infidelity(linear, X, 0, heat[:, ::-1], **options) > 1).all()


def test_attributions_of_zero_leave_the_mean_square_of_the_change():
  masks = (np.random.RandomState(2).rand(4, 2, 8, 10) < 0.5).astype(np.float32)
  changes = (masks[..., None] * X * WEIGHTS).sum((2, 3, 4))
  for normalise in (False, True):
    found = infidelity(linear, X, 0, np.zeros((2, 8, 10)), perturbations=masks, normalise=normalise)
    np.testing.assert_allclose(found, (changes**2).mean(0), rtol=1e-4)


def test_squares_lie_anywhere_within_the_image():
  keys = jax.random.split(jax.random.key(0), 300)
  squares = np.asarray(jax.jit(jax.vmap(lambda k: random_square(k, (4, 5), 3)))(keys))
  np.testing.assert_array_equal(squares.sum((1, 2)), 9)
  corners = {divmod(int(s.argmax()), 5) for s in squares}
  assert corners == {(row, column) for row in range(2) for column in range(3)}


def test_an_image_does_not_depend_on_its_batch_or_chunk_or_on_a_trace():
  heat = np.random.RandomState(3).rand(2, 8, 10).astype(np.float32)

  def play(x, heat, chunk):
    return infidelity(linear, x, 1, heat, samples=6, key=4, chunk=chunk)

  together = play(X, heat, 14)
  for other in (play(X[1:], heat[1:], 3), jax.jit(play, static_argnums=2)(X[1:], heat[1:], 3)):
    np.testing.assert_allclose(other, together[1:], rtol=1e-4)
  each = jax.vmap(lambda x, heat: play(x[None], heat[None], 14))(X, heat)
  np.testing.assert_allclose(each[:, 0], together, rtol=1e-4)
  with jax.enable_x64(True):
    double = play(X.astype(float), heat.astype(float), 14)
  assert double.dtype == np.float32
  np.testing.assert_allclose(double, together, rtol=1e-4)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'attributions': X[..., :2]},
      r'attributions must be of shape \(2, 8, 10\) or \(2, 8, 10, 3\)',
    ),
    (
      {'perturbations': X},
      r"perturbations must be of shape \('S', 2, 8, 10\), not \(2, 8, 10, 3\)",
    ),
    ({'perturbations': X[None]}, r"perturbations must be of shape \('S', 2, 8, 10\), not"),
    ({'size': 9}, 'size must be at most 8'),
    ({'value': 'logit'}, 'value must be one of score, probability'),
  ],
)
def test_what_does_not_fit_is_named(options, message):
  with pytest.raises(UserError, match=message):
    infidelity(linear, **{'x': X, 'target': 0, 'attributions': X[..., 0]} | options)
