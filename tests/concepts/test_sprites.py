"""The published article's files."""

import numpy as np
import pytest

from concepts.patch_similarity import similarity
from concepts.sprites import YELLOW, line_table, sprite
from perturb.errors import UserError


@pytest.fixture(scope='module')
def pair():
  random = np.random.default_rng(0)
  return random.normal(size=(3, 4, 8)), random.normal(size=(2, 5, 8))


def test_a_block_is_the_map_of_its_patch(pair):
  cosines = similarity(*pair)
  found = sprite(cosines)
  assert found.shape == (6, 20, 3) and found.dtype == np.uint8
  block = found[2 * 2 : 2 * 3, 5 * 1 : 5 * 2]
  clipped = np.clip(cosines[2, 1], 0, 1)
  np.testing.assert_array_equal(block[..., 0], np.floor(clipped * 255))
  assert np.abs(block[..., 1] / 255 - clipped).max() <= 1 / 255
  assert (cosines < 0).any()


def test_the_other_direction_is_the_transpose(pair):
  there = sprite(similarity(*pair))[..., 0].reshape(3, 2, 4, 5)
  back = sprite(similarity(*pair[::-1]))[..., 0].reshape(2, 3, 5, 4)
  np.testing.assert_array_equal(there, back.transpose(1, 0, 3, 2))


def test_a_patch_is_yellow_in_its_own_map(pair):
  found = sprite(similarity(pair[0], pair[0]), own=True)
  yellow = (found == YELLOW).all(-1)
  assert yellow.sum() == 12
  rows, columns = np.nonzero(yellow)
  np.testing.assert_array_equal(rows // 3, rows % 3)
  np.testing.assert_array_equal(columns // 4, columns % 4)
  grey = found[~yellow]
  assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 0] == grey[:, 2]).all()


def test_truncation():
  assert sprite(np.full((1, 1, 1, 1), 0.9999))[0, 0, 0] == 254
  assert sprite(np.full((1, 1, 1, 1), 1.2))[0, 0, 0] == 255
  assert sprite(np.full((1, 1, 1, 1), np.nan))[0, 0, 0] == 0


def test_the_lines_of_a_chart():
  values = np.arange(16).reshape(2, 2, 2, 2) / 16
  text = line_table([values, values], np.array([[0, 1, 2, 3], [3, -1, 0, 1]]), source=0)
  assert text == '1.00,0.19\n1.00,nan\n1.00,0.50\n1.00,0.81\n'


def test_shapes_are_checked():
  with pytest.raises(UserError, match=r'\[H1, W1, H2, W2\]'):
    sprite(np.ones((2, 2)))
  with pytest.raises(UserError, match='one picture has one shape, not 1 x 2 and 2 x 1'):
    sprite(np.ones((1, 2, 2, 1)), own=True)
