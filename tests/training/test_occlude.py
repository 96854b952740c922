"""Occlusions: how much is hidden, where, and of which images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.training import occlude

KEY = jax.random.key(3)


def test_cells_are_kept_with_the_probability_that_is_asked_each_by_itself():
  count, keep = 2000, 0.7
  masks = np.asarray(occlude.hide_and_seek_mask(KEY, count, (8, 12), grid=4, keep=keep))
  cells = masks[:, ::2, ::3].reshape(count, 16)
  np.testing.assert_array_equal(masks, cells.reshape(-1, 4, 4).repeat(2, 1).repeat(3, 2))
  deviation = np.sqrt(keep * (1 - keep) / count)
  assert np.abs(cells.mean(0) - keep).max() < 4 * deviation
  correlations = np.corrcoef(cells.T) - np.eye(16)
  assert np.abs(correlations).max() < 5 / np.sqrt(count)


def test_a_grid_that_does_not_divide_the_side_covers_all_of_it():
  masks = np.asarray(occlude.hide_and_seek_mask(KEY, 50, (28, 30), grid=8))
  edges = (np.diff(masks, axis=1) != 0).any((0, 2))
  assert [*np.flatnonzero(edges) + 1] == [4, 7, 11, 14, 18, 21, 25]  # ceil(28 i / 8).
  assert set(np.unique(masks)) == {0, 1}


def test_a_square_at_a_corner_of_the_image_hides_a_quarter_of_itself():
  side, size = 6, (20, 24)
  centres = np.array([[[0, 0]], [[10, 12]], [[19, 23]]])
  inside = np.asarray(occlude.squares(jnp.asarray(centres - side // 2), side, size))
  assert [*inside.sum((1, 2))] == [side**2 // 4, side**2, 16]  # 4 x 4: half of 6, and the centre.
  assert inside[1, 7:13, 9:15].all()


def test_centres_of_cutout_are_uniform_over_the_image():
  """Then a pixel is hidden as often as the image has centres within reach of it."""
  size, side, count = (8, 10), 4, 4000
  masks = np.asarray(occlude.cutout_mask(KEY, count, size, side=side))
  reach = [
    [sum(-side // 2 <= pixel - c < side // 2 for c in range(n)) for pixel in range(n)] for n in size
  ]
  expected = 1 - np.outer(*reach) / np.prod(size)
  deviation = np.sqrt(expected * (1 - expected) / count)
  assert (np.abs(masks.mean(0) - expected) < 4.5 * deviation).all()


def test_several_squares_hide_their_union():
  masks = np.asarray(occlude.cutout_mask(KEY, 500, (16, 16), count=3, side=4))
  hidden = (1 - masks).sum((1, 2))
  assert hidden.max() <= 3 * 16
  assert hidden.max() > 2 * 16
  one = (1 - np.asarray(occlude.cutout_mask(KEY, 500, (16, 16), side=4))).mean()
  assert hidden.mean() / 256 == pytest.approx(1 - (1 - one) ** 3, abs=0.03)


@pytest.mark.parametrize('jitter', [0, 5])
def test_the_salient_square_is_whole_and_covers_the_peak(jitter):
  random = np.random.RandomState(0)
  peaks = np.stack([random.randint(0, 20, 200), random.randint(0, 24, 200)], 1)
  peaks[:4] = [[0, 0], [0, 23], [19, 0], [19, 23]]
  saliency = np.zeros((200, 20, 24), np.float32)
  saliency[np.arange(200), peaks[:, 0], peaks[:, 1]] = 1
  masks = np.asarray(occlude.salient_mask(KEY, saliency, side=6, jitter=jitter))
  for mask, peak in zip(masks, peaks, strict=True):
    rows, columns = (np.flatnonzero((mask == 0).any(axis)) for axis in (1, 0))
    assert (mask == 0).sum() == len(rows) * len(columns) == 36
    if not jitter:
      assert mask[tuple(peak)] == 0
    assert rows[0] - jitter <= peak[0] <= rows[-1] + jitter
    assert columns[0] - jitter <= peak[1] <= columns[-1] + jitter


def test_the_jitter_is_uniform():
  saliency = np.zeros((3000, 32, 32), np.float32)
  saliency[:, 13:18, 13:18] = 1
  masks = np.asarray(occlude.salient_mask(KEY, saliency, side=5, jitter=2))
  moved = np.stack([(masks == 0).any(axis).argmax(1) for axis in (2, 1)]) - 13
  for each in moved:
    counts = np.bincount(each + 2, minlength=5)
    assert len(counts) == 5
    assert np.abs(counts / 3000 - 0.2).max() < 4 * np.sqrt(0.16 / 3000)
  assert abs(np.corrcoef(moved)[0, 1]) < 0.08


def test_the_most_salient_square_is_that_of_the_largest_sum():
  saliency = np.random.RandomState(1).rand(3, 9, 11).astype(np.float32)
  windows = np.lib.stride_tricks.sliding_window_view(saliency, (4, 4), (1, 2)).sum((3, 4))
  expected = [np.unravel_index(each.argmax(), each.shape) for each in windows]
  np.testing.assert_array_equal(occlude.most_salient(saliency, 4), expected)


def test_images_are_hidden_as_the_masks_say():
  images = np.random.RandomState(0).rand(6, 8, 8, 3).astype(np.float32) + 1
  images[0] = np.inf
  saliency = np.random.RandomState(1).rand(6, 4, 4).astype(np.float32)
  maps = jax.image.resize(saliency, (6, 8, 8), 'linear')
  cells = occlude.hide_and_seek_mask(KEY, 6, (8, 8), grid=2)
  for found, mask in (
    (occlude.hide_and_seek(KEY, images, grid=2), cells),
    (occlude.cutout(KEY, images, side=4), occlude.cutout_mask(KEY, 6, (8, 8), side=4)),
    (
      occlude.salient(KEY, images, saliency, side=4, jitter=1),
      occlude.salient_mask(KEY, maps, side=4, jitter=1),
    ),
  ):
    kept = np.broadcast_to(np.asarray(mask)[..., None] == 1, images.shape)
    assert 0 < kept.mean() < 1
    np.testing.assert_array_equal(np.asarray(found), np.where(kept, images, 0))


def test_whole_images_are_kept_with_their_probability():
  masks = np.asarray(occlude.hide_and_seek_mask(KEY, 2000, (8, 8), keep=0.0, keep_image=0.3))
  whole = masks.min((1, 2))
  np.testing.assert_array_equal(whole, masks.max((1, 2)))
  assert abs(whole.mean() - 0.3) < 4 * np.sqrt(0.21 / 2000)


def test_too_many_cells_and_too_large_a_square_are_refused():
  with pytest.raises(UserError, match='grid: 9 x 9 cells for images of 8 x 8 pixels'):
    occlude.hide_and_seek_mask(KEY, 2, (8, 8), grid=9)
  with pytest.raises(UserError, match='a square of 56 pixels in images of 32 x 32'):
    occlude.salient_mask(KEY, np.zeros((2, 32, 32), np.float32))
  with pytest.raises(UserError, match='a square of 9 pixels in images of 8 x 8'):
    occlude.cutout(KEY, np.zeros((2, 8, 8, 1)), side=9)


def test_options_and_images_that_mean_nothing_are_refused():
  images = np.zeros((2, 8, 8, 1), np.float32)
  with pytest.raises(UserError, match='keep must be a number, at least 0 and at most 1, not 1.5'):
    occlude.hide_and_seek(KEY, images, keep=1.5)
  with pytest.raises(UserError, match='side must be a whole number, at least 1, not 0'):
    occlude.cutout(KEY, images, side=0)
  with pytest.raises(UserError, match=r'images must be \[N, H, W, C\], not \[8, 8, 1\]'):
    occlude.cutout(KEY, images[0], side=2)
