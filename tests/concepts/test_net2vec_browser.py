"""The page of concept vectors as a person uses it, in Chromium: python -m pytest -m system."""

import dataclasses
import io
from urllib.parse import quote

import numpy as np
from PIL import Image
import pytest

from concepts.embeddings import Embedding
from concepts.figures.net2vec_page import net2vec_page
from tests.concepts.browsing import (
  DESKTOP,
  PHONE,
  background_is_light,
  contrasts,
  nameless,
  runs_off,
)
from tests.concepts.studied_concepts import study
from tests.concepts.test_relevant_page import HOSTILE, SHOWN

pytestmark = pytest.mark.system

PLACES = ['#concept=dog', '#sum=grass,blue&minus=green', '#map', '#layers']
VIEWPORTS = pytest.mark.parametrize('viewport', [DESKTOP, PHONE], ids=['desktop', 'phone'])


@pytest.fixture(scope='module')
def given():
  painted = study(pictures=6)
  renamed = dataclasses.replace(painted.concepts[-1], name=HOSTILE)
  return dataclasses.replace(painted, concepts=[*painted.concepts[:-1], renamed])


@pytest.fixture(scope='module')
def address(given, tmp_path_factory):
  path = tmp_path_factory.mktemp('page') / 'page.html'
  path.write_text(net2vec_page(given), encoding='utf-8')
  return path.as_uri()


def listed(page):
  """The names in the list."""
  return page.locator('.list li:visible .name').all_inner_texts()


def asked_for(page):
  return page.locator('#concept h2').inner_text()


def near(page, place):
  """(name, cosine) of a list of neighbours."""
  items = page.locator(f'{place} .near li, {place}.near li')
  return [
    (one.locator('a').inner_text(), float(one.locator('.number').inner_text().replace('−', '-')))  # noqa: RUF001
    for one in items.all()
  ]


def layer_of(given, name, task='segmentation'):
  return next(one for one in given.layers if (one.name, one.task) == (name, task))


def embedding(given, name, task='segmentation'):
  names = [SHOWN if one.name == HOSTILE else one.name for one in given.concepts]
  return Embedding(names, layer_of(given, name, task).vectors)


def index_of(given, name):
  return next(i for i, one in enumerate(given.concepts) if one.name == name)


def same_answers(found, expected):
  assert [name for name, _ in found] == [name for name, _ in expected]
  np.testing.assert_allclose(
    [cosine for _, cosine in found], [cosine for _, cosine in expected], atol=0.0051
  )


def test_search_leads_to_the_concept(opened, given):
  page = opened()
  page.get_by_role('searchbox', name='Search').fill('hEaDl')
  assert listed(page) == ['headlight'] and asked_for(page) == 'headlight'
  assert page.locator('#count').inner_text() == f'1 of {len(given.concepts)} concepts'
  one = given.concepts[index_of(given, 'headlight')]
  text = page.locator('#concept .chips').inner_text()
  assert f'{one.train} pictures to train, {one.val} to validate' in text and 'part' in text
  page.get_by_role('searchbox', name='Search').fill('no such concept')
  assert listed(page) == [] and 'No concept is like that' in page.locator('#concept').inner_text()


def test_a_category_and_an_order(opened, given):
  page = opened()
  page.get_by_role('combobox', name='Category').select_option('object')
  page.get_by_role('combobox', name='Order').select_option('largest gain over one filter')
  layer = layer_of(given, 'conv5')
  objects = [i for i, one in enumerate(given.concepts) if 'object' in one.categories]
  objects.sort(key=lambda i: layer.single[i] - layer.combined[i])
  assert listed(page) == [given.concepts[i].name for i in objects]
  assert 'door' in listed(page)  # Its first category is another.


