"""The page of relevant features: what it is given is in it, whatever the names, and it is small."""

import base64
import dataclasses
import html.parser
import io
import json

import numpy as np
from PIL import Image
import pytest
from skimage import data as photographs
from skimage import filters

from concepts.figures import relevant_page as pages
from concepts.figures.relevant_page import relevant_page
from concepts.figures.views import ClassView, ImageView, Study
from perturb.errors import UserError
from tests.concepts.studied_flowers import study

HOSTILE = '</script><script>alert(1)</script>"\'&amp; 🌷 写真 \u202e \udcff'
SHOWN = '</script><script>alert(1)</script>"\'&amp; 🌷 写真 \\u202e \\xff'


class Parts(html.parser.HTMLParser):
  """The texts of the scripts of a page, and the addresses in its markup."""

  def __init__(self, page):
    super().__init__()
    self.scripts, self.addresses, self.inside = [], [], False
    self.feed(page)

  def handle_starttag(self, tag, attributes):
    self.inside = tag == 'script'
    if self.inside:
      self.scripts.append('')
    self.addresses += [value for name, value in attributes if name in ('src', 'href', 'srcset')]

  def handle_endtag(self, tag):
    self.inside = self.inside and tag != 'script'

  def handle_data(self, data):
    if self.inside:
      self.scripts[-1] += data


def read(page):
  return json.loads(Parts(page).scripts[0])


def pixels(url):
  kind, _, code = url.partition(',')
  assert kind == 'data:image/webp;base64'
  return np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))


@pytest.fixture(scope='module')
def given():
  return study(images=4, size=40, side=16)


@pytest.fixture(scope='module')
def data(given):
  return read(relevant_page(given))


def test_the_numbers_are_those_that_are_given(given, data):
  assert [one['name'] for one in data['classes']] == [one.name for one in given.classes]
  for written, one in zip(data['classes'], given.classes, strict=True):
    assert [tuple(pair) for pair in written['features']] == one.features
    assert (written['images'], written['accuracy']) == (one.images, one.accuracy)
  for written, image in zip(data['images'], given.images, strict=True):
    assert [tuple(feature) for feature in written['features']] == image.features
    assert written['probability'] == image.probability
    assert (written['label'], written['predicted']) == (image.label, image.predicted)
  for written, curve in zip(data['curves'], given.curves, strict=True):
    assert written['counts'] == curve.counts.tolist()
    assert written['accuracy'] == curve.accuracy.tolist()
    assert (
      written['deviation']
      == np.broadcast_to(
        0 if curve.deviation is None else curve.deviation, curve.counts.shape
      ).tolist()
    )
  for written, (name, mean, deviation, paper) in zip(data['table'], given.table, strict=True):
    assert (written['name'], written['ours']) == (name, [mean, deviation])
    assert written['paper'] == (paper and list(paper))
  assert data['parts'] == {name: list(numbers) for name, *numbers in given.parts}


def test_a_feature_is_found_by_its_index(given, data):
  assert {int(index) for index in data['features']} == set(given.features)
  for index, view in given.features.items():
    written = data['features'][str(index)]
    assert (written['layer'], written['filter']) == (view.layer, view.filter)
    assert (written['depth'], written['layers']) == (view.depth, view.layers)
    assert written['connected'] == view.connected
    assert tuple(written['responses']) == view.responses
    np.testing.assert_array_equal(pixels(written['average'])[..., :3], view.average)
    assert pixels(written['patches']).shape[:2] == (64, 64 * len(view.patches))


