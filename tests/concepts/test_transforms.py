"""Pictures turned and enlarged, and where their patches go."""

import numpy as np
from PIL import Image
import pytest

from concepts.patch_similarity import similarity
from concepts.transforms import (
  ROTATIONS,
  enlarged,
  kept_similarity,
  rotated,
  rotation_places,
  scale_places,
  turns_with,
)
from perturb.errors import UserError


@pytest.fixture(scope='module')
def picture():
  return np.random.default_rng(0).integers(0, 256, (14, 14, 3), np.uint8)


def test_quarter_turns_are_numpys(picture):
  for quarters in range(4):
    np.testing.assert_array_equal(rotated(picture, 90 * quarters), np.rot90(picture, quarters))
  np.testing.assert_array_equal(rotated(picture, 360), picture)


def test_a_turn_is_pillows_but_for_ties():
  """Pillow takes the pixel in which a point lies, which is the nearest, about the same middle."""
  smooth = np.add.outer(np.arange(40), 3 * np.arange(40)).astype(np.uint8)
  ours = rotated(smooth[..., None], 30)[..., 0]
  theirs = np.asarray(Image.fromarray(smooth).rotate(30))
  assert (ours == theirs).mean() > 0.98


def test_what_comes_from_nowhere_is_filled(picture):
  turned = rotated(picture, 45, fill=[1, 2, 3])
  assert turned[0, 0].tolist() == [1, 2, 3] and turned.dtype == np.uint8
  assert not rotated(picture, 45)[0, 0].any()


def test_the_chart_of_the_article_has_its_gaps():
  """Of the picture turned by 45 degrees, the first row of cells: 4 to 9 are in the frame."""
  places = rotation_places((14, 14), (0, 45))
  assert places.dtype == np.int16
  assert (places[0, 1][:14] >= 0).tolist() == [False] * 4 + [True] * 6 + [False] * 4


def test_four_quarter_turns_are_none():
  places = rotation_places((6, 6), (0, 90, 180, 270))
  np.testing.assert_array_equal(places[0, 1][places[1, 2][places[2, 3][places[3, 0]]]], range(36))
  for i in range(4):
    np.testing.assert_array_equal(places[i, i], range(36))


def test_cells_go_where_their_pixels_go():
  """A turned picture of the numbers of its own cells shows at each place which cell went there."""
  for shape in ((8, 8), (6, 10)):
    numbers = np.arange(np.prod(shape)).reshape(*shape, 1)
    places = rotation_places(shape, ROTATIONS)
    for number, degrees in enumerate(ROTATIONS):
      turned = rotated(numbers, degrees, fill=-1).ravel()
      gone = places[0, number]
      inside = gone >= 0
      if degrees % 90 == 0:
        np.testing.assert_array_equal(turned[gone[inside]], np.flatnonzero(inside))
      else:  # On a lattice that is turned by 45 degrees the nearest need not be mutual.
        assert (turned[gone[inside]] == np.flatnonzero(inside)).mean() > 0.6


def test_a_cell_that_shows_nothing_goes_nowhere():
  places = rotation_places((14, 14), (0, 45, 90))
  assert places[1, 2][0] == -1  # The corner of a turned picture is black.
  assert places[1, 1][0] == 0


def test_cells_that_are_not_square_turn_as_their_pixels():
  """A picture of 4 x 8 cells of 10 x 5 pixels: turned by 90 degrees, a row becomes a column."""
  places = rotation_places((4, 8), (0, 90), picture=(40, 40))
  middle_row = places[0, 1].reshape(4, 8)[2]
  rows, columns = np.divmod(middle_row, 8)
  np.testing.assert_array_equal(rows, [3, 3, 2, 2, 1, 1, 0, 0])
  assert len(set(columns.tolist())) == 1


def test_the_middle_is_enlarged(picture):
  smooth = np.add.outer(np.arange(32.0), 2 * np.arange(32.0))[..., None]
  found = enlarged(smooth, 4.0)[..., 0]
  at = (np.arange(32) + 0.5 - 16) / 2 + 15.5
  np.testing.assert_allclose(found, np.add.outer(at, 2 * at), rtol=1e-5)
  np.testing.assert_array_equal(enlarged(picture, 1), picture)
  with pytest.raises(UserError, match='at least 1, not 0.5'):
    enlarged(picture, 0.5)


def test_cells_of_an_enlarged_picture():
  """Of 4 x 4 cells the middle four become all of them; each cell comes back to its quarter."""
  places = scale_places((4, 4), (1, 4))
  whole = places[0, 1].reshape(4, 4)
  assert (whole[0] == -1).all() and (whole[:, 3] == -1).all()
  np.testing.assert_array_equal(whole[1:3, 1:3], [[5, 7], [13, 15]])
  np.testing.assert_array_equal(places[1, 0].reshape(4, 4)[:2, :2], np.full((2, 2), 5))
  np.testing.assert_array_equal(places[0, 0], range(16))


def test_what_turns_and_what_stays():
  """Activations that turn with the picture are kept; those that stay are not; random ones break."""
  random = np.random.default_rng(0)
  before = random.normal(size=(6, 6, 64)).astype(np.float32)
  places = rotation_places((6, 6), (0, 90, 45))[0]
  after = np.stack([before, rotated(before, 90), rotated(before, 45)])
  kept = kept_similarity(before, after, places)
  assert kept.moved[:2] == pytest.approx(1, abs=1e-5)
  assert kept.unmoved[0] == pytest.approx(1, abs=1e-5) and abs(kept.unmoved[1]) < 0.1
  cosines = similarity(before, after[2]).reshape(36, 36)
  some = np.flatnonzero(places[2] >= 0)
  to = places[2][some]
  assert kept.moved[2] == pytest.approx(cosines[some, to].mean(), abs=1e-5)
  assert kept.unmoved[2] == pytest.approx(cosines[some, some].mean(), abs=1e-5)
  assert kept.chance[2] == pytest.approx(cosines[np.ix_(some, to)].mean(), abs=1e-5)
  edge = [i for i in range(36) if {i // 6, i % 6} & {0, 5}]
  outer = np.isin(some, edge) | np.isin(to, edge)
  assert kept.border[2] == pytest.approx(cosines[some, to][outer].mean(), abs=1e-5)
  assert kept.middle[2] == pytest.approx(cosines[some, to][~outer].mean(), abs=1e-5)


def test_verdicts():
  assert turns_with(0.9, 0.4, 0.3).words == 'follows the picture'
  assert turns_with(0.5, 0.4, 0.3).words == 'follows in part'
  assert turns_with(0.4, 0.9, 0.3).words == 'stays in place'
  assert turns_with(0.31, 0.3, 0.3).words == 'breaks'
  assert turns_with(*[float('nan')] * 3).words == 'not known'
  assert turns_with(0.65, 0.3, 0.3).follows == pytest.approx(0.5)
