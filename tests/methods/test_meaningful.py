"""Meaningful perturbations: the properties of their parts, and planted evidence."""

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageFilter
import pytest

from perturb.errors import UserError
from perturb.methods.meaningful import (
  jittered,
  meaningful_perturbation,
  pillow_blur_matrix,
)
from perturb.ops.masks import total_variation
from perturb.ops.perturbations import blur, fade_pyramid, perturb
from tests.small_net import IMAGES, TARGETS, small_net

SIZE = 48


def patch_reader(x):
  """The contrast within rows 16-31 and columns 24-39 decides between two classes."""
  part = x[:, 16:32, 24:40]
  score = 40 * part.var((1, 2, 3))
  return jnp.stack([score, jnp.full_like(score, 3.0)], -1)


def picture():
  """Blocks of 4 pixels, so that it takes some blur to hide them."""
  blocks = np.random.RandomState(0).randn(1, SIZE // 4, SIZE // 4, 3).astype(np.float32) * 0.5
  return blocks.repeat(4, 1).repeat(4, 2)


def solve(**options):
  defaults = {'iterations': 60, 'sigma_max': 6.0, 'jitter': 1, 'start': 'ones'}
  return meaningful_perturbation(patch_reader, picture(), 0, **defaults | options)


def test_the_slope_of_a_linear_function_is_what_deleting_costs():
  x = jnp.asarray(picture()[0])
  weights = jnp.asarray(np.random.RandomState(1).randn(*x.shape), jnp.float32)
  null = blur(x, 5.0)
  slope = jax.grad(lambda m: (weights * perturb(fade_pyramid(x, value=null), m)).sum())(
    jnp.ones(x.shape[:2])
  )
  np.testing.assert_allclose(slope, (weights * (x - null)).sum(-1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('beta', [1.5, 2.0, 3.0])
def test_the_gradient_of_total_variation(beta):
  m = jnp.asarray(np.random.RandomState(0).rand(6, 7), jnp.float32)
  slope = np.asarray(jax.grad(lambda v: total_variation(v, beta))(m))
  for i, j in ((0, 0), (3, 2), (5, 6), (5, 0)):
    step = jnp.zeros_like(m).at[i, j].set(3e-3)
    rise = (total_variation(m + step, beta) - total_variation(m - step, beta)) / 6e-3
    np.testing.assert_allclose(slope[i, j], rise, atol=5e-3)
  if beta == 2:  # Twice the Laplacian of the grid's graph.
    padded = np.pad(np.asarray(m), 1, mode='edge')
    neighbours = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    np.testing.assert_allclose(slope, 2 * (4 * np.asarray(m) - neighbours), atol=1e-4)
  assert np.isfinite(jax.grad(lambda v: total_variation(v, beta))(jnp.ones((4, 4)))).all()


def test_a_high_price_of_deletion_keeps_everything():
  result = solve(l1=1e3, start='random')
  np.testing.assert_array_equal(result.parameters, 1)
  np.testing.assert_allclose(result.scores, result.full_scores, rtol=1e-5)
  kept_nothing = solve(l1=1e3, game='preserve')
  np.testing.assert_array_equal(kept_nothing.parameters, 0)
  np.testing.assert_allclose(kept_nothing.scores, kept_nothing.blank_scores, rtol=1e-4)


def test_without_a_price_nothing_moves_for_a_model_that_sees_nothing():
  start = np.full((1, 6, 6), 0.3, np.float32)
  blind = lambda x: jnp.zeros((x.shape[0], 2)) + 0 * x.sum()  # noqa: E731
  result = meaningful_perturbation(blind, picture(), 0, l1=0.0, start=start, iterations=5)
  np.testing.assert_array_equal(result.parameters, start)


@pytest.mark.parametrize('mode', ['paper', 'released'])
def test_jitter_is_a_slice_of_a_larger_image(mode):
  pyramids = fade_pyramid(jnp.asarray(picture()))
  shape = (1, 2, SIZE + 4, SIZE + 4, 3)
  larger = {
    'paper': jnp.pad(pyramids, ((0, 0), (0, 0), (1, 2), (1, 2), (0, 0)), mode='edge'),
    'released': jax.image.resize(pyramids, shape, 'linear', antialias=False),
  }[mode]
  seen = jittered(pyramids, jnp.array([2, 3]), 4, mode)
  np.testing.assert_array_equal(seen, larger[..., 2 : 2 + SIZE, 3 : 3 + SIZE, :])
  if mode == 'paper':
    np.testing.assert_array_equal(jittered(pyramids, jnp.array([1, 1]), 4, mode), pyramids)


@pytest.mark.parametrize('sigma', [2, 5, 10])
def test_pillows_blur_as_a_matrix(sigma):
  image = np.random.RandomState(0).randint(0, 256, (60, 80)).astype(np.uint8)
  blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)), float)
  rows, columns = pillow_blur_matrix(60, sigma), pillow_blur_matrix(80, sigma)
  # Pillow rounds after each of its passes.
  assert np.abs(rows @ image @ columns.T - blurred).max() < 1.6


