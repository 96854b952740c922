"""Box occlusion: patches are drawn as the heatmap says, and hide what is counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.occluded_boxes import box_occlusion, patch_times

X = np.ones((2, 8, 10, 3), np.float32)
HEAT = np.random.RandomState(0).rand(2, 8, 10).astype(np.float32)


def shown(x):
  """The share of the image that is not hidden, for a fill of zeros."""
  return x.mean((1, 2))


def test_what_is_hidden_is_counted_and_is_whole_patches():
  found = box_occlusion(shown, X, 1, HEAT, size=3, most=0.5, points=6, draws=2, value='score')
  assert found.scores.shape == found.covered.shape == (2, 2, 6)
  np.testing.assert_allclose(found.scores, 1 - np.asarray(found.covered), rtol=1e-5)
  np.testing.assert_allclose(found.shares, np.linspace(0, 0.5, 6), rtol=1e-6)
  covered = np.asarray(found.covered)
  np.testing.assert_array_equal(covered[..., 0], 0)
  assert (covered <= np.linspace(0, 0.5, 6) + 1e-6).all()
  assert (
    covered[..., 1:] > np.linspace(0, 0.5, 6)[1:] - 9 / 80
  ).all()  # One patch more does not fit.
  np.testing.assert_allclose(found.drops, covered[..., 1:].mean((1, 2)), rtol=1e-5)
  whole = box_occlusion(shown, X, 1, HEAT, most=1.0, points=2, value='score')
  np.testing.assert_array_equal(whole.covered[..., 1], 1)


@pytest.mark.parametrize(('size', 'rows', 'columns'), [(1, (4, 5), (6, 7)), (4, (3, 7), (5, 9))])
def test_a_map_of_one_pixel_draws_the_patch_around_it_and_no_other(size, rows, columns):
  """The patch of 4 pixels reaches one pixel before its centre and two after."""
  heat = np.zeros((8, 10), np.float32)
  heat[4, 6] = 2
  times = np.full((8, 10), np.inf)
  times[slice(*rows), slice(*columns)] = 0
  np.testing.assert_array_equal(patch_times(jnp.asarray(heat), jax.random.key(0), size), times)


def test_times_are_those_of_patches_laid_one_after_the_other():
  """A loop over the centres in their order, which single pixels show."""
  heat = jnp.asarray(HEAT[0] * (HEAT[0] > 0.5))
  order = np.asarray(patch_times(heat, jax.random.key(3), 1))
  expected = np.full((8, 10), np.inf)
  for turn in np.sort(order[np.isfinite(order)]):
    row, column = np.argwhere(order == turn)[0]
    patch = expected[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    np.minimum(patch, turn, out=patch)
  np.testing.assert_array_equal(patch_times(heat, jax.random.key(3), 3), expected)
  assert np.isfinite(order).sum() == (HEAT[0] > 0.5).sum()


def test_centres_are_drawn_in_proportion_to_the_map():
  """The first of 4000 draws from three pixels, and the second given the first."""
  heat = jnp.array([[0.5, 0.3, 0.2, -1.0]])
  keys = jax.random.split(jax.random.key(0), 4000)
  times = np.asarray(jax.jit(jax.vmap(lambda key: patch_times(heat, key, 1)[0]))(keys))
  assert np.isinf(times[:, 3]).all()
  firsts = (times[:, :3] == 0).mean(0)
  np.testing.assert_allclose(firsts, [0.5, 0.3, 0.2], atol=0.03)  # Four standard deviations.
  after = times[times[:, 0] == 0]
  np.testing.assert_allclose((after[:, 1] == 1).mean(), 0.6, atol=0.045)


def test_a_map_of_what_the_model_reads_drops_the_score_and_one_of_the_rest_does_not():
  corner = np.zeros((2, 8, 10), np.float32)
  corner[:, :3, :3] = 1

  def reads_the_corner(x):
    return x[:, :3, :3].mean((1, 2))

  options = {'size': 2, 'points': 3, 'value': 'score'}
  right = box_occlusion(reads_the_corner, X, 0, corner, **options)
  wrong = box_occlusion(reads_the_corner, X, 0, corner[:, ::-1, ::-1], **options)
  np.testing.assert_allclose(right.scores[..., -1], 0, atol=1e-6)
  np.testing.assert_allclose(wrong.scores, 1, rtol=1e-6)
  # No patch is drawn beyond the map: 4 x 4 pixels are all it covers.
  np.testing.assert_allclose(right.covered[..., -1], 16 / 80, rtol=1e-5)


def test_an_image_does_not_depend_on_its_batch_or_chunk_or_on_a_trace():
  def play(x, heatmaps, chunk):
    return box_occlusion(shown, x, 1, heatmaps, size=3, draws=2, fill=0.5, key=1, chunk=chunk)

  together = play(X, HEAT, 28)
  for other in (play(X[1:], HEAT[1:], 3), jax.jit(play, static_argnums=2)(X[1:], HEAT[1:], 3)):
    np.testing.assert_allclose(other.scores, together.scores[1:], rtol=1e-6)
  each = jax.vmap(lambda x, heat: play(x[None], heat[None], 28))(X, HEAT)
  np.testing.assert_allclose(each.scores[:, 0], together.scores, rtol=1e-6)
  with jax.enable_x64(True):
    double = play(X.astype(float), HEAT.astype(float), 28)
  assert {each.dtype for each in double} == {np.dtype('float32')}
  np.testing.assert_allclose(double.scores, together.scores, rtol=1e-6)


def test_a_map_that_is_no_distribution_has_no_curve():
  heat = HEAT.copy()
  heat[0, 0, 0] = np.nan
  found = box_occlusion(shown, X, 1, heat)
  assert np.isnan(found.scores[0]).all() and np.isfinite(found.drops[1])
  assert np.isnan(box_occlusion(shown, X, 1, -HEAT).drops).all()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'size': 9}, 'size must be at most 8, the shorter side, not 9'),
    ({'points': 1}, 'points must be a whole number, at least 2'),
    ({'most': 1.5}, 'most must be a number, above 0 and at most 1'),
    ({'fill': np.zeros(7)}, 'fill must broadcast to'),
  ],
)
def test_what_does_not_fit_is_named(options, message):
  with pytest.raises(UserError, match=message):
    box_occlusion(shown, X, 1, HEAT, **options)
