"""Nested regions: inside each other, as the masks where these are nested, a* between areas."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

import perturb
from perturb.methods.extremal import extremal_perturbation
from perturb.methods.nested_regions import nested_growth, nested_heatmap
from perturb.ops.area import binarise

SIZE = 40
ONES = jnp.ones((2, SIZE, SIZE, 1))
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE] + 0.5
DISTANCE = np.hypot(ROWS - 16, COLUMNS - 23)
AREAS = (0.3, 0.05, 0.1)  # In no order.


def regions(heatmap, area):
  return np.asarray(binarise(heatmap, jnp.full(len(heatmap), area)))


def linear(x):
  """Evidence in a disc of a tenth of the image, the same at each of its pixels."""
  inside = jnp.asarray(np.sqrt(0.1 * SIZE**2 / np.pi) > DISTANCE, jnp.float32)
  return (x[..., 0] * inside).sum((1, 2))[:, None] * jnp.array([1.0, -1.0])


@pytest.fixture(scope='module')
def result():
  return extremal_perturbation(
    linear, ONES, 0, AREAS, perturbation='fade', iterations=2, key=3, chunk=6
  )


def test_each_region_lies_in_the_next(result):
  heatmap = nested_heatmap(result)
  assert heatmap.min() >= 0 and heatmap.max() <= 1
  found = [regions(heatmap, area) for area in (0.01, 0.05, 0.07, 0.1, 0.2, 0.3, 0.6)]
  for small, large in itertools.pairwise(found):
    assert (small <= large).all() and small.sum() < large.sum()


def test_nested_masks_stay_as_they_are(result):
  masks = np.stack([1 / (1 + np.exp((DISTANCE - r) * 3)) for r in (12.36, 5.05, 7.14)])
  both = result._replace(masks=jnp.asarray(np.stack([masks, masks[:, ::-1]]), jnp.float32))
  heatmap = nested_heatmap(both)
  for k, area in enumerate(AREAS):
    ours, theirs = regions(heatmap, area), regions(both.masks[:, k], area)
    assert np.abs(ours - theirs).sum((1, 2)).max() <= 8  # Of pixels of the same distance some.
  smallest = regions(heatmap, 0.01)[0].astype(bool)
  assert DISTANCE[smallest].max() < 4  # Below the smallest area: the middle of its mask.


def test_a_star_is_known_to_one_percent(result):
  masks = np.stack([1 / (1 + np.exp((DISTANCE - r) * 3)) for r in (12.36, 5.05, 7.14)])
  exact = result._replace(masks=jnp.asarray(np.stack([masks, masks]), jnp.float32))
  growth = nested_growth(linear, ONES, 0, exact)
  assert growth.scores.shape == (2, 99)
  np.testing.assert_allclose(perturb.smallest_area(growth, 0.6), 0.06, atol=0.011)
  np.testing.assert_allclose(perturb.smallest_area(growth), 0.1, atol=0.011)
  assert perturb.is_monotonic(growth).all()
  whole = growth.scores + growth.deleted_scores  # Of a linear function.
  np.testing.assert_allclose(whole, np.broadcast_to(growth.full_score[:, None], (2, 99)))


def test_images_that_do_not_fit_are_named(result):
  with pytest.raises(perturb.UserError, match='heatmap must be of shape'):
    nested_growth(linear, ONES[:1], 0, result)
