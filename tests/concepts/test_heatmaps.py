"""Heatmaps of features against the backward pass of one filter by itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from concepts.features import features_of
from concepts.heatmaps import RULES, combined, feature_heatmaps
from perturb.errors import UserError
from perturb.nets import rules
from perturb.ops.heatmaps import resize
from tests.concepts.planted import planted_images, planted_net
from tests.small_net import IMAGES, small_net

NET = small_net()
FEATURES = features_of(NET)
CHOSEN = [('conv1', 3), ('relu1', 3), ('pool2', 11), ('conv3', 0), ('mean', 4)]
INDICES = np.array([[FEATURES.index(*place) for place in CHOSEN] + [-1]] * len(IMAGES))


@functools.cache
def heatmaps(kind):
  return np.asarray(feature_heatmaps(NET, IMAGES, FEATURES, INDICES, kind, chunk=len(IMAGES)))


def scaled(maps):
  low, high = (np.expand_dims(bound((1, 2)), (1, 2)) for bound in (maps.min, maps.max))
  return (maps - low) / np.where(high > low, high - low, 1)


@pytest.mark.parametrize('kind', RULES)
@pytest.mark.parametrize('number', [0, 2, 4])
def test_one_filter_by_itself(kind, number):
  layer, index = CHOSEN[number]
  part = NET.part(stop=layer).with_rules(*RULES[kind])

  @jax.jit
  def signal(x):
    values, back = jax.vjp(part, x)
    return back(jnp.zeros_like(values).at[..., index].set(values[..., index]))[0]

  expected = scaled(np.linalg.norm(np.maximum(signal(IMAGES), 0), axis=-1))
  np.testing.assert_allclose(heatmaps(kind)[:, number], expected, atol=1e-5)


def test_upsampled():
  found = heatmaps('upsampled')
  activations = NET.activations(IMAGES, FEATURES.layers)
  for number, (layer, index) in enumerate(CHOSEN[:-1]):
    expected = scaled(np.asarray(resize(activations[layer][..., index], IMAGES.shape[1:3])))
    np.testing.assert_allclose(found[:, number], expected, atol=1e-5)
  np.testing.assert_array_equal(found[:, -2], 0)  # It has no extent.


@pytest.mark.parametrize('kind', [*RULES, 'upsampled'])
def test_range_no_feature_and_all_together(kind):
  found = heatmaps(kind)
  assert found.shape == (len(IMAGES), len(CHOSEN) + 1, *IMAGES.shape[1:3])
  np.testing.assert_array_equal(found[:, -1], 0)  # No feature.
  assert found.min() == 0 and found.max() == 1
  np.testing.assert_array_equal(combined(found), found.max(1))


def test_guided_by_hand():
  """Of a filter that is a colour, the signal is that colour, where it is positive."""
  net, (x, _) = planted_net(), planted_images(1)
  x = x - 1
  features = features_of(net)
  indices = np.array([[features.index('relu1', 0)], [features.index('mean', 1)], [-1]])
  found = feature_heatmaps(net, x, features, indices, chunk=3)
  expected = np.stack(
    [
      np.maximum(x[0, ..., 0], 0),  # relu(x), its own activation.
      x[1, ..., 1] > 0,  # The mean over 64 positions, alike for all of them.
      np.zeros((8, 8)),
    ]
  )
  np.testing.assert_allclose(found[:, 0], scaled(expected), atol=1e-6)


def test_stride_one_leaves_less_of_a_grid():
  """Energy at the frequency of the stride of conv1, 2 pixels, as a share of that of all others."""

  def grid(kind):
    maps = heatmaps(kind)[:, 1, 4:28, 4:28]
    energy = np.abs(np.fft.fft2(maps - maps.mean((1, 2), keepdims=True))) ** 2
    return (energy[:, 12, 0] + energy[:, 0, 12] + energy[:, 12, 12]).sum() / energy.sum()

  assert grid('stride_one') < 0.1 * grid('guided')


def test_what_is_wrong_is_named():
  with pytest.raises(UserError, match=r'kind must be one of stride_one, guided, upsampled'):
    feature_heatmaps(NET, IMAGES, FEATURES, INDICES, 'deconvnet')
  with pytest.raises(UserError, match=r'indices must be \[\d, K\], one row an image, not \(1,'):
    feature_heatmaps(NET, IMAGES, FEATURES, INDICES[:1])
  with pytest.raises(UserError, match=r'feature_heatmaps and the rule .* both say'):
    feature_heatmaps(NET.with_rules(rules.deconvnet), IMAGES, FEATURES, INDICES)