def test_an_example_has_its_masks(opened, given):
  page = opened('#concept=dog&layer=conv5')
  dog = index_of(given, 'dog')
  examples = [one for one in given.examples if one.concept == dog]
  items = page.locator('.examples li')
  assert items.count() == 4
  page.get_by_role('button', name=f'Show all {len(examples)}').click()
  assert items.count() == len(examples)
  for item, one in zip(items.all(), examples, strict=True):
    text, masks = item.inner_text(), one.masks['conv5']
    assert given.pictures[one.picture].name in text
    assert f'single filter, IoU {masks.single_iou:.2f}' in text
    assert f'combination, IoU {masks.combined_iou:.2f}' in text
  page.get_by_role('button', name='Layers side by side').click()
  assert 'conv1, IoU' in items.first.inner_text() and 'conv3, IoU' in items.first.inner_text()


def test_outside_the_mask_it_is_dark(opened, given):
  page = opened('#concept=sky&layer=conv5')
  page.get_by_label('outline').uncheck()
  page.add_style_tag(content='.stage { border-radius: 0 !important; }')
  example = next(one for one in given.examples if one.concept == index_of(given, 'sky'))
  stages = page.locator('.examples li').first.locator('.stage')
  plain, masked = (
    np.asarray(Image.open(io.BytesIO(stages.nth(k).screenshot())).convert('L'), float)
    for k in (0, 2)
  )
  mask = example.masks['conv5'].combined
  rows, columns = (
    (np.arange(n) + 0.5) * m // n for n, m in zip(plain.shape, mask.shape, strict=True)
  )
  inside = mask[np.ix_(rows.astype(int), columns.astype(int))]
  ratio = masked[: len(plain), : plain.shape[1]] / np.maximum(plain, 1)
  assert np.median(ratio[inside]) == pytest.approx(1, abs=0.02)
  assert np.median(ratio[~inside]) == pytest.approx(0.3, abs=0.04)
  assert np.mean((ratio > 0.65) == inside) > 0.97


def test_the_filters_are_those_of_largest_weight(opened, given):
  page = opened('#concept=dog&layer=conv3')
  layer, dog = layer_of(given, 'conv3'), index_of(given, 'dog')
  table = page.locator('#concept table').nth(1)
  shown = [int(text) for text in table.locator('tbody th').all_inner_texts()]
  order = np.argsort(-np.abs(layer.vectors[dog])).tolist()
  assert set(order[:11]) <= set(shown) and layer.best[dog] in shown
  row = table.locator('tbody tr').nth(shown.index(layer.best[dog]))
  assert row.locator('b').inner_text() == 'dog'
  assert f'{layer.single[dog]:.2f}' in row.inner_text()


def test_neighbours_are_those_of_the_embedding(opened, given):
  page = opened('#concept=dog&layer=' + quote('conv5 (classification)'))
  same_answers(
    near(page, '#concept'), embedding(given, 'conv5', 'classification').nearest('dog', 10)
  )
  page.locator('#concept .near a').first.click()
  assert asked_for(page) == embedding(given, 'conv5', 'classification').nearest('dog')[0][0]
  page.go_back()
  assert asked_for(page) == 'dog'


def test_a_sum_is_made_by_hand(opened, given):
  page = opened('#sum')
  page.get_by_role('combobox', name='Concept').fill('grass')
  page.get_by_role('button', name='add').click()
  page.get_by_role('combobox', name='Concept').fill('Blue')
  page.keyboard.press('Enter')
  page.get_by_role('combobox', name='Concept').fill('green')
  page.get_by_role('button', name='subtract').click()
  expected = embedding(given, 'conv5').arithmetic(['grass', 'blue'], ['green'], count=12)
  same_answers(near(page, '#answers'), expected)
  assert page.url.endswith('#sum=grass,blue&minus=green&layer=conv5')
  page.get_by_role('button', name='Remove blue').click()
  expected = embedding(given, 'conv5').arithmetic(['grass'], ['green'], count=12)
  same_answers(near(page, '#answers'), expected)
  page.get_by_role('combobox', name='Layer').select_option('conv3')
  expected = embedding(given, 'conv3').arithmetic(['grass'], ['green'], count=12)
  same_answers(near(page, '#answers'), expected)


