"""The scores of a heatmap's largest pixels."""

import jax.numpy as jnp
import numpy as np
import pytest

import perturb
from perturb.errors import UserError


def mean_of_channel(x):
  return x.mean((1, 2))


def test_exactly_the_largest_pixels_are_kept_or_perturbed():
  x = np.random.RandomState(0).rand(2, 4, 5, 3).astype(np.float32)
  heatmap = np.random.RandomState(1).rand(2, 4, 5)
  found = perturb.region_scores(mean_of_channel, x, [2, 0], heatmap, [0.25, 0.5], blanked=-1.0)
  for image, target in ((0, 2), (1, 0)):
    for a, pixels in enumerate((5, 10)):
      inside = heatmap[image] >= np.sort(heatmap[image], axis=None)[-pixels]
      kept = np.where(inside, x[image, ..., target], -1).mean()
      removed = np.where(inside, -1, x[image, ..., target]).mean()
      np.testing.assert_allclose(found.scores[image, a], kept, rtol=1e-5)
      np.testing.assert_allclose(found.deleted_scores[image, a], removed, rtol=1e-5)


def test_what_does_not_fit_is_named():
  x = jnp.zeros((2, 4, 5, 3))
  with pytest.raises(UserError, match=r'heatmap must be of shape \(2, 4, 5\)'):
    perturb.region_scores(mean_of_channel, x, 0, np.zeros((4, 5)), 0.5)
  with pytest.raises(UserError, match='area 1.5'):
    perturb.region_scores(mean_of_channel, x, 0, np.zeros((2, 4, 5)), 1.5)
  with pytest.raises(UserError, match='blanked must broadcast'):
    perturb.region_scores(mean_of_channel, x, 0, np.zeros((2, 4, 5)), 0.5, np.zeros(4))
