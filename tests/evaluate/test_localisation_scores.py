"""Boxes against boxes, and the best threshold."""

import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.localisation_scores import (
  best_threshold,
  box_iou,
  localisation_error,
  localisation_ious,
)


def test_iou_counts_pixels():
  random = np.random.RandomState(0)
  corners = np.sort(random.randint(0, 12, (50, 2, 2, 2)), axis=2)
  first, second = (corners[:, i].reshape(50, 4) for i in (0, 1))

  def pixels(box, more):
    found = np.zeros((13, 13), bool)
    found[box[0] : box[2] + more, box[1] : box[3] + more] = True
    return found

  for ends, more in (('excluded', 0), ('included', 1)):
    pairs = [(pixels(a, more), pixels(b, more)) for a, b in zip(first, second, strict=True)]
    expected = [(a & b).sum() / (a | b).sum() if (a | b).any() else np.nan for a, b in pairs]
    np.testing.assert_allclose(box_iou(first, second, ends=ends), expected)


def test_the_best_of_several_boxes_counts():
  found = np.array([[[0, 0, 4, 4], [0, 0, 2, 4]]] * 4, float)
  found[3] = np.nan
  known = [[[0, 0, 2, 4], [5, 5, 6, 6]], np.zeros((0, 4)), [0, 0, 4, 4], [[0, 0, 4, 4]]]
  ious = localisation_ious(found, known)
  np.testing.assert_array_equal(ious, [[0.5, 1], [np.nan, np.nan], [1, 0.5], [0, 0]])
  inner = localisation_ious(found[:1], [[0, 0, 1, 3]], ends='included')
  np.testing.assert_array_equal(inner, [[0.5, 1]])


def test_an_iou_of_one_half_is_localised():
  ious = np.array([[0.5, 0.49], [np.nan, np.nan], [0.2, 0.9]])
  np.testing.assert_array_equal(localisation_error(ious), [0.5, 0.5])
  np.testing.assert_array_equal(localisation_error(ious, least_iou=0.91), [1, 1])


def test_the_threshold_is_chosen_on_the_held_out_half():
  # By the held-out images the second is best, by all the third; the second ties with the fourth.
  ious = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
  found = best_threshold(ious, [0.1, 0.2, 0.3, 0.4], held_out=[True, True, False, False, False])
  assert found[:2] == (0.2, 0.0) and found.error == pytest.approx(2 / 3)


def test_the_halves_are_drawn_by_a_key():
  ious = np.random.RandomState(0).rand(21, 3)
  first, again, other = (best_threshold(ious, [0, 1, 2], key=key) for key in (3, 3, 4))
  np.testing.assert_array_equal(first.held_out, again.held_out)
  assert first.held_out.sum() == other.held_out.sum() == 10
  assert (first.held_out != other.held_out).any()


def test_what_does_not_fit_is_named():
  found, ious = np.zeros((2, 3, 4)), np.zeros((2, 3))
  with pytest.raises(UserError, match=r'boxes\[1\] must be of shape \[n, 4\], not \(3,\)'):
    localisation_ious(found, [[0, 0, 1, 1], [0, 0, 1]])
  with pytest.raises(UserError, match='boxes has 1 items, and found has 2'):
    localisation_ious(found, [[0, 0, 1, 1]])
  with pytest.raises(UserError, match=r'others must be of shape \[..., 4\], not \(3,\)'):
    box_iou(found, [0, 1, 2])
  with pytest.raises(UserError, match=r'ious must be of shape \[B, 2\], not \(2, 3\)'):
    best_threshold(ious, [0, 1])
  with pytest.raises(UserError, match='held_out must leave an image with boxes on either side'):
    best_threshold(ious, [0, 1, 2], held_out=[True, True])
  with pytest.raises(UserError, match=r'held_out must be of shape \[2\], not \(3,\)'):
    best_threshold(ious, [0, 1, 2], held_out=[True, True, False])
