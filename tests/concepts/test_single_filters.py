"""A network of which it is known which filter stands for which concept."""

import dataclasses

import numpy as np
import pytest

from concepts.single_filters import dissect, labels_of
from perturb.errors import UserError
from tests.concepts.planted import SHARE, SIDE, planted_net, planted_probe


def planted(layer='conv1', **options):
  net = dataclasses.replace(planted_net(), size=SIDE)
  return dissect(net, layer, planted_probe(), tau=SHARE, batch=4, **options)


@pytest.mark.parametrize('mode', ['net2vec', 'netdissect'])
def test_the_planted_filters_are_found(mode):
  found = planted(mode=mode)
  assert found.names == ('red', 'green', 'blue', 'night')
  np.testing.assert_array_equal(found.thresholds.above[:3], SHARE)
  np.testing.assert_array_equal(found.best.filters, [0, 1, 2, -1])
  np.testing.assert_array_equal(found.best.train, [1, 1, 1, np.nan])
  np.testing.assert_array_equal(found.best.val, [1, 1, 1, np.nan])
  np.testing.assert_array_equal(found.detectors.concepts[:2], [0, 1])
  assert found.detectors.unique['color'] == 3


def test_concepts_without_pictures_and_constant_filters_are_named():
  found = planted()
  assert found.left_out == ('night',)
  assert found.silent == (3, 4, 5)
  assert np.isnan(found.iou[0, 3]).all()
  np.testing.assert_array_equal(found.iou[:, :3, 3:], 0)


def test_pictures_that_go_through_the_network_twice_give_the_same():
  once, twice = planted(), planted(kept=0)
  np.testing.assert_array_equal(once.iou, twice.iou)
  np.testing.assert_array_equal(once.thresholds.above, twice.thresholds.above)


def test_the_maps_of_a_picture_are_read_once():
  probe, read = planted_probe(), []

  def counted(index):
    read.append(index)
    return probe.read(index)

  found = list(labels_of(dataclasses.replace(probe, read=counted), 4, workers=1))
  assert sorted(read) == list(range(len(probe.train)))
  concepts, masks = (np.concatenate([one[field] for one in found]) for field in range(2))
  for index in read:
    indices, expected = probe.masks(index)
    np.testing.assert_array_equal(concepts[index][: len(indices)], indices)
    np.testing.assert_array_equal(masks[index][: len(indices)], expected)


def test_what_is_wrong_is_named():
  with pytest.raises(UserError, match="layer 'mean' has one value a filter, no map"):
    planted('mean')
  with pytest.raises(UserError, match='mode must be one of net2vec, netdissect'):
    planted(mode='netdisect')
