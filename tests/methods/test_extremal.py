"""Extremal perturbations: functions whose optimum is known, areas, settings."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.base import class_scores
from perturb.errors import UserError
from perturb.methods.extremal import (
  check_areas,
  extremal_perturbation,
  render_masks,
  settings_of,
)
from perturb.methods.extremal_reward import contrast
from perturb.methods.extremal_solvers import MODES, Penalised, area_weight
from perturb.ops.area import binarise
from perturb.ops.perturbations import blur_pyramid, perturb
from tests.methods.test_torchray import small_network
from tests.small_net import small_net

SIZE = 48
AREAS = (0.1, 0.25)


def bump(centre, radius=9.0, size=(SIZE, SIZE)):
  """A smooth field whose level sets are discs."""
  rows, columns = np.mgrid[: size[0], : size[1]]
  squared = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
  return jnp.asarray(np.exp(-squared / (2 * radius**2)), jnp.float32)


WEIGHTS = jnp.stack([bump((20, 27)), bump((36, 12))], axis=-1)


def linear(x):
  """Phi_k(x) = sum_u w_k(u) x(u): with x = 1 and a fade, sum_u w_k(u) m(u)."""
  return jnp.einsum('nhwc,hwk->nk', x, WEIGHTS)


ONES = jnp.ones((SIZE, SIZE, 1))


def overlap(a, b):
  return jnp.sum((a > 0.5) & (b > 0.5)) / jnp.sum((a > 0.5) | (b > 0.5))


@functools.cache
def solved(mode, game='preserve'):
  short = {
    'fast': {},
    'robust': {'mirror': False},
    'paper': {'iterations': 400, 'step': 2},
    'torchray': {'step': 2},
  }[mode]
  return extremal_perturbation(
    linear, ONES, 0, AREAS, mode=mode, game=game, perturbation='fade', **short
  )


@pytest.mark.parametrize('mode', list(MODES))
def test_the_optimum_of_a_linear_network_is_its_largest_weights(mode):
  result = solved(mode)
  weights = WEIGHTS[..., 0]
  if mode == 'torchray':  # Every other step sees the mirrored image.
    weights = weights + weights[:, ::-1]
  for i, area in enumerate(AREAS):
    optimum = binarise(weights[None], jnp.array([area]))[0]
    mask = binarise(result.masks[0, i][None], jnp.array([area]))[0]
    assert overlap(mask, optimum) > 0.8, (mode, area)


@pytest.mark.parametrize('game', ['delete', 'hybrid'])
def test_for_a_linear_network_every_game_has_the_same_optimum(game):
  for mask, expected in zip(solved('fast', game).masks[0], solved('fast').masks[0], strict=True):
    assert overlap(mask, expected) > 0.9


def test_scores_are_those_of_the_returned_masks():
  result = extremal_perturbation(small_network, jnp.ones((20, 24, 3)), 2, AREAS, iterations=5)
  levels = blur_pyramid(jnp.ones((20, 24, 3)))
  for i in range(2):
    mask = result.masks[0, i][None]
    np.testing.assert_allclose(
      result.scores[0, i], small_network(perturb(levels, mask))[0, 2], rtol=1e-5
    )
    np.testing.assert_allclose(
      result.deleted_scores[0, i], small_network(perturb(levels, 1 - mask))[0, 2], rtol=1e-5
    )
  np.testing.assert_allclose(
    result.full_score, small_network(jnp.ones((1, 20, 24, 3)))[:, 2], rtol=1e-5
  )
  np.testing.assert_allclose(result.blank_score, small_network(levels[:1])[:, 2], rtol=1e-5)


IMAGES = jnp.asarray(np.random.RandomState(5).randn(3, 40, 30, 3), jnp.float32)


@pytest.mark.parametrize('game', ['preserve', 'delete', 'hybrid'])
def test_the_area_got_is_the_area_asked(game):
  areas = (0.02, 0.1, 0.5, 0.95)
  result = extremal_perturbation(small_network, IMAGES, [0, 1, 4], areas, game=game, iterations=20)
  np.testing.assert_allclose(result.mean_area, np.broadcast_to(areas, (3, 4)), atol=0.005)
  np.testing.assert_allclose(result.share_area, np.broadcast_to(areas, (3, 4)), atol=0.005)
  np.testing.assert_allclose(result.mean_area, result.masks.mean((2, 3)), atol=1e-6)
  assert result.masks.min() >= 0 and result.masks.max() <= 1


def test_the_area_is_met_even_where_the_network_ignores_the_image():
  result = extremal_perturbation(lambda x: x.sum((1, 2)) * 0, IMAGES[:1], 0, (0.1,), iterations=3)
  assert abs(result.mean_area - 0.1).max() < 0.005
  assert abs(result.share_area - 0.1).max() < 0.005


def test_a_batch_gives_what_its_images_and_areas_give_alone():
  together = extremal_perturbation(small_network, IMAGES, [0, 1, 2], AREAS, iterations=10, chunk=4)
  for i in range(3):
    for j, area in enumerate(AREAS):
      alone = extremal_perturbation(small_network, IMAGES[i], i, (area,), iterations=10)
      np.testing.assert_allclose(together.masks[i, j], alone.masks[0, 0], atol=2e-2)
      np.testing.assert_allclose(together.scores[i, j], alone.scores[0, 0], rtol=2e-3)


def test_the_same_key_gives_the_same_bits():
  run = functools.partial(extremal_perturbation, small_network, IMAGES[:1], 3, AREAS, iterations=8)
  first, again = run(key=jax.random.key(1)), run(key=jax.random.key(1))
  for name, value in first._asdict().items():
    np.testing.assert_array_equal(value, getattr(again, name))
  assert (first.masks != run(key=jax.random.key(2)).masks).any()


def test_a_grey_image_a_map_and_a_channel_of_a_layer():
  def maps(x):
    return jnp.stack([x[..., 0] * WEIGHTS[..., 0], x[..., 0] * WEIGHTS[..., 1]], axis=-1)

  result = extremal_perturbation(maps, ONES, 1, (0.1,), perturbation='fade')
  optimum = binarise(WEIGHTS[None, ..., 1], jnp.array([0.1]))[0]
  assert overlap(result.masks[0, 0], optimum) > 0.85
  np.testing.assert_allclose(result.full_score, WEIGHTS[..., 1].mean(), rtol=1e-5)


def test_contrast_is_against_the_best_other_class():
  outputs = jnp.array([[1.0, 5.0, 3.0], [-200.0, -300.0, -500.0]])
  np.testing.assert_allclose(contrast(outputs, jnp.array([1, 1])), [2, -100])
  assert class_scores(outputs[:, None, None]).shape == (2, 3)
  result = extremal_perturbation(
    linear, ONES, 0, (0.1,), perturbation='fade', objective='contrastive'
  )
  optimum = binarise((WEIGHTS[..., 0] - WEIGHTS[..., 1])[None], jnp.array([0.1]))[0]
  assert overlap(result.masks[0, 0], optimum) > 0.8


def test_weights_in_a_callable_pytree_are_arguments():
  f = jax.tree_util.Partial(lambda w, x: jnp.einsum('nhwc,hwk->nk', x, w), WEIGHTS)
  result = extremal_perturbation(f, ONES, 0, AREAS, perturbation='fade')
  np.testing.assert_allclose(result.masks, solved('fast').masks, atol=1e-3)


def test_a_start_near_the_solution_needs_few_iterations():
  warm = extremal_perturbation(
    linear, ONES, 0, AREAS, perturbation='fade', iterations=2, start=solved('fast').parameters
  )
  cold = extremal_perturbation(linear, ONES, 0, AREAS, perturbation='fade', iterations=2)
  assert (warm.scores > cold.scores).all()


def test_the_schedules_of_lambda():
  paper, torchray = MODES['paper'], MODES['torchray']
  assert isinstance(paper, Penalised) and isinstance(torchray, Penalised)
  np.testing.assert_allclose(
    [area_weight(jnp.asarray(t), paper) for t in (0, 533, 534, 1066, 1067, 1599)],
    [300, 300, 600, 600, 1200, 1200],
  )
  assert float(area_weight(jnp.asarray(799), torchray)) == pytest.approx(
    300 * 1.0035**799, rel=1e-4
  )


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ({'areas': (0.1, 1.0)}, r'area 1\.0: an area is a fraction'),
    ({'areas': (0.0,)}, r'area 0\.0'),
    ({'areas': ()}, 'at least one'),
    ({'mode': 'fats'}, "mode 'fats' is not known; did you mean 'fast'"),
    ({'iteration': 3}, "no setting 'iteration'; did you mean 'iterations'"),
    ({'game': 'keep'}, "game must be one of preserve, delete, hybrid, not 'keep'"),
    ({'target': 2}, 'target 2: f has outputs 0 to 1'),
    ({'target': [0, 1]}, 'target must be one integer or 1'),
    ({'target': 0.5}, 'target must be one integer'),
    ({'x': jnp.ones((4, 4))}, r'x must be \[B, H, W, C\]'),
    ({'start': jnp.ones((3, 3))}, 'start must have the shape'),
    ({'fade_to': (0.0, 0.0)}, 'fade_to must be one value or 1'),
  ],
)
def test_a_wrong_argument_is_named(arguments, message):
  with pytest.raises(UserError, match=message):
    extremal_perturbation(**({'f': linear, 'x': ONES, 'target': 0} | arguments))


def test_settings_change_one_field_of_a_mode():
  assert settings_of('torchray', iterations=3).growth == 1.0035


@pytest.mark.parametrize('areas', [0.1, [0.1], np.array([0.1]), jnp.array([0.1])])
def test_areas_may_be_a_number_a_list_or_an_array(areas):
  assert check_areas(areas) == pytest.approx((0.1,))


@pytest.mark.parametrize('mode', ['fast', 'paper', 'torchray'])
def test_masks_are_rendered_again_to_the_last_bit(mode):
  net, areas = small_net(), (0.1, 0.3)
  x = np.random.RandomState(0).rand(3, 32, 32, 3).astype(np.float32)
  result = extremal_perturbation(net, x, 1, areas, mode=mode, iterations=3, chunk=4)
  masks = render_masks(result.parameters, areas, (32, 32), mode=mode, iterations=3, chunk=4)
  np.testing.assert_array_equal(masks, result.masks)
