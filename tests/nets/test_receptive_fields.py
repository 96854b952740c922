"""Receptive fields against the pixels that reach each position of each layer."""

import jax
import numpy as np
import pytest

from perturb import nets
from perturb.errors import UserError
from perturb.nets import layers as modules
from perturb.nets.receptive_fields import Box, receptive_field
from tests.nets.test_networks import NARROW
from tests.small_net import small_net


def reaches(module, _, inputs):
  """A rule that answers whether anything reaches an output: 0 or 1, in one channel."""
  x = inputs[0]
  match module:
    case modules.Conv():
      weights = {'kernel': np.ones((module.kernel_size, module.kernel_size, 1, 1), np.float32)}
      y = module.clone(features=1, depthwise=False, use_bias=False).apply({'params': weights}, x)
    case modules.WindowDense():
      weights = {'kernel': np.ones((module.window, module.window, 1, 1), np.float32)}
      y = module.clone(features=1).apply({'params': weights | {'bias': np.zeros(1)}}, x)
    case modules.MaxPool() | modules.MeanPool() | modules.AdaptiveMeanPool():
      y = module.apply({}, x)
    case modules.GlobalMean():
      y = module.apply({}, x)
    case modules.Add() | modules.Concatenate():
      y = sum(inputs)
    case _:  # Pixel by pixel.
      y = x
  return (y > 1e-4).astype(np.float32)


def stripes(rows, columns):
  """An image for each row, and for each column, that is 1 there: `[rows + columns, ...]`."""
  x = np.zeros((rows + columns, rows, columns, 1), np.float32)
  x[np.arange(rows), np.arange(rows)] = 1
  x[rows + np.arange(columns), :, np.arange(columns)] = 1
  return x


def ends(reached):
  """`[pixels, positions]` to the first and one after the last pixel of each position."""
  return reached.argmax(0), len(reached) - reached[::-1].argmax(0)


@pytest.mark.parametrize(
  ('network', 'size', 'last'),
  [
    (NARROW['alexnet'], (71, 64), None),
    (nets.VGG(groups=((2, 2), (2, 2), (2,))), (41, 60), None),
    (nets.VGG(groups=((2,), (2,)), caffe=True, class_maps=True), (33, 30), None),
    (nets.GoogLeNet(divisor=64), (47, 40), 'inception4a'),
    (nets.ResNet(depths=(1, 2), width=4, class_maps=True), (65, 70), None),
    (nets.ResNet(depths=(1, 1), width=4, caffe=True), (31, 44), None),
    (NARROW['efficientnet_lite0'], (21, 30), None),
    (nets.VGGF(), (97, 110), 'pool5'),
    (nets.MNISTNet(), (28, 28), None),
    (nets.FlowerNet(), (112, 112), None),
  ],
  ids=lambda value: type(value).__name__ if isinstance(value, nets.Network) else '',
)
def test_every_position_of_every_layer(network, size, last):
  names = network.layer_names()
  names = tuple(names[: names.index(last) + 1] if last else names)
  run = jax.jit(lambda x: network.apply({}, x, stop=names, rules=(reaches,)))
  for name, reached in run(stripes(*size)).items():
    reached = np.asarray(reached)[..., 0]
    reached = reached.reshape(len(reached), *(reached.shape[1:] or (1, 1)))
    found = [
      [receptive_field(network, name, (row, column), size) for column in range(reached.shape[2])]
      for row in range(reached.shape[1])
    ]
    top, bottom = ends(reached[: size[0]])
    left, right = ends(reached[size[0] :])
    expected = np.stack([top, left, bottom, right], axis=-1)
    np.testing.assert_array_equal([[box[:4] for box in line] for line in found], expected, name)


def test_windows_are_alike_and_move_by_the_stride():
  """What is beyond the border makes the fields of all positions as large as the middle one."""
  net = nets.VGGF()
  for layer, side, stride in (('conv1', 11, 4), ('pool1', 19, 8), ('conv5', 163, 16)):
    windows = [receptive_field(net, layer, (i, 0), (224, 224)).window for i in range(13)]
    assert {box.bottom - box.top for box in windows} == {side}
    assert {box.right - box.left for box in windows} == {side}
    np.testing.assert_array_equal(np.diff([box.top for box in windows]), stride)


def test_by_hand_at_the_border():
  # conv1: 3 x 3, stride 2, padding 1. conv2: 3 x 3, padding 1.
  net = small_net()
  assert receptive_field(net, 'conv1', (0, 15), (32, 32)) == Box(0, 29, 2, 32, (1, 0, 0, 0))
  box = receptive_field(net, 'relu2', (5, 0), (32, 32))
  assert box == Box(7, 0, 14, 4, (0, 3, 0, 0))
  assert box.window == Box(7, -3, 14, 4)
  assert receptive_field(net, 'mean', (0, 0), (32, 32))[:4] == (0, 0, 32, 32)
  assert receptive_field(net, 'input', (3, 4), (32, 32)) == Box(3, 4, 4, 5)


@pytest.mark.parametrize(
  ('layer', 'position', 'size', 'message'),
  [
    ('conv1', (16, 0), (32, 32), 'conv1 has rows 0 to 15 for an image of 32 pixels, not 16'),
    ('mean', (0, 1), (32, 32), 'mean has columns 0 to 0'),
    ('pool2', (0, 0), (32, 1), 'pool2: the image is too small, its window of 2 is given 1 pos'),
    ('conv9', (0, 0), (32, 32), "no layer 'conv9'"),
  ],
)
def test_what_is_wrong_is_named(layer, position, size, message):
  with pytest.raises(UserError, match=message):
    receptive_field(small_net(), layer, position, size)


def test_a_layer_that_fits_one_size_alone():
  with pytest.raises(UserError, match='fc3 reads 6 x 6 positions, and here has 3'):
    receptive_field(nets.FlowerNet(), 'fc4', (0, 0), (64, 64))
