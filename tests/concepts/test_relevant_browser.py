"""The page of relevant features as a person uses it, in Chromium: python -m pytest -m system."""

import dataclasses
import io
from urllib.parse import quote

import matplotlib
import numpy as np
from PIL import Image
import pytest

from concepts.figures.relevant_page import relevant_page
from tests.concepts.browsing import (
  DESKTOP,
  PHONE,
  background_is_light,
  contrasts,
  nameless,
  runs_off,
)
from tests.concepts.studied_flowers import study
from tests.concepts.test_relevant_page import HOSTILE, SHOWN

pytestmark = pytest.mark.system

RAMP = np.tile(np.linspace(0, 1, 128), (128, 1))  # Its heatmap shows every colour.


@pytest.fixture(scope='module')
def given():
  flowers = study(images=30, size=112, side=32)
  ramp = dataclasses.replace(flowers.images[5], name='ramp', combined=RAMP, mask=None)
  hostile = dataclasses.replace(flowers.images[0], name=HOSTILE)
  silent = dataclasses.replace(flowers.features[0], average=None)
  return dataclasses.replace(
    flowers,
    images=[*flowers.images, ramp, hostile],
    features=flowers.features | {0: silent},
    classes=[*flowers.classes, dataclasses.replace(flowers.classes[0], name=HOSTILE)],
  )


@pytest.fixture(scope='module')
def address(given, tmp_path_factory):
  path = tmp_path_factory.mktemp('page') / 'page.html'
  path.write_text(relevant_page(given), encoding='utf-8')
  return path.as_uri()


def shown(page):
  """The names of the images in the list."""
  return page.locator('.list li:visible span:first-child').all_inner_texts()


def asked_for(page):
  return page.locator('#image > p').first.inner_text().removesuffix(' is called')


def test_search_leads_to_the_image_and_its_reasons(opened, given):
  page = opened()
  page.get_by_role('searchbox', name='Search').fill('petals red 04')
  assert shown(page) == ['petals red 04']
  assert page.locator('#count').inner_text() == f'1 of {len(given.images)} images'
  image = next(image for image in given.images if image.name == 'petals red 04')
  assert asked_for(page) == image.name
  assert page.locator('#image h2').inner_text().startswith(image.predicted)
  reasons = page.locator('.reasons li')
  assert reasons.count() == len(image.features)
  for k, (index, _, share) in enumerate(image.features):
    text, feature = reasons.nth(k).inner_text(), given.features[index]
    assert f'{feature.layer} {feature.depth}/{feature.layers}' in text
    assert f'{100 * share:.1f}'.removesuffix('.0') + ' % of the evidence' in text
    assert reasons.nth(k).locator('.heat').evaluate('img => img.naturalWidth') == 112


def test_filters_keep_the_wrong_ones_of_a_class(opened, given):
  page = opened()
  page.get_by_role('combobox', name='Prediction').select_option('wrong')
  wrong = [image.name for image in given.images if image.label != image.predicted]
  assert shown(page) == wrong and asked_for(page) == wrong[0]
  label = next(image.label for image in given.images if image.name == wrong[0])
  assert f'its label is {label}' in page.locator('#image').inner_text()
  page.get_by_role('combobox', name='Class').select_option('stem red')
  assert shown(page) == [
    image.name
    for image in given.images
    if image.label != image.predicted and 'stem red' in (image.label, image.predicted)
  ]
  page.get_by_role('searchbox', name='Search').fill('no such image')
  assert shown(page) == [] and 'No image is like that' in page.locator('#image').inner_text()


def test_keys_step_through_the_images_found(opened):
  page = opened()
  page.get_by_role('combobox', name='Class').select_option('petals blue')
  page.locator('h1').click()
  names = shown(page)
  assert asked_for(page) == names[0]
  page.keyboard.press('ArrowRight')
  page.keyboard.press('ArrowRight')
  page.keyboard.press('ArrowLeft')
  assert asked_for(page) == names[1] and page.url.endswith(quote(names[1]))
  for _ in names:
    page.keyboard.press('ArrowRight')
  assert asked_for(page) == names[-1]
  page.keyboard.press('/')
  page.keyboard.type('a/b')
  page.keyboard.press('ArrowLeft')
  assert page.get_by_role('searchbox', name='Search').input_value() == 'a/b'


