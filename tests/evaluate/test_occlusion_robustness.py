"""Accuracy under occlusion: which cells are hidden, and what a planted network then says."""

import itertools

import jax
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate import accuracy_under_occlusion
from perturb.evaluate.occlusion_robustness import cell_means, hidden_pixels

SHARES = (0, 0.25, 0.5, 0.75, 1)
RANDOM = np.random.RandomState(0)
X = RANDOM.rand(3, 8, 8, 1).astype(np.float32) + 0.5  # Nothing of them is black.


def reads_the_corner(x):
  """Class 1 as long as a pixel of the first quarter is seen, else class 0: of a grid of 4, any of
  its four cells is enough."""
  seen = x[:, :4, :4].max((1, 2, 3))
  return jax.numpy.stack([0 * seen + 0.1, seen], axis=1)


CORNER = np.zeros((3, 8, 8), np.float32)
CORNER[:, :4, :4] = 1


def test_a_network_that_reads_a_corner_falls_as_soon_as_that_is_hidden():
  """Of 16 cells the corner has 4: gone with the first quarter, or left until the last."""
  options = {'shares': SHARES, 'grid': 4}
  first = accuracy_under_occlusion(reads_the_corner, X, 1, CORNER, order='salient', **options)
  last = accuracy_under_occlusion(reads_the_corner, X, 1, CORNER, order='least_salient', **options)
  np.testing.assert_array_equal(first.shares, SHARES)
  np.testing.assert_array_equal(first.right, [[1, 0, 0, 0, 0]] * 3)
  np.testing.assert_array_equal(last.right, [[1, 1, 1, 1, 0]] * 3)
  np.testing.assert_allclose(last.probability[:, 4], 1 / (1 + np.exp(0.1)), rtol=1e-6, atol=0)


def test_a_random_order_leaves_a_network_what_chance_leaves():
  """Half of the 16 cells hidden: all 4 of the corner with 8*7*6*5 / (16*15*14*13) = 1 / 26."""
  x = RANDOM.rand(2000, 8, 8, 1).astype(np.float32) + 0.5
  found = accuracy_under_occlusion(reads_the_corner, x, 1, shares=(0.5,), grid=4, chunk=2000)
  np.testing.assert_allclose(found.right.mean(), 1 - 1 / 26, atol=0.018)  # Four deviations.
  other = accuracy_under_occlusion(reads_the_corner, x, 1, shares=(0.5,), grid=4, key=1, chunk=2000)
  assert (np.asarray(other.places) != found.places).any((1, 2)).mean() > 0.99


@pytest.mark.parametrize('order', ['salient', 'least_salient'])
def test_cells_of_one_mean_go_in_random_order(order):
  """A heatmap that is 0 but in a corner says nothing of the rest, the top of it included."""
  x = RANDOM.rand(400, 8, 8, 1).astype(np.float32) + 0.5
  heat = np.zeros((400, 8, 8), np.float32)
  heat[:, :4, :4] = 1
  found = accuracy_under_occlusion(reads_the_corner, x, 1, heat, order=order, grid=4, shares=(0.5,))
  places = np.asarray(found.places)
  np.testing.assert_array_equal(np.sort(places.reshape(400, -1)), [np.arange(16)] * 400)
  corner = places[:, :2, :2]
  assert (corner < 4).all() if order == 'salient' else (corner >= 12).all()
  # The other twelve: each has a mean place of (its first + its last) / 2, to four deviations.
  middle = 9.5 if order == 'salient' else 5.5
  np.testing.assert_allclose(places[:, 2:].mean(0), middle, atol=4 * np.sqrt(143 / 12 / 400))


def test_an_image_does_not_depend_on_its_batch():
  together = accuracy_under_occlusion(reads_the_corner, X, 1, grid=4, shares=SHARES)
  alone = accuracy_under_occlusion(reads_the_corner, X[1:2], 1, grid=4, shares=SHARES, chunk=2)
  for whole, part in zip(together[1:], alone[1:], strict=True):
    np.testing.assert_array_equal(whole[1:2], part)
  # And every image has an order of its own.
  assert len({places.tobytes() for places in np.asarray(together.places)}) == 3


def test_cells_tile_an_image_that_they_do_not_divide():
  """10 pixels in 4 cells: 3, 2, 3 and 2 of them, as each cell begins at the next whole pixel."""
  maps = RANDOM.rand(2, 10, 7).astype(np.float32)
  cuts = ((0, 3, 5, 8, 10), (0, 2, 4, 6, 7))
  expected = [
    [
      [m[a:b, c:d].mean() for c, d in itertools.pairwise(cuts[1])]
      for a, b in itertools.pairwise(cuts[0])
    ]
    for m in maps
  ]
  np.testing.assert_allclose(cell_means(maps, 4), expected, rtol=1e-6)
  places = np.arange(16)[::-1].reshape(1, 4, 4).repeat(2, 0)  # The last cell is hidden first.
  hidden = np.asarray(hidden_pixels(places, np.array([1, 16]), (10, 7)))
  assert hidden[0, 8:, 6:].all() and hidden[0].sum() == 2 and hidden[1].all()


def of_the_middle(x):
  return jax.numpy.stack([x[:, 12:24, 12:24].min((1, 2, 3)), 0 * x[:, 0, 0, 0]], 1)


@pytest.mark.parametrize('fill', ['constant', 'blur', 'road'])
def test_what_hidden_pixels_show(fill):
  """An image of one colour: a blur, and the mean of the neighbours, leave it in the middle."""
  x = np.full((1, 36, 36, 1), 2, np.float32)
  options = {'fill': fill, 'fade_to': (1,), 'noise': 0.0, 'shares': (0.5,), 'grid': 6, 'key': 2}

  found = accuracy_under_occlusion(of_the_middle, x, 0, **options)
  seen = 1 if fill == 'constant' else 2
  np.testing.assert_allclose(found.probability, [[1 / (1 + np.exp(-seen))]], rtol=1e-4)


def test_a_heatmap_with_nan_has_no_curve():
  heatmaps = CORNER.copy()
  heatmaps[1, 0, 0] = np.nan
  found = accuracy_under_occlusion(reads_the_corner, X, 1, heatmaps, order='salient', grid=4)
  assert np.isnan(found.right[1]).all() and np.isfinite(found.right[::2]).all()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'order': 'salient'}, "order 'salient' needs heatmaps"),
    ({'order': 'most'}, 'order must be one of random, salient, least_salient'),
    ({'grid': 9}, 'grid must be at most 8, the shorter side, not 9'),
    ({'shares': (0.5, 1.5), 'grid': 4}, 'shares must be between 0 and 1'),
    ({'fill': 'grey'}, 'fill must be one of constant, blur, road'),
  ],
)
def test_what_does_not_fit_is_named(options, message):
  with pytest.raises(UserError, match=message):
    accuracy_under_occlusion(reads_the_corner, X, 1, **options)
