"""Groups of patches."""

import numpy as np
import pytest

from concepts.factor_groups import patch_groups
from perturb.errors import UserError


@pytest.fixture(scope='module')
def planted():
  """Two pictures of three textures, each with channels of its own."""
  labels = [np.array([[0, 1, 2], [0, 0, 1]]), np.array([[2, 2], [0, 1]])]
  kinds = np.kron(np.eye(3), np.ones(4))
  random = np.random.default_rng(0)
  return labels, [
    (kinds[one] * random.uniform(1, 2, (*one.shape, 1))).astype(np.float32) for one in labels
  ]


def test_planted_groups_are_found_in_all_pictures(planted):
  labels, activations = planted
  groups = patch_groups(activations, 3)
  assert groups.clipped == 0
  assert [one.shape for one in groups.maps] == [(2, 3, 3), (2, 2, 3)]
  assert max(one.max() for one in groups.maps) == 1
  assert min(one.min() for one in groups.maps) >= 0
  names = [one.argmax(-1) for one in groups.maps]
  renamed = {int(names[0][at]): int(labels[0][at]) for at in np.ndindex(2, 3)}
  for found, label in zip(names, labels, strict=True):
    np.testing.assert_array_equal(np.vectorize(renamed.get)(found), label)
  totals = sum(one.sum((0, 1)) for one in groups.maps)
  assert (np.diff(totals) <= 0).all()
  np.testing.assert_allclose(np.linalg.norm(groups.directions, axis=1), 1, rtol=1e-5)


def test_the_factors_make_the_activations(planted):
  groups = patch_groups(planted[1], 3)
  made = np.concatenate([one.reshape(-1, 3) for one in groups.maps]) @ groups.directions
  given = np.concatenate([one.reshape(-1, 12) for one in planted[1]])
  np.testing.assert_allclose(made * np.linalg.norm(given, axis=1).max(), given, atol=0.02)


def test_negative_activations_are_refused_or_clipped(planted):
  negative = [one - 0.5 for one in planted[1]]
  with pytest.raises(UserError, match='negative, down to -0.5; .* clip=True'):
    patch_groups(negative, 3)
  assert 0 < patch_groups(negative, 3, clip=True).clipped < 0.5


@pytest.mark.parametrize('count', [0, 11])
def test_a_count_that_cannot_be(planted, count):
  with pytest.raises(UserError, match='count must be from 1 to 10'):
    patch_groups(planted[1], count)
