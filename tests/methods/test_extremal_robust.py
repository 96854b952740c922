"""The robust mode: planted optima, chance, views, candidates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.methods.extremal import extremal_perturbation, other_regions, render_masks
from perturb.ops.area import binarise
from perturb.ops.augment import Ranges, random_view
from tests.methods.test_torchray import small_network
from tests.small_net import IMAGES as SQUARE
from tests.small_net import small_net

SIZE = 48
AREA = 0.1
ONES = jnp.ones((SIZE, SIZE, 1))
robust = functools.partial(extremal_perturbation, mode='robust', perturbation='fade')


def disc(row, column, radius=8.0):
  rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
  return jnp.asarray(np.hypot(rows - row, columns - column) < radius, jnp.float32)


def iou(a, b):
  a, b = (binarise(jnp.asarray(m)[None], jnp.array([AREA]))[0] for m in (a, b))
  return float(jnp.minimum(a, b).sum() / jnp.maximum(a, b).sum())


LEFT, RIGHT = disc(24, 12), disc(24, 36)


def best_of_two(x):
  """Either patch suffices; both are worth the same."""
  seen = [jnp.tanh(2 * (x[..., 0] * patch).sum((1, 2)) / patch.sum()) for patch in (LEFT, RIGHT)]
  return jnp.stack([jnp.maximum(*seen), -seen[0]], axis=-1)


def smooth_toy(x):
  """One smooth bump of evidence, saturating."""
  return jnp.tanh((x[..., 0] * disc(30, 20, 10)).sum((1, 2)) / 200)[:, None] * jnp.ones(2)


def test_of_two_equal_patches_one_is_found_the_same_one_each_time():
  run = functools.partial(robust, best_of_two, ONES, 0, (AREA,), mirror=False)
  first, again = run(), run()
  np.testing.assert_array_equal(first.masks, again.masks)
  kept = [float((first.masks[0, 0] * patch).sum() / patch.sum()) for patch in (LEFT, RIGHT)]
  assert max(kept) > 0.8
  assert float(first.scores[0, 0]) > 0.85 * float(first.full_score[0])


def test_seeds_agree_where_there_is_one_optimum():
  masks = [
    robust(smooth_toy, ONES, 0, (AREA,), mirror=False, key=seed).masks[0, 0] for seed in range(3)
  ]
  assert min(iou(masks[0], mask) for mask in masks[1:]) > 0.8
  result = robust(smooth_toy, ONES, 0, (AREA,), mirror=False)
  assert float(result.agreement[0, 0]) > 0.6
  assert not result.alternatives.any()


def either(x):
  """As `best_of_two`, but each patch counts by all of its pixels, so that half of one is half."""
  seen = [0.5 * (x[..., 0] * patch).sum((1, 2)) for patch in (LEFT, RIGHT)]
  return jnp.stack([jnp.logaddexp(*seen), -seen[0]], axis=-1)


@pytest.mark.parametrize('key', [0, 2])
def test_the_mean_of_two_optima_is_not_taken_for_one(key):
  result = robust(
    either, ONES, 0, (0.08,), mirror=False, key=key, restarts=2, iterations=20, tolerance=0.1
  )
  best = float(result.candidate_scores.max())
  assert float(result.scores[0, 0]) > 0.85 * best
  assert float(result.candidate_scores.min()) > 0.6 * best


@pytest.mark.parametrize('worst', [-np.inf, np.nan])
def test_scores_that_are_not_finite_spoil_no_more_than_their_discs(worst):
  def f(x):
    seen = (x[..., 0] * disc(30, 20, 10)).sum((1, 2)) / 50
    return jnp.where(x[:, 2, 2, 0] > 0.9, worst, seen)[:, None] * jnp.ones(2)

  result = robust(f, ONES, 0, (AREA,), mirror=False, shift=0.0, iterations=20)
  assert np.isfinite(result.masks).all() and np.isfinite(result.agreement).all()
  assert float((result.masks[0, 0] * disc(30, 20, 10)).sum()) > 0.5 * result.masks.sum()


def test_double_precision_changes_no_type():
  net = small_net()
  with jax.enable_x64(True):
    result = extremal_perturbation(net, SQUARE[:1], 1, (0.2,), mode='robust', discs=2, iterations=2)
  for name in ('masks', 'parameters', 'agreement', 'candidates', 'candidate_scores', 'consensus'):
    assert getattr(result, name).dtype == np.float32, name


def test_one_output_has_no_other_class():
  with pytest.raises(UserError, match='no other class'):
    robust(lambda x: x.mean((1, 2)), ONES, 0, (AREA,), objective='contrastive')


def test_a_network_that_reads_one_pixel():
  def pixel(x):
    return x[:, 20:21, 30:31, 0].reshape(-1, 1) * jnp.ones(2)

  result = robust(pixel, ONES, 0, (0.02,), shift=0.0, mirror=False)
  assert float(result.masks[0, 0, 20, 30]) > 0.9
  assert abs(float(result.mean_area[0, 0]) - 0.02) < 0.004


IMAGES = jnp.asarray(np.random.RandomState(5).randn(3, 40, 30, 3), jnp.float32)


def test_batch_and_chunk_change_nothing():
  run = functools.partial(extremal_perturbation, small_network, mode='robust', iterations=8)
  together = run(IMAGES, [0, 1, 2], (0.1, 0.3), chunk=4)
  for i in range(3):
    alone = run(IMAGES[i], i, (0.3,), chunk=1)
    np.testing.assert_allclose(together.masks[i, 1], alone.masks[0, 0], atol=2e-2)
    np.testing.assert_allclose(together.agreement[i, 1], alone.agreement[0, 0], atol=1e-2)
    np.testing.assert_allclose(
      together.candidate_scores[i, 1], alone.candidate_scores[0, 0], rtol=1e-3, atol=1e-4
    )


def test_what_the_searches_found_is_there():
  result = extremal_perturbation(
    small_network, IMAGES, 1, (0.1, 0.3), mode='robust', iterations=6, searches=3
  )
  assert result.candidates.shape[:3] == (3, 2, 3)
  assert result.candidate_scores.shape == result.candidate_overlaps.shape == (3, 2, 3)
  assert result.consensus.shape == result.parameters.shape
  assert result.consensus.min() >= 0 and result.consensus.max() <= 1
  assert ((result.agreement >= 0) & (result.agreement <= 1)).all()
  best = np.asarray(result.candidate_scores).argmax(-1)
  sharp = extremal_perturbation(
    small_network, IMAGES, 1, (0.1, 0.3), mode='robust', iterations=6, searches=3, tolerance=1e-6
  )
  chosen = np.take_along_axis(np.asarray(result.candidates), best[:, :, None, None, None], axis=2)[
    :, :, 0
  ]
  np.testing.assert_allclose(sharp.parameters, chosen, atol=1e-5)
  masks = render_masks(result.candidates[:, :, 1], (0.1, 0.3), (40, 30))
  np.testing.assert_allclose(masks.mean((2, 3)), [[0.1, 0.3]] * 3, atol=5e-3)


def test_other_modes_have_no_candidates():
  result = extremal_perturbation(small_network, IMAGES, 1, (0.1,), mode='fast', iterations=2)
  assert result.candidates.shape[2] == 0 and not result.alternatives.size
  assert np.isnan(result.agreement).all() and np.isnan(result.consensus).all()


def test_other_regions_do_as_well_elsewhere():
  scores = np.array([[10.0, 9.6, 9.0, 9.8]])
  overlaps = np.array([[0.9, 0.2, 0.1, 0.7]])
  assert other_regions(scores, overlaps).tolist() == [[False, True, False, False]]


def test_a_view_moves_zooms_and_mirrors():
  ramp = jnp.broadcast_to(jnp.arange(20.0)[None, None, :, None], (2, 16, 20, 1))
  same = random_view(jax.random.key(0), ramp, jnp.ones(2), Ranges(0, 0, False, 0))
  np.testing.assert_allclose(same, ramp, atol=1e-5)
  seen = [
    random_view(jax.random.key(i), ramp, jnp.ones(2), Ranges(0.1, 0.2, True, 0)) for i in range(20)
  ]
  slopes = np.array([float(v[0, 8, 12, 0] - v[0, 8, 8, 0]) / 4 for v in seen])
  assert (slopes < 0).any() and (slopes > 0).any()
  assert (abs(1 / abs(slopes) - 1) < 0.2 + 1e-3).all()
  moved = random_view(jax.random.key(3), ramp, jnp.ones(2), Ranges(0.1, 0, False, 0))
  shift = np.asarray(moved - ramp)[0, 8, 4:16, 0]
  np.testing.assert_allclose(shift, shift[0], atol=1e-4)
  assert 0 < abs(shift[0]) <= 0.1 * 20
  noisy = random_view(jax.random.key(0), ramp * 0, jnp.array([0.0, 2.0]), Ranges(0, 0, False, 0.5))
  assert (noisy[0] == 0).all() and abs(float(noisy[1].std()) - 1) < 0.2


@pytest.mark.parametrize('setting', [{'searches': 0}, {'discs': 1}, {'zoom': 1.0}, {'fading': 2}])
def test_a_setting_out_of_bounds_is_named(setting):
  with pytest.raises(UserError, match=next(iter(setting))):
    robust(smooth_toy, ONES, 0, (AREA,), **setting)
