"""Masks of vectors: the overlap by hand, the dilated filter, the vector as a network."""

import dataclasses

import numpy as np
import pytest

from concepts.bilinear import interpolated
from concepts.binarised import binarised
from concepts.concept_masks import Fits, concept_mask, vector_fits
from concepts.probe_vectors import pairs_of as pairs_of_probe
from concepts.probe_vectors import segment_vectors
from concepts.vector_networks import concept_function
from perturb import cam, grad_cam
from perturb.errors import UserError
from perturb.ops.heatmaps import resize
from tests.concepts.planted import SHARE, SIDE, planted_images, planted_net, planted_probe
from tests.concepts.vector_problem import SIZE, K, active, pairs_of, problem

ONE_HOT = np.eye(6)


@pytest.mark.parametrize('corners', [True, False])
def test_fits_are_those_of_a_loop(corners):
  packed, pairs = problem()
  weights = np.random.RandomState(5).randn(3, K).astype(np.float32)
  concept = np.array([2, 0, 2])
  found = vector_fits(weights, concept, binarised(packed, K), pairs, align_corners=corners, chunk=4)
  masks = np.unpackbits(pairs.masks, axis=-1, count=SIZE[0] * SIZE[1]).reshape(-1, *SIZE) > 0
  rows = [(v, p) for v in range(3) for p in np.flatnonzero(pairs.concept == concept[v])]
  np.testing.assert_array_equal(np.stack([found.vector, found.pair], axis=1), rows)
  sums = np.stack([active()[pairs.picture[p]] @ weights[v] for v, p in rows])
  expected = np.asarray(interpolated(sums, SIZE, corners)) > 0
  label = masks[found.pair]
  np.testing.assert_array_equal(found.intersection, (expected & label).sum((1, 2)))
  np.testing.assert_array_equal(found.union, (expected | label).sum((1, 2)))


def test_overlaps_by_hand():
  found = Fits(np.array([0, 0, 2]), np.arange(3), np.array([1, 3, 0]), np.array([4, 4, 0]))
  np.testing.assert_array_equal(found.of_sets(3), [0.5, np.nan, np.nan])
  np.testing.assert_array_equal(found.of_pictures(), [0.25, 0.75, np.nan])


@pytest.mark.parametrize('corners', [True, False])
def test_a_vector_of_one_filter_gives_the_filters_mask_dilated(corners):
  """sigma(w s) > 1/2 where s > 0; the filter's own mask is where s > 1/2."""
  shares = np.asarray(interpolated(active()[..., 4].astype(np.float32), SIZE, corners))
  own = shares > 0.5
  pairs = pairs_of(np.zeros(10, int), np.arange(10), own)
  vector = 3 * np.eye(K, dtype=np.float32)[[4]]
  packed = binarised(np.packbits(active(), axis=-1), K)
  found = vector_fits(vector, [0], packed, pairs, align_corners=corners)
  np.testing.assert_array_equal(found.intersection, own.sum((1, 2)))
  np.testing.assert_array_equal(found.union, (shares > 0).sum((1, 2)))
  assert found.of_sets(1) < 0.9


def test_upsampling_keeps_what_is_linear():
  maps = np.add.outer(np.arange(4.0), 10 * np.arange(3.0)).astype(np.float32)
  found = interpolated(maps, (13, 5), True)
  expected = np.add.outer(np.linspace(0, 3, 13), 10 * np.linspace(0, 2, 5))
  np.testing.assert_allclose(found, expected, atol=1e-5)
  np.testing.assert_allclose(interpolated(maps, (13, 5), False), resize(maps, (13, 5)), atol=1e-5)


def test_a_vector_as_a_network():
  """Its class activation map is the sum of the maps, its score their mean."""
  net = planted_net()
  x, _ = planted_images(1)
  f = concept_function(net, 'relu1', 2 * ONE_HOT[0] - ONE_HOT[2])
  maps = 2 * x[..., 0] - x[..., 2]
  np.testing.assert_allclose(cam(f, x, 0), maps, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(f(x)[:, 0], maps.mean((1, 2)), rtol=1e-5)
  assert grad_cam(f, x, 0, 'conv1').shape == maps.shape


def test_a_soft_threshold_counts_what_is_above_it():
  x = np.zeros((1, 8, 8, 3), np.float32)
  x[0, :2, :, 1], x[0, 4, :, 1] = 1, 0.4
  f = concept_function(planted_net(), 'relu1', 5 * ONE_HOT[1], np.array([0, 0.5, 0, 0, 0, 0]))
  np.testing.assert_allclose(f(x), [[5 * (2 + 1 / (1 + np.e**2)) / 8]], rtol=1e-3)


def test_the_planted_filters_carry_their_concepts():
  net = dataclasses.replace(planted_net(), size=SIDE)
  found = segment_vectors(net, 'conv1', planted_probe(), tau=SHARE, learning_rate=0.05, key=1)
  assert found.names == ('red', 'green', 'blue')
  assert found.left_out == ('night',)
  np.testing.assert_array_equal(found.weights.argmax(1), [0, 1, 2])
  np.testing.assert_array_equal(found.iou, 1)
  x = net.preprocess(np.asarray(planted_probe().pictures.picture(1)[0]))[None]
  mask = concept_mask(net, 'conv1', found.weights[1], found.thresholds, x)
  label = pairs_of_probe(planted_probe()).take(np.array([1])).masks
  np.testing.assert_array_equal(np.packbits(mask > 0.5), label.ravel())


def test_what_is_wrong_is_named():
  net, x = planted_net(), planted_images(1)[0]
  with pytest.raises(UserError, match="layer 'mean' has one value a filter"):
    concept_mask(net, 'mean', np.ones(6), np.ones(6), x)
  with pytest.raises(UserError, match=r'vector must be \[6\], the filters of conv1, not \(3,\)'):
    concept_function(net, 'conv1', np.ones(3))
  with pytest.raises(UserError, match=r'thresholds must be \[6\]'):
    concept_mask(net, 'conv1', np.ones(6), np.ones((6, 1)), x)
  with pytest.raises(UserError, match="layer 'mean' has one value a filter"):
    segment_vectors(net, 'mean', planted_probe())