def test_a_sum_without_an_answer_says_why(opened):
  page = opened('#sum=grass&minus=grass')
  assert 'The sum is zero' in page.get_by_role('status').inner_text()
  page = opened('#sum=street')
  assert 'street has no vector in conv5' in page.get_by_role('status').inner_text()
  page.get_by_role('combobox', name='Concept').fill('unicorn')
  page.get_by_role('button', name='add').click()
  assert 'No concept has the name unicorn' in page.get_by_role('status').inner_text()


def test_keys_step_through_the_concepts(opened):
  page = opened()
  page.get_by_role('combobox', name='Category').select_option('texture')
  page.locator('h1').click()
  names = listed(page)
  for key in ('ArrowRight', 'ArrowRight', 'ArrowLeft'):
    page.keyboard.press(key)
  assert asked_for(page) == names[1]
  page.keyboard.press('/')
  page.keyboard.type('wo')
  assert listed(page) == ['woven']


@VIEWPORTS
def test_a_link_leads_to_a_concept_whatever_its_name(opened, viewport):
  page = opened(f'#concept={quote(SHOWN, safe="")}&layer=conv3', viewport)
  assert asked_for(page) == SHOWN
  assert page.locator('.list a[aria-current] .name').inner_text() == SHOWN
  assert page.get_by_role('combobox', name='Layer').input_value() == 'conv3'
  page = opened('#concept=%E0%A4%A', viewport)  # No UTF-8.
  assert 'No concept is like that' in page.locator('#concept').inner_text()


def test_the_map_leads_to_a_concept(opened, given):
  page = opened('#map')
  layer = layer_of(given, 'conv5')
  assert page.locator('#plane a').count() == np.isfinite(layer.map).all(1).sum()
  page.get_by_role('searchbox', name='Search').fill('wheel')
  assert page.locator('#plane a.found').count() == 1
  page.get_by_role('link', name='wheel', exact=True).press('Enter')
  assert asked_for(page) == 'wheel'


def test_the_layers_are_compared(opened, given):
  page = opened('#layers')
  text = page.locator('#view-layers').inner_text()
  layer = layer_of(given, 'conv5')
  objects = ['object' in one.categories for one in given.concepts]
  assert f'{layer.single[objects].mean():.2f} → {layer.combined[objects].mean():.2f}' in text
  cells = page.locator('.matrix td').all_inner_texts()
  expected = given.distances.distances / given.distances.concepts**2
  assert [float(cell) for cell in cells] == pytest.approx(expected.ravel(), abs=6e-4)


@pytest.mark.parametrize('place', PLACES)
@VIEWPORTS
def test_nothing_runs_off_the_side(opened, place, viewport):
  assert not runs_off(opened(place, viewport))


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_stands_out(opened, scheme):
  page = opened(scheme=scheme)
  assert background_is_light(page) == (scheme == 'light')
  found = contrasts(page, ('ink', 'soft', 'link'))
  assert min(found.values()) >= 4.5, found


@pytest.mark.parametrize('place', PLACES)
def test_whatever_can_be_used_has_a_name(opened, place):
  assert nameless(opened(place)) == []


def test_a_study_with_little_in_it(browser, given, tmp_path):
  path = tmp_path / 'page.html'
  bare = dataclasses.replace(given, layers=[], examples=[], pictures=[], subsets=[], distances=None)
  path.write_text(net2vec_page(bare), encoding='utf-8')
  page = browser.new_page()
  errors = []
  page.on('pageerror', lambda error: errors.append(str(error)))
  page.goto(path.as_uri())
  assert page.locator('nav a:visible').all_inner_texts() == ['Concepts']
  page.keyboard.press('ArrowRight')
  assert asked_for(page) and errors == []
  page.close()
