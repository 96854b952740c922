"""Activations for a page: small, and with the cosines that they had."""

import numpy as np
import pytest

from concepts.packing import pack, packed_cosine
from concepts.patch_similarity import similarity
from perturb.errors import UserError


@pytest.fixture(scope='module')
def pictures():
  """Of two shapes, near a plane of 6 dimensions in 40, all in one half-space as after a ReLU."""
  random = np.random.default_rng(0)
  axes = random.normal(size=(6, 40))
  made = [np.abs(random.normal(size=(*shape, 6))) @ axes for shape in ((5, 7), (6, 4), (5, 5))]
  made = [one + 0.01 * random.normal(size=one.shape) for one in made]
  made[1][0, 0] = 0
  return [one.astype(np.float32) for one in made]


def test_cosines_and_dot_products_survive(pictures):
  packed = pack(pictures)
  assert packed.error <= 0.02 and packed.codes[0].shape[:2] == (5, 7)
  assert all(one.dtype == np.int8 for one in packed.codes)
  assert packed.codes[0].shape[2] <= 7
  worst = 0.0
  for i in range(3):
    for j in range(3):
      exact, ours = similarity(pictures[i], pictures[j]), packed_cosine(packed, i, j)
      worst = max(worst, np.abs(exact - ours).max())
  assert worst == pytest.approx(packed.error, abs=1e-6)  # All pairs of so few were checked.
  lengths = packed.lengths[0][:, :, None, None] * packed.lengths[1]
  dots = similarity(pictures[0], pictures[1], measure='dot')
  np.testing.assert_allclose(packed_cosine(packed, 0, 1) * lengths, dots, atol=0.02 * lengths.max())


def test_zeros_stay_zeros(pictures):
  packed = pack(pictures)
  assert packed.inverse[1][0, 0] == 0 == packed.lengths[1][0, 0]
  assert not packed.codes[1][0, 0].any()
  only = pack([np.zeros((2, 2, 3))])
  assert only.error == 0 and only.codes[0].shape == (2, 2, 1)


def test_a_smaller_tolerance_takes_more_axes():
  vectors = np.random.default_rng(0).normal(size=(6, 6, 30)) * 0.8 ** np.arange(30)
  counts = [pack([vectors], tolerance=limit).codes[0].shape[2] for limit in (0.2, 0.1, 0.02)]
  assert counts == sorted(counts) and counts[0] < counts[2]
  rough = pack([vectors], tolerance=0.2)
  assert rough.error <= 0.2 and 0.5 < rough.kept < 1


def test_what_no_number_of_axes_reaches_is_said():
  vectors = np.random.default_rng(0).normal(size=(6, 6, 30))
  packed = pack([vectors], tolerance=1e-9)
  assert packed.codes[0].shape[2] == 30 and 1e-9 < packed.error < 0.02
  assert packed.kept == pytest.approx(1)


def test_many_patches():
  """Beyond the pairs that are checked none is much worse, though most of them are not."""
  random = np.random.default_rng(0)
  vectors = random.normal(size=(50, 60, 12)) * 0.6 ** np.arange(12)
  packed = pack([vectors], tolerance=0.05)
  assert packed.error <= 0.05
  exact, ours = similarity(vectors, vectors), packed_cosine(packed, 0, 0)
  assert np.abs(exact - ours).max() < 0.06
  again = pack([vectors], tolerance=0.05)
  np.testing.assert_array_equal(packed.codes[0], again.codes[0])


@pytest.mark.parametrize(
  ('activations', 'message'),
  [
    ([], 'no picture'),
    ([np.ones((1, 1, 2)), np.ones((1, 1, 3))], r'\[2, 3\] channels'),
    ([np.full((1, 1, 2), np.nan)], 'picture 0 have values that are NaN'),
  ],
)
def test_what_cannot_be_packed(activations, message):
  with pytest.raises(UserError, match=message):
    pack(activations)
