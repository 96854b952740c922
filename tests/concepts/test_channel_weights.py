"""What the channels of a layer count for a class."""

import numpy as np

from concepts.channel_weights import channel_weights
from tests.small_net import IMAGES, small_net


def test_the_weights_of_a_mean_are_those_of_the_class():
  """Above relu3 are a mean over 8 x 8 positions and the weights of the classes."""
  net = small_net()
  found = channel_weights(net, IMAGES, ['relu3', 'conv1'], 'cat')
  kernel = np.asarray(net.variables['params']['fc']['kernel'])
  np.testing.assert_allclose(found['relu3'], np.abs(kernel[:, 2]) / 64, rtol=1e-5)
  assert found['conv1'].shape == (8,) and (found['conv1'] >= 0).all()


def test_the_mean_is_over_all_pictures_before_its_absolute_value():
  net = small_net()
  x = np.asarray(IMAGES)
  both = channel_weights(net, [x[:1], x[1:]], ['conv2'], 3)['conv2']
  np.testing.assert_allclose(both, channel_weights(net, x, ['conv2'], 3)['conv2'], rtol=1e-4)
  one = [channel_weights(net, x[i : i + 1], ['conv2'], 3)['conv2'] for i in range(len(x))]
  assert (both <= np.mean(one, axis=0) + 1e-7).all()