def test_a_small_heatmap_loses_only_its_last_bits(given, data):
  for written, image in zip(data['images'], given.images, strict=True):
    for url, values in zip(written['heatmaps'], image.heatmaps, strict=True):
      grey = pixels(url)
      assert (grey == grey[..., :1]).all()
      np.testing.assert_allclose(grey[..., 0] / 255, values, atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(pixels(written['picture'])[..., :3], image.picture)


def test_a_large_heatmap_is_near():
  smooth = filters.gaussian(np.random.default_rng(0).uniform(size=(128, 128)), 3)
  smooth = (smooth - smooth.min()) / np.ptp(smooth)
  error = pixels(pages._heatmap(smooth))[..., 0] / 255 - smooth
  assert np.sqrt(np.mean(error**2)) < 0.02


def test_the_outline_encloses_the_mask(given, data):
  """A ray from a pixel to the right crosses the outline an odd number of times if it is inside."""
  image, path = given.images[0], data['images'][0]['outline']
  loops = [
    np.array([point.split(',') for point in loop.strip('Z').split()], float)
    for loop in path.split('M')[1:]
  ]
  y, x = np.mgrid[: len(image.mask), : image.mask.shape[1]] + 0.5
  inside = np.zeros(image.mask.shape, bool)
  for loop in loops:
    for (x0, y0), (x1, y1) in zip(loop, np.roll(loop, -1, 0), strict=True):
      if y0 != y1:
        crossed = (np.minimum(y0, y1) <= y) & (y < np.maximum(y0, y1))
        inside ^= crossed & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
  assert np.mean(inside != image.mask) < 0.02 < np.mean(image.mask)


def test_names_are_text_whatever_they_are(given):
  image = dataclasses.replace(given.images[0], name=HOSTILE, label=HOSTILE, predicted=HOSTILE)
  one = dataclasses.replace(given.classes[0], name=HOSTILE)
  feature = dataclasses.replace(given.features[0], layer=HOSTILE, sources=(HOSTILE,) * 9)
  page = relevant_page(
    Study(
      HOSTILE,
      HOSTILE,
      given.features | {0: feature},
      [one],
      [image],
      [dataclasses.replace(given.curves[0], name=HOSTILE)],
      [(HOSTILE, 1.0, 0.1, None)],
    )
  )
  assert len(Parts(page).scripts) == 2  # The data, and the template's own.
  data = read(page)
  assert data['images'][0]['name'] == data['images'][0]['predicted'] == SHOWN
  assert data['classes'][0]['name'] == data['features']['0']['layer'] == data['title'] == SHOWN
  assert data['features']['0']['sources'] == [SHOWN] * 9
  assert data['table'][0]['name'] == data['curves'][0]['name'] == SHOWN
  page.encode()  # No half of a pair is left.


def test_parts_that_are_not_there(given):
  silent = dataclasses.replace(
    given.features[0], average=None, patches=given.features[0].patches[:0], sources=(), responses=()
  )
  image = dataclasses.replace(
    given.images[0],
    features=[],
    heatmaps=given.images[0].heatmaps[:0],
    mask=None,
    probability=np.nan,
    label='',
  )
  unseen = ClassView('unseen', [(0, -1.0)], 0, np.nan)
  data = read(relevant_page(Study('', '', {0: silent}, [unseen], [image])))
  assert data['features']['0']['average'] is None and data['features']['0']['patches'] == ''
  assert data['classes'][0]['accuracy'] is None and data['classes'][0]['features'] == [[0, -1.0]]
  assert data['images'][0]['probability'] is None and data['images'][0]['outline'] == ''
  assert data['curves'] == data['table'] == []
  assert read(relevant_page(Study('', '', {}, [], [])))['images'] == []


def test_the_page_loads_nothing_from_outside(given):
  page = relevant_page(given)
  addresses = [a for a in Parts(page).addresses if not a.startswith(('#', 'data:'))]
  assert addresses == []
  assert page.count('http') == page.count('http://www.w3.org/2000/svg') == 1  # A name space.


def test_the_same_study_gives_the_same_page(given):
  assert relevant_page(given) == relevant_page(given)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'features': {}}, r"class 'petals red' has feature 0, which is not among"),
    (
      {'features': {}, 'classes': []},
      r"image 'petals red 00' has feature \d+, which is not among",
    ),
  ],
)
def test_an_unknown_feature_is_named(given, change, message):
  with pytest.raises(UserError, match=message):
    relevant_page(dataclasses.replace(given, **change))


def test_a_heatmap_too_few_is_named(given):
  image = dataclasses.replace(given.images[0], heatmaps=given.images[0].heatmaps[1:])
  with pytest.raises(UserError, match="'petals red 00' has 3 heatmaps for 4 features"):
    relevant_page(dataclasses.replace(given, images=[image]))


def test_500_photographs_with_four_heatmaps_stay_below_20_megabytes():
  """Their edges are about as rough as what guided backpropagation gives."""
  y, x = np.mgrid[-112:112, -112:112]
  written = []
  for name in ('astronaut', 'chelsea', 'coffee', 'rocket'):
    picture = np.asarray(Image.fromarray(getattr(photographs, name)()).resize((224, 224)))
    edges = np.abs(filters.laplace(picture.mean(-1)))
    edges = np.clip(edges / np.percentile(edges, 99.5), 0, 1)
    features, heatmaps = [(k, 0.1, 0.1) for k in range(4)], np.stack([edges] * 4)
    mask = np.hypot(y, x) < 80
    view = ImageView(name, picture, 'a', 'a', 0.9, features, heatmaps, edges, mask)
    written.append(len(json.dumps(pages._image(view))))
  assert 500 * np.mean(written) < 20e6, written
