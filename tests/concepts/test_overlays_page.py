"""The page of similarity overlays: what is written into it."""

import base64
import hashlib
import json
import re
import zlib

import numpy as np
import pytest

from concepts.figures.overlay_views import Picture
from concepts.figures.overlays_page import STEPS, colour_tables, overlays_page
from perturb.errors import UserError
from tests.concepts.overlay_studies import study
from tests.concepts.test_relevant_page import HOSTILE, SHOWN

# Machado et al. (2009): what linear sRGB is to those without red or green cones.
BLINDNESS = {
  'protanopia': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                 [-0.003882, -0.048116, 1.051998]],
  'deuteranopia': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                   [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip


@pytest.fixture(scope='module')
def given():
  return study()


@pytest.fixture(scope='module')
def page(given):
  return overlays_page(given.overlay)


def data_of(page):
  return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])


def bytes_of(text, kind):
  return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)


def test_the_numbers_are_those_that_were_given(page, given):
  data = data_of(page)
  assert [one['name'] for one in data['layers']] == ['early', 'late']
  for layer, view in zip(data['layers'], given.overlay.layers, strict=True):
    packed = layer['packed']
    assert packed['sizes'] == [list(codes.shape[:2]) for codes in view.packed.codes]
    codes = np.concatenate([one.reshape(-1, packed['axes']) for one in view.packed.codes])
    np.testing.assert_array_equal(bytes_of(packed['codes'], np.int8), codes.ravel())
    lengths = np.concatenate([one.ravel() for one in view.packed.lengths])
    np.testing.assert_array_equal(bytes_of(packed['lengths'], '<f4'), lengths)
    maps = np.concatenate([one.ravel() for one in view.groups.maps])
    found = bytes_of(layer['groups']['maps'], np.uint8) / 255
    np.testing.assert_allclose(found, maps, atol=0.5 / 255 + 1e-6)
  turned = data['transforms'][0]
  places = given.overlay.transforms[0].places['late']
  np.testing.assert_array_equal(bytes_of(turned['places'][1], '<i2'), places.ravel())


def test_only_its_own_script_and_style_may_run(page):
  policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
  assert policy.startswith("default-src 'none'; img-src data:;")
  for tag, source in (('style', 'style-src'), ('script', 'script-src')):
    text = re.search(rf'<{tag}>(.*?)</{tag}>', page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"{source} 'sha256-{digest}'" in policy
  assert not re.search(r'(src|href)="(?!data:)', page) and 'style="' not in page


def test_names_are_text():
  given = study(2, names=(HOSTILE,))
  layer = given.overlay.layers[0]._replace(name=HOSTILE, classes={HOSTILE: layer_class(given)})
  turned = [one._replace(places={}) for one in given.overlay.transforms]
  page = overlays_page(
    given.overlay._replace(title=HOSTILE, about=HOSTILE, layers=[layer], transforms=turned)
  )
  data = data_of(page)
  found = (data['title'], data['about'], data['pictures'][0]['name'], data['layers'][0]['name'])
  assert set(found) == {SHOWN} and data['layers'][0]['classes'][0][0] == SHOWN
  assert page.count('</script>') == 2 and data['transforms'][0]['places'] == [None]


def layer_class(given):
  return next(iter(given.overlay.layers[0].classes.values()))


def test_the_same_page_twice(page, given):
  assert overlays_page(given.overlay) == page


def changed(given, **of_layer):
  return given.overlay._replace(layers=[given.overlay.layers[0]._replace(**of_layer)])


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    (lambda given: given.overlay._replace(layers=[]), 'no layer'),
    (lambda given: given.overlay._replace(shown=99), 'shown is 99'),
    (
      lambda given: given.overlay._replace(
        pictures=[*given.overlay.pictures, Picture('more', np.zeros((4, 4, 3), np.uint8))]
      ),
      "layer 'early': 12 pictures, but the page has 13",
    ),
    (
      lambda given: changed(given, classes={'tabby': given.overlay.layers[0].packed}),
      "class 'tabby' of layer 'early': 12 pictures, but the page has 5",
    ),
    (
      lambda given: changed(given, groups=given.overlay.layers[1].groups),
      "layer 'early': groups has .* patches where the layer has",
    ),
    (
      lambda given: changed(
        given, packed=given.overlay.layers[0].packed._replace(lengths=[np.ones((2, 2))] * 12)
      ),
      r"layer 'early': codes .* with lengths \(2, 2\)",
    ),
    (
      lambda given: given.overlay._replace(
        transforms=[given.overlay.transforms[0]._replace(kind='rotate')]
      ),
      'rotation',
    ),
    (
      lambda given: given.overlay._replace(
        transforms=[given.overlay.transforms[0]._replace(pictures=(0, 99, 1, 2))]
      ),
      r"rotation of 'picture 0': it has pictures \(0, 99, 1, 2\) of 12",
    ),
    (
      lambda given: given.overlay._replace(
        transforms=[given.overlay.transforms[0]._replace(places=given.overlay.transforms[1].places)]
      ),
      "places .* do not fit layer 'early'",
    ),
    (
      lambda given: given.overlay._replace(
        transforms=[given.overlay.transforms[0]._replace(amounts=())]
      ),
      '0 amounts for 4 pictures',
    ),
  ],
)
def test_parts_that_do_not_belong_together_are_refused(given, change, said):
  with pytest.raises(UserError, match=said):
    overlays_page(change(given))


def lightness(colours):
  """L of OKLab, of uint8 colours."""
  linear = linear_of(colours)
  cones = linear @ np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
  ).T  # fmt: skip
  return np.cbrt(cones) @ [0.2104542553, 0.7936177850, -0.0040720468]


def linear_of(colours):
  share = colours[:, :3] / 255
  return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def test_equal_steps_of_the_number_are_equal_steps_of_lightness():
  table = colour_tables()['amber']
  for side in (table[STEPS:], table[STEPS::-1]):
    steps = np.diff(lightness(side)[::15])
    assert steps.min() > 0.6 * steps.mean() and steps.max() < 1.4 * steps.mean()


@pytest.mark.parametrize('kind', BLINDNESS)
def test_signs_are_told_apart_without_red_or_green(kind):
  table = colour_tables()['amber']
  seen = np.clip(linear_of(table) @ np.array(BLINDNESS[kind]).T, 0, 1)
  yellow = seen[:, :2].mean(1) - seen[:, 2]
  some = STEPS // 5
  assert (yellow[STEPS + some :] > 0.005).all() and (yellow[: STEPS - some] < -0.005).all()


def test_the_grey_of_the_article_has_no_negative_numbers():
  grey = colour_tables()['grey']
  assert (grey[:STEPS, :3] == 0).all() and (grey[-1] == 255).all()
  np.testing.assert_array_equal(grey[STEPS:, 0], np.arange(STEPS + 1))
