"""The page of concept vectors: what it is given is in it, whatever the names."""

import base64
import dataclasses

import numpy as np
import pytest

from concepts.embeddings import similarities
from concepts.figures.net2vec_page import net2vec_page
from perturb.errors import UserError
from tests.concepts.studied_concepts import study
from tests.concepts.test_relevant_page import HOSTILE, SHOWN, Parts, pixels, read


@pytest.fixture(scope='module')
def given():
  return study(pictures=3, size=64)


@pytest.fixture(scope='module')
def data(given):
  return read(net2vec_page(given))


def test_the_numbers_are_those_that_are_given(given, data):
  assert [one['name'] for one in data['concepts']] == [one.name for one in given.concepts]
  for written, layer in zip(data['layers'], given.layers, strict=True):
    assert (written['name'], written['task']) == (layer.name, layer.task)
    assert written['best'] == layer.best.tolist()
    for field in ('single', 'combined'):
      values = [np.nan if value is None else value for value in written[field]]
      np.testing.assert_allclose(values, getattr(layer, field), rtol=1e-4)
    for index, rows in enumerate(written['strongest']):
      for filter_, weight, score in rows:
        assert weight == pytest.approx(layer.vectors[index, filter_], rel=1e-4)
        assert score == pytest.approx(layer.filter_scores[index, filter_], rel=1e-4)
      assert layer.best[index] in [-1, *(filter_ for filter_, *_ in rows)]


def test_cosines_of_the_packed_vectors_are_right_to_four_digits(given, data):
  for written, layer in zip(data['layers'], given.layers, strict=True):
    packed = np.frombuffer(base64.b64decode(written['vectors']), '<i2')
    units = packed.reshape(-1, written['filters']) / data['whole']
    known = np.array(written['known'])
    np.testing.assert_array_equal(known, ~np.isnan(layer.vectors).any(1))
    assert not units[~known].any()
    expected = similarities(layer.vectors)[np.ix_(known, known)]
    np.testing.assert_allclose(units[known] @ units[known].T, expected, atol=1e-4)


def test_an_example_has_its_picture_and_its_outlines(given, data):
  for written, one in zip(data['examples'], given.examples, strict=True):
    assert (written['height'], written['width']) == one.truth.shape
    assert set(written['masks']) == set(one.masks)
    assert written['truth'].startswith('M') == one.truth.any()
    for layer, masks in one.masks.items():
      assert bool(written['masks'][layer]['single']) == masks.single.any()
      assert written['masks'][layer]['combined_iou'] == pytest.approx(masks.combined_iou, rel=1e-4)
  for written, picture in zip(data['pictures'], given.pictures, strict=True):
    np.testing.assert_array_equal(pixels(written['picture'])[..., :3], picture.pixels)


def test_the_summary_of_a_layer(given, data):
  layer, written = given.layers[0], data['layers'][0]
  known = ~np.isnan(layer.combined)
  assert written['wins'][0] == pytest.approx(
    np.mean(layer.combined[known] >= layer.single[known]), rel=1e-4
  )
  parts = ['part' in one.categories for one in given.concepts]
  expected = [layer.single[parts].mean(), layer.combined[parts].mean(), sum(parts)]
  assert written['means']['part'] == pytest.approx(expected, rel=1e-4)
  assert written['means']['scene'] == [None, None, 0]


def test_names_are_text_whatever_they_are(given):
  def hostile(one):
    return dataclasses.replace(one, name=HOSTILE)

  examples = [
    dataclasses.replace(one, masks={HOSTILE: one.masks['conv1']}, note=HOSTILE)
    for one in given.examples
  ]
  first = dataclasses.replace(given.concepts[0], name=HOSTILE, categories=(HOSTILE,))
  page = net2vec_page(
    dataclasses.replace(
      given,
      title=HOSTILE,
      made=HOSTILE,
      concepts=[first, *given.concepts[1:]],
      layers=[hostile(given.layers[0])],
      pictures=[hostile(one) for one in given.pictures],
      examples=examples,
      subsets=[dataclasses.replace(given.subsets[0], layer=HOSTILE)],
      distances=dataclasses.replace(given.distances, names=(HOSTILE,) * 6),
    )
  )
  assert len(Parts(page).scripts) == 2  # The data, and the template's own.
  data = read(page)
  assert data['title'] == data['layers'][0]['name'] == data['pictures'][0]['name'] == SHOWN
  assert data['concepts'][0]['name'] == data['concepts'][0]['categories'][0] == SHOWN
  assert list(data['examples'][0]['masks']) == [SHOWN] and SHOWN in data['layers'][0]['means']
  page.encode()  # No half of a pair is left.


def test_the_page_loads_nothing_from_outside(given):
  page = net2vec_page(given)
  assert [a for a in Parts(page).addresses if not a.startswith(('#', 'data:'))] == []
  assert page.count('http') == page.count('http://www.w3.org/2000/svg') == 1  # A name space.
  assert page == net2vec_page(given)


def test_parts_that_are_not_there(given):
  layers = [dataclasses.replace(one, map=None) for one in given.layers]
  data = read(
    net2vec_page(
      dataclasses.replace(
        given, layers=layers, pictures=[], examples=[], subsets=[], distances=None
      )
    )
  )
  assert data['layers'][0]['map'] is None and data['distances'] is None
  assert data['examples'] == data['subsets'] == []


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda s: {'concepts': s.concepts[1:]}, r"vectors of layer 'conv1': 33 rows, not 32 concepts"),
    (lambda _: {'pictures': []}, r'example 0: concept \d+ or picture 0 is not in the study'),
    (lambda s: {'layers': s.layers[1:3]}, "example 0 has masks of 'conv1', which is no layer"),
    (
      lambda s: {'subsets': [dataclasses.replace(s.subsets[0], counts=np.array([1]))]},
      r"subsets of 'conv5': scores are \[7, 33\], not \[1, 33\]",
    ),
  ],
)
def test_a_study_that_does_not_fit_is_named(given, change, message):
  with pytest.raises(UserError, match=message):
    net2vec_page(dataclasses.replace(given, **change(given)))