def test_a_link_leads_to_an_image_whatever_its_name(opened):
  page = opened('#image=' + quote(SHOWN, safe=''))
  assert asked_for(page) == SHOWN
  assert page.locator('.list a[aria-current] span').first.inner_text() == SHOWN
  page = opened('#image=%E0%A4%A')  # No UTF-8.
  assert 'No image is like that' in page.locator('#image').inner_text()


@pytest.mark.parametrize('viewport', [DESKTOP, PHONE], ids=['desktop', 'phone'])
def test_a_link_leads_to_a_class_and_back(opened, viewport):
  page = opened('#class=' + quote('stem blue'), viewport)
  section = page.locator('section.class.current')
  assert section.locator('h2').inner_text() == 'stem blue'
  assert 0 <= section.locator('h2').bounding_box()['y'] < 200
  section.get_by_text('its images').click()
  assert page.get_by_role('combobox', name='Class').input_value() == 'stem blue'
  assert 'stem blue 00' in shown(page) and 'petals red 00' not in shown(page)
  page.go_back()
  assert section.is_visible()


def test_a_patch_leads_to_its_image(opened):
  page = opened('#class=' + quote('petals blue'))
  patch = page.locator('.class.current .patches a').first
  name = patch.get_attribute('aria-label').removeprefix('Patch of ').split(',')[0]
  patch.click()
  assert asked_for(page) == name


def test_a_heatmap_has_the_colours_of_inferno(opened):
  page = opened('#image=ramp')
  page.get_by_role('button', name='Heat alone').click()
  stage = page.locator('.stage').nth(1)
  seen = np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert('RGB'))
  middle = seen[len(seen) // 2] / 255
  values = (np.arange(len(middle)) + 0.5) / len(middle)
  right = matplotlib.colormaps['inferno'](values)[:, :3]
  assert np.abs(middle - right)[4:-4].max() < 0.06  # The corners of the stage are round.


def test_the_outline_can_be_taken_off(opened):
  page = opened('#image=' + quote('petals red 00'))
  outline = page.locator('.stage .truth').first
  assert outline.is_visible()
  page.get_by_label('outline').uncheck()
  assert outline.is_hidden()


@pytest.mark.parametrize('place', ['#images', '#classes', '#measurements'])
@pytest.mark.parametrize('viewport', [DESKTOP, PHONE], ids=['desktop', 'phone'])
def test_nothing_runs_off_the_side(opened, place, viewport):
  assert not runs_off(opened(place, viewport))


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_stands_out(opened, scheme):
  """A contrast of 4.5 at least (WCAG 2, AA)."""
  page = opened(scheme=scheme)
  assert background_is_light(page) == (scheme == 'light')
  found = contrasts(page, ('ink', 'soft', 'link', 'conv', 'full', 'right', 'wrong'))
  assert min(found.values()) >= 4.5, found


@pytest.mark.parametrize('place', ['#images', '#classes', '#measurements'])
def test_whatever_can_be_used_has_a_name(opened, place):
  assert nameless(opened(place)) == []


def test_measurements_show_what_there_is(opened, given):
  page = opened('#measurements')
  assert page.locator('.legend').inner_text().split() == [curve.name for curve in given.curves]
  assert page.locator('.chart polyline').count() == len(given.curves)
  rows = page.locator('table').last.locator('tbody tr')
  assert rows.locator('th').all_inner_texts() == [name for name, *_ in given.table]
  numbers = [row.locator('td').all_inner_texts()[:3] for row in (rows.first, rows.last)]
  none = '\N{EN DASH}'
  assert numbers == [['0.90 ± 0.04', '23.4 ± 0.7', '22.5 ± 0.8'], [none, '9.5 ± 0.2', none]]


def test_a_part_without_content_has_no_tab(browser, given, tmp_path):
  path = tmp_path / 'page.html'
  empty = dataclasses.replace(given, images=[], curves=[], table=[], parts=[])
  path.write_text(relevant_page(empty))
  page = browser.new_page()
  page.goto(path.as_uri())
  assert page.locator('nav a:visible').all_inner_texts() == ['Classes']
  assert page.locator('section.class').first.is_visible()
  page.close()
