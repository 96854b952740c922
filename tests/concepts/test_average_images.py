"""Patches and their averages: by hand, and of a shape that was planted."""

import numpy as np
import pytest

from concepts.average_images import average_image, box_of, patch, strongest_positions
from concepts.features import features_of
from perturb.errors import UserError
from perturb.nets.receptive_fields import Box
from tests.concepts.planted import planted_images, planted_net
from tests.small_net import IMAGES, small_net


def test_strongest_positions():
  net = small_net()
  features = features_of(net)
  places = [('conv1', 2), ('conv3', 5), ('pool2', 0), ('mean', 1)]
  indices = np.array([[features.index(*place) for place in places] + [-1]] * len(IMAGES))
  found = strongest_positions(net, IMAGES, features, indices)
  activations = net.activations(IMAGES, [layer for layer, _ in places])
  for number, (layer, index) in enumerate(places[:-1]):
    maps = np.asarray(activations[layer][..., index])
    for image, values in enumerate(maps):
      expected = np.unravel_index(np.abs(values).argmax(), values.shape)
      np.testing.assert_array_equal(found[image, number], expected)
  np.testing.assert_array_equal(found[:, 3:], 0)
  with pytest.raises(UserError, match=r'indices must be \['):
    strongest_positions(net, IMAGES, features, indices[0])


def test_the_patch_of_a_planted_spot_is_the_spot():
  """A filter that is a pixel's colour: each patch is the pixel where that colour is brightest."""
  net, (x, _) = planted_net(), planted_images(2)
  x = x.copy()
  spots = [(0, 0), (7, 3), (2, 7), (4, 4), (1, 6), (0, 7)]
  for image, spot in zip(x, spots, strict=True):
    image[*spot] = [9, 0, 0]
  features = features_of(net)
  index = features.index('relu1', 0)
  found = strongest_positions(net, x, features, np.full((len(x), 1), index))
  np.testing.assert_array_equal(found[:, 0], spots)
  pictures = np.uint8(255 * (x == 9))
  cut = [
    patch(picture, box_of(net, features, index, tuple(spot), (8, 8)), 4)
    for picture, spot in zip(pictures, found[:, 0], strict=True)
  ]
  average = average_image(*map(np.stack, zip(*cut, strict=True)))
  np.testing.assert_array_equal(average, np.broadcast_to(np.uint8([255, 0, 0]), (4, 4, 3)))


def test_the_field_of_a_feature():
  net = small_net()
  features = features_of(net)
  box = box_of(net, features, features.index('conv1', 2), (0, 15), (32, 32))
  assert box == Box(0, 29, 2, 32, (1, 0, 0, 0))
  assert box_of(net, features, features.index('mean', 2), (0, 0), (32, 40)) == Box(0, 0, 32, 40)


def test_a_patch_that_leaves_the_image():
  image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
  found, inside = patch(image, Box(0, 3, 2, 5, (1, 0, 0, 1)), 3)
  np.testing.assert_array_equal(inside, [[0, 0, 0], [1, 1, 0], [1, 1, 0]])
  np.testing.assert_array_equal(found[1:, :2], image[:2, 3:])  # As it is: 3 x 3 pixels at 3 x 3.
  np.testing.assert_array_equal(found[0], found[1])
  np.testing.assert_array_equal(found[:, 2], found[:, 1])


def test_a_patch_at_another_size_keeps_its_colours_at_the_border():
  image = np.full((9, 9, 3), 200, np.uint8)
  found, inside = patch(image, Box(0, 0, 5, 5, (4, 4, 0, 0)), 30)
  np.testing.assert_array_equal(found, 200)
  expected = (np.arange(30) + 0.5) * 9 / 30 > 4
  np.testing.assert_array_equal(inside, expected[:, None] & expected)


def test_a_field_larger_than_the_image_is_the_image():
  image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
  found, inside = patch(image, Box(0, 0, 4, 5, (100, 90, 80, 90)), 20)
  np.testing.assert_array_equal(found, patch(image, Box(0, 0, 4, 5), 20)[0])
  assert inside.all()
  _, inside = patch(image, Box(0, 0, 2, 5, (100, 90, 0, 90)), 20)  # It sees the upper half.
  assert inside[:10].all() and not inside[10:].any()


def test_average_by_hand():
  patches = np.zeros((3, 1, 3, 3), np.uint8)
  patches[:, 0, :, 0] = [[10, 10, 10], [30, 30, 30], [250, 250, 250]]
  inside = np.array([[[1, 1, 0]], [[1, 1, 0]], [[1, 0, 0]]], bool)
  expected = [[[97, 0, 0], [20, 0, 0], [255, 255, 255]]]  # 290 / 3; (10 + 30) / 2; none.
  np.testing.assert_array_equal(average_image(patches, inside), expected)
