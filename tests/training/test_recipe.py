"""The recipe: what it refuses, and where a network drops activations."""

import pytest

from perturb import nets
from perturb.errors import UserError
from perturb.training.recipe import Recipe, sites_of

RESNET = nets.ResNet(depths=(1, 2, 1), width=4, classes=5)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'occlusion': 'cutuot'}, "occlusion must be one of none, hide_and_seek, .*, not 'cutuot'"),
    ({'occlusion': 'cutout', 'options': {'sides': 3}}, "no option 'sides'; did you mean 'side'"),
    ({'occlusion': 'cutout', 'options': {'side': 0}}, 'side must be a whole number, at least 1'),
    (
      {'occlusion': 'hide_and_seek', 'options': {'keep': 1.2}},
      'keep must be .*at most 1, not 1.2',
    ),
    ({'occlusion': 'salient'}, "occlusion 'salient' needs the option 'layer'"),
    ({'options': {'side': 3}}, "occlusion 'none' has no option 'side'"),
    ({'dropout': 'block'}, 'dropout must be one of none, dropout, spatial_dropout, drop_block'),
    ({'dropout_keep': 0.0}, 'dropout_keep must be above 0 and at most 1, not 0.0'),
    ({'label_smoothing': 1.0}, 'label_smoothing must be at least 0 and below 1, not 1.0'),
    ({'average': 1.0}, 'average must be'),
    ({'joint': True, 'keep_image': 0.5}, 'keep_image must be 0 where joint is True'),
  ],
)
def test_a_wrong_field_is_named(fields, message):
  with pytest.raises(UserError, match=message):
    Recipe(**fields)


def test_alexnet_and_vgg_drop_half_around_their_linear_layers():
  assert [*sites_of(Recipe(), nets.AlexNet())] == ['avgpool', 'classifier.2']
  assert [*sites_of(Recipe(), nets.VGG())] == ['classifier.1', 'classifier.4']
  assert {site.drop.keywords['keep'] for site in sites_of(Recipe(), nets.AlexNet()).values()} == {
    0.5
  }
  assert sites_of(Recipe(), RESNET) == {}


def test_drop_block_comes_after_every_convolution_of_the_last_two_blocks_and_on_their_skips():
  sites = sites_of(Recipe(dropout='drop_block', dropout_block=3), RESNET)
  blocks = ['layer2.0', 'layer2.1', 'layer3.0']
  assert [*sites] == [b + end for b in blocks for end in ('.relu1', '.relu2', '.add')]
  assert all(site.shortcut for site in sites.values())
  plain = sites_of(Recipe(dropout='dropout'), RESNET)
  assert [*plain] == [*sites] and not any(site.shortcut for site in plain.values())


def test_layers_may_be_named():
  recipe = Recipe(dropout='spatial_dropout', dropout_layers=('fc7', 'conv5_3'))
  assert [*sites_of(recipe, nets.VGG())] == ['classifier.1', 'classifier.4', 'features.29']
  for layers, message in (
    (('fc9',), "VGG has no layer 'fc9'"),
    (('input',), "dropout_layers: 'input' is no layer"),
    ((), 'dropout_layers: VGG has no usual ones; name some'),
  ):
    with pytest.raises(UserError, match=message):
      sites_of(Recipe(dropout='dropout', dropout_layers=layers), nets.VGG())
