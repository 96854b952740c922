"""The page from a notebook: of a network, and of activations of any model."""

import dataclasses
import html
import re

import numpy as np
from PIL import Image
import pytest

import concepts
from concepts import overlays
from concepts.figures.overlay_views import Picture
from concepts.overlays import Layer, overlay_of, series_of, similarity_overlay, view_of
from concepts.packing import packed_cosine
from perturb.errors import PerturbWarning, UserError
from tests.small_net import small_net


@pytest.fixture(scope='module')
def pictures():
  return list(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))


@pytest.fixture(scope='module')
def activations():
  return list(np.random.default_rng(1).normal(size=(3, 4, 4, 6)).astype(np.float32))


def test_a_cell_shows_the_page_in_a_frame_of_its_own(pictures, activations, tmp_path):
  name = '"><script>alert(1)</script>'
  page = overlay_of(activations, pictures, names=[name, 'b', 'c'], title='A & B')
  shown = page._repr_html_()
  assert html.unescape(re.search('srcdoc="([^"]*)"', shown)[1]) == page.html
  assert shown.count('<') == 2 and 'allow-same-origin' not in shown
  assert page.save(tmp_path / 'new' / 'page.html').read_text(encoding='utf-8') == page.html
  assert repr(page).startswith('OverlayPage of ')
  assert overlay_of(activations, pictures, names=[name, 'b', 'c'], title='A & B').html == page.html


def test_the_view_has_the_cosines_of_its_activations(activations, pictures):
  shown = [Picture(str(i), pixels) for i, pixels in enumerate(pictures)]
  weights = {'cat': np.array([1, 0, 2, 0, 0, 3.0])}
  view = view_of(shown, [Layer('x', activations, weights)], groups=2)
  layer = view.layers[0]
  exact = concepts.similarity(activations[0], activations[2])
  assert np.abs(packed_cosine(layer.packed, 0, 2) - exact).max() <= layer.packed.error + 1e-6
  exact = concepts.similarity(activations[0], activations[2], weights=weights['cat'])
  assert np.abs(packed_cosine(layer.classes['cat'], 0, 2) - exact).max() <= 0.02
  assert layer.groups.maps[0].shape == (4, 4, 2)
  assert 'x: ' in view.about and 'groups of its positive part' in view.about


def test_layers_of_any_model(activations, pictures):
  grey = pictures[0][..., 0]
  drawn = [np.stack([grey] * 3, -1)] * 3
  assert overlay_of(activations, [grey, grey, grey]).html == overlay_of(activations, drawn).html
  page = overlay_of(
    {'first': activations, 'second': [one[::2, ::2] for one in activations]},
    [Image.fromarray(pictures[0]), pictures[1], pictures[2] / 255],
    weights={'first': {'cat': np.ones(6)}},
    groups=2,
  )
  assert 'first' in page.html and 'second' in page.html


def test_a_network_and_its_pictures(pictures, tmp_path):
  """Of different shapes; what cannot be read is left out."""
  (tmp_path / 'broken.png').write_bytes(b'no picture')
  Image.fromarray(pictures[0]).resize((48, 32)).save(tmp_path / 'wide.png')
  Image.fromarray(pictures[1]).save(tmp_path / 'square.png')
  with pytest.warns(PerturbWarning, match=r'left out: .*broken\.png'):
    page = similarity_overlay(
      small_net(),
      f'{tmp_path}/*.png',
      ['conv2', 'relu3'],
      fit='aspect',
      classes=('cat',),
      rotations=(0, 90),
      scales=(1, 4),
    )
  assert all(name in page.html for name in ('wide', 'square', 'conv2', 'relu3', 'cat', 'SmallNet'))
  assert 'broken' not in page.html


def test_classes_of_one_name_are_told_apart(pictures):
  """As ImageNet's two cranes."""
  net = dataclasses.replace(small_net(), class_names=('crane, bird', 'crane, tool', 'c', 'd', 'e'))
  page = similarity_overlay(net, pictures[:1], ['relu3'], classes=(0, 1, 2))
  assert all(f'["{name}", ' in page.html for name in ('crane (0)', 'crane (1)', 'c'))


def test_the_page_says_that_not_all_pairs_were_checked():
  """Of more patches than are looked at."""
  random = np.random.default_rng(0)
  for side, said in ((45, False), (46, True)):
    layer = Layer('x', [random.random((side, side, 2))], {})
    view = view_of([Picture('a', np.zeros((8, 8, 3), np.uint8))], [layer])
    assert view.about.endswith(' for the pairs checked') == said


def test_transformed_pictures_have_their_places(pictures):
  shown = [Picture('a', pictures[0])]
  series = series_of(shown, (0, 90), (1, 4))
  assert [one.kind for one in series] == ['rotation', 'scale']
  np.testing.assert_array_equal(series[0].pictures[1].pixels, np.rot90(pictures[0]))
  values = [np.ones((4, 4, 3))] * 5
  view = view_of(shown, [Layer('x', values, {})], series=series)
  assert [one.pictures for one in view.transforms] == [(1, 2), (3, 4)]
  places = view.transforms[0].places['x']
  np.testing.assert_array_equal(
    places[0, 1].reshape(4, 4), np.rot90(np.arange(16).reshape(4, 4), -1)
  )
  assert view.shown == 1 and len(view.pictures) == 5


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'activations': {}}, 'at least one layer'),
    ({'names': ['a']}, '1 names for 3 pictures'),
    ({'weights': {'late': {'cat': np.ones(6)}}}, "weights: there is no layer 'late'"),
    ({'activations': [np.ones((4, 4, 6))]}, 'activations: 1 activations for 3 pictures'),
    ({'activations': [np.ones((1, 4, 4, 6))] * 3}, 'activations of picture 1 must be .*batch axis'),
    ({'activations': [np.ones(6)] * 3}, r'must be \[H, W, C\]'),
    ({'pictures': [np.ones((4, 4, 1))] * 3}, r'pictures must be uint8 \[H, W, 3\]'),
    ({'activations': [np.ones((64, 14, 14))] * 3}, r'picture 1: .*: permute\(1, 2, 0\)$'),
    ({'pictures': [np.full((4, 4, 3), 7.0)] * 3}, r'must be in \[0, 1\]'),
  ],
)
def test_what_no_page_can_be_made_of(activations, pictures, change, message):
  given = {'activations': activations, 'pictures': pictures, **change}
  with pytest.raises(UserError, match=message):
    overlay_of(**given)


def test_a_layer_with_too_many_patches_is_refused(monkeypatch):
  monkeypatch.setattr(overlays, 'MOST_PATCHES', 200)
  with pytest.raises(UserError, match="'conv2' has 16 x 16 positions, over the limit of 200"):
    similarity_overlay(small_net(), 'chelsea', ['conv2'])


@pytest.mark.parametrize(
  ('images', 'layers', 'message'),
  [
    ('chelsea', ['mean'], "layers: 'mean' has one value a channel, and no positions"),
    ('chelsea', ['relu9'], "no layer 'relu9'"),
    ('chelsea', 'relu3', 'give a list of at least one name'),
    ('chelsea', ['relu3', 'relu3'], "layers names 'relu3' twice"),
    ([], ['relu3'], 'there is no picture'),
    (['a.png', np.ones((4, 4, 3), np.uint8)], ['relu3'], 'paths or pictures, not both'),
  ],
)
def test_what_a_network_has_no_page_of(images, layers, message):
  with pytest.raises(UserError, match=message):
    similarity_overlay(small_net(), images, layers)