@pytest.mark.parametrize('mode', ['paper', 'released'])
@pytest.mark.parametrize('start', ['circle', 'random'])
def test_deletion_finds_planted_evidence(mode, start):
  result = solve(mode=mode, start=start, l1=2e-3, iterations=150)
  heat = np.asarray(result.heatmap[0])
  inside = heat[18:30, 26:38].mean()
  far = heat[:, :8].mean()
  assert result.scores[0] < 0.2 < 0.9 < result.full_scores[0]
  assert inside > 0.5 and far < 0.1
  np.testing.assert_allclose(result.heatmap, 1 - result.masks, atol=1e-6)


def test_preservation_keeps_planted_evidence():
  result = solve(game='preserve', l1=2e-3, iterations=150)
  heat = np.asarray(result.heatmap[0])
  assert result.scores[0] > 0.8
  assert heat[20:28, 28:36].mean() > 0.8 and heat[:, :4].mean() < 0.2
  np.testing.assert_array_equal(result.heatmap, result.masks)


def test_released_masks_take_256_values():
  masks = np.asarray(solve(mode='released', start='random', iterations=2).masks)
  np.testing.assert_allclose(masks * 255, np.round(masks * 255), atol=1e-3)


def test_the_circle_is_the_smallest_that_suffices():
  def central(x):
    score = 40 * x[:, 16:32, 16:32].var((1, 2, 3))
    return jnp.stack([score, jnp.full_like(score, 3.0)], -1)

  result = meaningful_perturbation(
    central, picture(), 0, iterations=1, learning_rate=0.0, sigma_max=6.0
  )
  heat = 1 - np.asarray(result.parameters[0])
  assert heat[2:4, 2:4].min() > 0.5  # The middle is deleted,
  assert heat[0].max() < 0.1 and heat[:, -1].max() < 0.1  # and not much else.


@pytest.mark.parametrize(
  'options',
  [
    {'perturbation': 'constant'},
    {'perturbation': 'noise'},
    {'perturbation': ('blur', 'constant', 'noise')},
    {'objective': 'top5'},
    {'objective': 'score'},
    {'jitter': 4},
  ],
)
def test_variants_run_and_lower_their_loss(options):
  result = meaningful_perturbation(
    small_net(), IMAGES, TARGETS, iterations=10, step=4, start='ones', **options
  )
  losses = np.asarray(result.losses)
  assert np.isfinite(losses).all()
  assert losses.shape == (2, 10)
  if options != {'perturbation': 'noise'}:
    assert (losses[:, -1] <= losses[:, 0] + 1e-3).all()


def test_errors():
  for options, match in (
    ({'mode': 'torchray'}, 'mode must be one of paper, released'),
    ({'perturbation': 'fade'}, 'perturbation must be one of blur, constant, noise'),
    ({'start': 'square'}, 'start must be one of'),
    ({'start': np.zeros((3, 3))}, r'start must have the shape \(1, 6, 6\)'),
    ({'iterations': 0}, 'iterations must be a whole number, at least 1'),
  ):
    with pytest.raises(UserError, match=match):
      solve(**options)


def test_each_mode_has_its_own_start():
  """The released code starts at random unless a circle is asked for, which is then stretched."""
  options = {'iterations': 1, 'learning_rate': 0.0, 'start': None}
  first = {mode: solve(mode=mode, **options).parameters for mode in ('paper', 'released')}
  for mode, name in (('paper', 'circle'), ('released', 'random')):
    named = solve(mode=mode, **options | {'start': name}).parameters
    np.testing.assert_array_equal(named, first[mode])
  stretched = solve(mode='released', **options | {'start': 'circle'}).parameters
  np.testing.assert_array_equal([stretched.min(), stretched.max()], [0, 1])


def test_the_circle_is_the_largest_where_the_class_is_not_in_the_image():
  def absent(x):
    return patch_reader(x)[:, ::-1]

  found = meaningful_perturbation(
    absent, picture(), 0, start='circle', iterations=1, learning_rate=0.0
  )
  assert found.full_scores < found.blank_scores
  assert found.parameters.max() < 0.5  # Nearly all is deleted.
