"""The page of similarity overlays as a person uses it, in Chromium: python -m pytest -m system."""

import io
from urllib.parse import quote

import numpy as np
from PIL import Image
import pytest

from concepts.figures.overlay_views import Picture
from concepts.figures.overlays_page import STEPS, colour_tables, overlays_page
from concepts.overlays import Layer, view_of
from tests.concepts.browsing import (
  DESKTOP,
  PHONE,
  background_is_light,
  contrasts,
  nameless,
  runs_off,
)
from tests.concepts.overlay_studies import compared, study
from tests.concepts.test_relevant_page import HOSTILE, SHOWN

pytestmark = pytest.mark.system

MODES = ['one', 'all', 'layers', 'transforms', 'groups']
MEASURES = ['cosine', 'dot', 'class:tabby']
VIEWPORTS = pytest.mark.parametrize('viewport', [DESKTOP, PHONE], ids=['desktop', 'phone'])
LONG = 'a very long name ' * 20


@pytest.fixture(scope='module')
def given():
  return study(names=(HOSTILE, LONG))


@pytest.fixture(scope='module')
def address(given, tmp_path_factory):
  path = tmp_path_factory.mktemp('page') / 'page.html'
  path.write_text(overlays_page(given.overlay), encoding='utf-8')
  return path.as_uri()


@pytest.fixture
def ready(opened):
  def at(place='', viewport=DESKTOP, scheme='light'):
    return settled(opened(place, viewport, scheme))

  return at


def settled(page):
  page.wait_for_selector('html[data-ready]', state='attached')
  frame(page)
  return page


def frame(page):
  """Waits until what was asked for is painted."""
  page.evaluate('new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))')


def point(page, stage, row, column):
  """The middle of a patch, in pixels of the window; the stage is scrolled into view."""
  box = page.locator('.stage').nth(stage)
  box.scroll_into_view_if_needed()
  frame_of, grid = box.bounding_box(), page.evaluate('overlay.stages()')[stage]
  return (
    frame_of['x'] + (column + 0.5) / grid['columns'] * frame_of['width'],
    frame_of['y'] + (row + 0.5) / grid['rows'] * frame_of['height'],
  )


def hover(page, stage, row, column):
  page.mouse.move(*point(page, stage, row, column))
  frame(page)


def drag(page, stage, corners):
  (x, y), (across, down) = (point(page, stage, *corner) for corner in corners)
  page.mouse.move(x, y)
  page.mouse.down()
  page.mouse.move((x + across) / 2, (y + down) / 2)
  page.mouse.move(across, down)
  page.mouse.up()
  frame(page)


def values(page):
  """(picture, layer, `[H, W]`) of each picture on the page."""
  return [
    (one['picture'], one['layer'], np.reshape(one['values'], (one['rows'], one['columns'])))
    for one in page.evaluate('overlay.stages()')
  ]


def mean(given, layer, picture, rows, columns):
  return given.activations[layer][picture][rows, columns].mean((0, 1), dtype=np.float64)


def agree(found, expected, measure, vector, patches):
  """Within .02 of the cosine."""
  unit = 1.0
  if measure == 'dot':
    unit = np.maximum(np.linalg.norm(patches, axis=-1) * np.linalg.norm(vector), 1e-9)
  assert np.abs((found - expected) / unit).max() <= 0.02


def check(page, given, picture, rows, columns, measure='cosine', layer=None):
  """Every number on the page is numpy's, for the mean over a region of one layer's grid."""
  stages = values(page)
  assert stages and all(one['known'] for one in page.evaluate('overlay.stages()'))
  for index, name, found in stages:
    if layer is not None and name != layer:
      continue
    vector = mean(given, name, picture, rows, columns)
    expected = compared(given, name, vector, index, measure)
    agree(found, expected, measure, vector, given.activations[name][index])


def test_a_region_is_the_same_part_of_the_picture_in_every_layer(ready, given):
  """Of a finer layer it has all the patches that its own cover."""
  page = ready('#mode=layers&picture=0&a=0,1,1,0,2,2')
  fine, coarse = (given.activations[layer][0].shape[:2] for layer in ('early', 'late'))
  rows, columns = (
    slice(first * many // few, -(-last * many // few))
    for first, last, many, few in zip((1, 0), (3, 3), fine, coarse, strict=True)
  )
  check(page, given, 0, rows, columns, layer='early')
  check(page, given, 0, slice(1, 3), slice(0, 3), layer='late')


def test_two_pins_are_compared_in_a_layer_that_is_named(ready, given):
  """Where every layer is shown no other says which."""
  page = ready('#mode=layers&layer=early&picture=0&a=0,1,1,1,1,1&b=0,1,2,3,2,3')
  a, b = (given.activations['late'][0][at] for at in ((1, 1), (2, 3)))
  cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
  assert page.evaluate('overlay.between()') == pytest.approx(cosine, abs=0.02)
  assert 'A to B in late: ' in page.locator('#where').inner_text()


@pytest.mark.parametrize('measure', MEASURES)
@pytest.mark.parametrize('mode', ['one', 'all', 'groups'])
def test_a_hovered_patch_is_compared_with_all(ready, given, mode, measure):
  page = ready(f'#mode={mode}&layer=early&measure={measure}')
  assert page.locator('.stage').count() == (1 if mode == 'one' else 5)
  stage = 0 if mode == 'one' else 1
  for row, column in ((2, 3), (5, 11)):
    hover(page, stage, row, column)
    at = page.evaluate('overlay.here()')
    assert (at['picture'], at['r0'], at['c0']) == (stage, row, column)
    check(page, given, stage, slice(row, row + 1), slice(column, column + 1), measure)


@pytest.mark.parametrize('measure', MEASURES)
def test_layers_are_at_the_same_place(ready, given, measure):
  page = ready(f'#mode=layers&picture=all&measure={measure}')
  assert [layer for _, layer, _ in values(page)] == ['early', 'late'] * 5
  hover(page, 2, 7, 9)  # Of the 8 x 12 patches of picture 1; there are 3 x 5 in the other layer.
  check(page, given, 1, slice(7, 8), slice(9, 10), measure, 'early')
  row, column = 7 * 3 // 8, 9 * 5 // 12
  check(page, given, 1, slice(row, row + 1), slice(column, column + 1), measure, 'late')
  hover(page, 3, 2, 4)  # And back: floor, not the nearest.
  row, column = 2 * 8 // 3, 4 * 12 // 5
  check(page, given, 1, slice(row, row + 1), slice(column, column + 1), measure, 'early')


def test_the_layers_of_one_picture(ready):
  page = ready('#mode=layers&picture=1')
  assert [one[:2] for one in values(page)] == [(1, 'early'), (1, 'late')]


@pytest.mark.parametrize(
  ('mode', 'measure'),
  [*(('all', measure) for measure in MEASURES), ('transforms', 'cosine'), ('transforms', 'dot')],
)
def test_the_mean_of_a_dragged_region(ready, given, mode, measure):
  page = ready(f'#mode={mode}&layer=early&measure={measure}')
  drag(page, 0, ((6, 8), (3, 2)))
  picture = 0 if mode == 'all' else 5
  assert f'a={picture},0,3,2,6,8' in page.url
  check(page, given, picture, slice(3, 7), slice(2, 9), measure)


def charted(given, kind, layer, start, rows, columns, measure):
  """The similarity of a region to where it went; None where it left the picture."""
  turned = next(one for one in given.overlay.transforms if one.kind == kind)
  side = given.activations[layer][turned.pictures[start]].shape[1]
  cells = (
    np.arange(rows.start, rows.stop)[:, None] * side + np.arange(columns.start, columns.stop)
  ).ravel()
  vector = mean(given, layer, turned.pictures[start], rows, columns)
  found = []
  for to, picture in enumerate(turned.pictures):
    there = np.unique(turned.places[layer][start, to, cells])
    patches = given.activations[layer][picture].reshape(side * side, -1)[there[there >= 0]]
    if not len(patches):
      found.append(None)
      continue
    other = patches.mean(0, dtype=np.float64)
    dot, lengths = vector @ other, np.linalg.norm(vector) * np.linalg.norm(other)
    found.append((dot / lengths, lengths if measure == 'dot' else 1))
  return found


@pytest.mark.parametrize('measure', ['cosine', 'dot'])
@pytest.mark.parametrize('kind', ['rotation', 'scale'])
def test_the_chart_follows_a_patch(ready, given, kind, measure):
  page = ready(f'#mode=transforms&layer=early&transform={int(kind == "scale")}&measure={measure}')
  outside = 0
  for start, row, column in ((0, 5, 5), (1, 3, 7), (1, 2, 6), (0, 0, 0)):
    hover(page, start, row, column)
    (found,) = page.evaluate('overlay.chart()')
    expected = charted(
      given, kind, 'early', start, slice(row, row + 1), slice(column, column + 1), measure
    )
    assert [one is None for one in found] == [one is None for one in expected]
    outside += found.count(None)
    for one, other in zip(found, expected, strict=True):
      assert other is None or one == pytest.approx(other[0] * other[1], abs=0.02 * other[1])
  assert outside >= 1
  assert 'outside' in page.locator('#plot').get_attribute('aria-label')


def test_the_chart_of_a_region(ready, given):
  page = ready('#mode=transforms&layer=early&a=5,0,4,4,6,7')
  (found,) = page.evaluate('overlay.chart()')
  expected = charted(given, 'rotation', 'early', 0, slice(4, 7), slice(4, 8), 'cosine')
  assert found == pytest.approx([one[0] for one in expected], abs=0.03)  # Means of packed vectors.


def follows(page, given, row, column):
  """Whether the chart and the white boxes are of that patch of the untransformed copy."""
  (found,) = page.evaluate('overlay.chart()')
  expected = charted(
    given, 'rotation', 'early', 0, slice(row, row + 1), slice(column, column + 1), 'cosine'
  )
  there = [one is not None for one in expected]
  assert [one is not None for one in found] == there and there.count(True) > 2
  assert page.locator('.same:visible').count() == there.count(True) - 1  # But its own.
  for one, other in zip(found, expected, strict=True):
    assert other is None or one == pytest.approx(other[0], abs=0.02)


def choose(page, name):
  """Another mode."""
  page.get_by_role('link', name=name).evaluate('node => node.click()')
  frame(page)


def test_a_patch_is_followed_to_its_untransformed_copy_and_back(ready, given):
  page = ready('#layer=early')
  hover(page, 0, 4, 5)
  choose(page, 'Transforms')
  assert page.evaluate('overlay.here().picture') == 5
  follows(page, given, 4, 5)
  choose(page, 'All pictures')
  at = page.evaluate('overlay.here()')
  assert (at['picture'], at['r0'], at['c0']) == (0, 4, 5)
  check(page, given, 0, slice(4, 5), slice(5, 6))
  page = ready('#layer=early&a=0,0,6,4,6,4')
  choose(page, 'Transforms')
  follows(page, given, 6, 4)
  assert page.locator('.mark.a:visible').count() == 1
  check(page, given, 5, slice(6, 7), slice(4, 5))
  page.get_by_label('Transform', exact=True).select_option('1')
  (found,) = page.evaluate('overlay.chart()')
  assert found[0] == pytest.approx(1, abs=1e-3)
  page.keyboard.press('Escape')
  assert 'a=' not in page.url


def test_a_pin_on_another_picture_is_not_among_the_copies(ready, given):
  page = ready('#mode=transforms&layer=early&a=1,0,2,3,2,3')
  follows(page, given, 6, 6)
  assert 'The pin is on another picture' in page.locator('#note').inner_text()
  hover(page, 0, 5, 5)
  page.mouse.down(), page.mouse.up()
  assert 'a=5,0,5,5,5,5' in page.url and 'b=' not in page.url


def test_what_shows_nothing_of_the_picture_is_hatched(ready, given):
  page = ready('#mode=transforms&layer=early')
  turned = given.overlay.transforms[0]
  for stage in range(4):
    blank = (turned.places['early'][stage, 0] < 0).reshape(12, 12)
    assert blank.any() == (stage == 1)
    np.testing.assert_array_equal(painted(page, stage)[..., 3] == 0, blank)
  assert page.locator('#hatched').is_visible()
  page.get_by_label('Transform', exact=True).select_option('1')
  assert not page.locator('#hatched').is_visible()


def test_a_mode_of_one_picture_begins_with_that_of_the_pin(ready):
  page = ready('#layer=early&a=2,0,2,3,2,3')
  for name in ('One picture', 'Layers'):
    choose(page, name)
    assert {picture for picture, *_ in values(page)} == {2}


def test_what_cannot_be_used_says_why(ready):
  page = ready('#mode=groups&layer=early')
  for place, which in (
    ('#mode=groups', ['map', 'unpin']),
    ('#mode=one', ['marks', 'unpin']),
    ('#a=0,0,1,1,1,1&b=0,0,2,2,2,2&view=difference', ['hide', 'map', 'marks']),
  ):
    page = ready(place)
    for name in ('hide', 'map', 'marks', 'unpin'):
      control = page.locator(f'#{name}')
      assert control.is_disabled() == (name in which) == bool(control.get_attribute('title'))


def test_the_groups_and_their_colours(ready, given):
  page = ready('#mode=groups&layer=late&strength=100')
  maps = given.overlay.layers[1].groups.maps
  for index, one in enumerate(maps):
    found = np.array(page.evaluate(f'overlay.groups({index})')).reshape(one.shape)
    np.testing.assert_allclose(found, one, atol=0.003)
  assert page.locator('#groups li').count() == 3
  swatches = page.evaluate("""[...document.querySelectorAll('.swatch')]
      .map(node => getComputedStyle(node).backgroundColor.match(/\\d+/g).map(Number))""")
  pixels = painted(page, 0)
  shares = maps[0] / np.maximum(maps[0].sum(-1, keepdims=True), 1e-9)
  cells = np.argwhere((shares.max(-1) > 0.95) & (maps[0].max(-1) > 0.3))
  assert len(cells)
  for row, column in cells:
    colour = swatches[shares[row, column].argmax()]
    np.testing.assert_allclose(pixels[row, column, :3], colour, atol=12)
  page.get_by_label('Group 1').uncheck()
  assert not np.array_equal(painted(page, 0), pixels)


def test_the_bars_of_the_groups_are_of_the_layer_that_is_shown(ready):
  """The patch may have been chosen in the grid of another."""
  page = ready('#mode=groups&layer=early')
  page.locator('.stage').nth(0).focus()
  page.keyboard.press('ArrowUp')
  page.get_by_label('Layer', exact=True).focus()
  page.get_by_label('Layer', exact=True).select_option('late')
  frame(page)
  grids = page.evaluate('overlay.stages()')
  assert grids[0]['layer'] == 'late' and page.evaluate('overlay.here()')['r0'] == 5
  rows, columns = grids[0]['rows'], grids[0]['columns']
  cell = (5 * rows // 12) * columns + 6 * columns // 12
  bars = page.evaluate("""[...document.querySelectorAll('#groups .amount i')]
      .map(bar => +bar.style.transform.slice(7, -1))""")
  assert bars == pytest.approx(page.evaluate('overlay.groups(0)')[cell], abs=1e-4)


def painted(page, stage):
  """The pixels of an overlay, uint8 `[H, W, 4]`."""
  width, height, data = page.evaluate(f"""(() => {{
    const canvas = document.querySelectorAll('.stage .overlay')[{stage}];
    const {{width, height}} = canvas;
    return [width, height, [...canvas.getContext('2d').getImageData(0, 0, width, height).data]];
  }})()""")
  return np.array(data, np.uint8).reshape(height, width, 4)


def test_the_colours_are_those_of_the_numbers(ready):
  page = ready('#layer=early&a=0,0,3,3,3,3&strength=100')
  found, table = values(page)[2][2], colour_tables()['amber']
  expected = table[np.clip(np.rint(STEPS + STEPS * found), 0, 2 * STEPS).astype(int)]
  assert np.abs(painted(page, 2).astype(int) - expected).max() <= 2
  page.get_by_label('Hide below').evaluate(
    "node => { node.value = .25; node.dispatchEvent(new Event('input')); }"
  )
  np.testing.assert_array_equal(painted(page, 2)[..., 3] > 0, found >= 0.25)
  assert page.locator('#hide-value').inner_text() == '0.25'
  page.get_by_label('Colours', exact=True).select_option('grey')
  assert (painted(page, 0)[3, 3, :3] == 255).all()


def test_the_most_alike_patch_is_marked(ready):
  page = ready('#layer=early&a=0,0,3,3,3,3')
  for stage in range(1, 5):
    found = values(page)[stage][2]
    row, column = np.unravel_index(found.argmax(), found.shape)
    around = page.locator('.stage').nth(stage).bounding_box()
    box = page.locator('.stage').nth(stage).locator('.near').bounding_box()
    middle = [box['y'] + box['height'] / 2 - around['y'], box['x'] + box['width'] / 2 - around['x']]
    expected = [
      (row + 0.5) / found.shape[0] * around['height'],
      (column + 0.5) / found.shape[1] * around['width'],
    ]
    assert middle == pytest.approx(expected, abs=1)
    number = page.locator('.tile .number').nth(stage).inner_text()
    assert float(number) == pytest.approx(found.max(), abs=0.006)
  texts = page.locator('#near button:visible span').all_inner_texts()
  assert len(texts) == 4 and [float(text) for text in texts] == sorted(
    map(float, texts), reverse=True
  )
  page.get_by_label('Hide below').evaluate(
    "node => { node.value = .99; node.dispatchEvent(new Event('input')); }"
  )
  assert page.locator('.near:visible').count() == page.locator('#near button:visible').count() == 0
  page.get_by_label('Hide below').evaluate(
    "node => { node.value = -1; node.dispatchEvent(new Event('input')); }"
  )
  assert page.locator('.near:visible').count() == 4
  page.get_by_label('mark the most alike').uncheck()
  assert page.locator('.near:visible').count() == 0


def test_two_pins_are_compared(ready, given):
  page = ready('#layer=late')
  hover(page, 0, 1, 1)
  page.mouse.down(), page.mouse.up()
  hover(page, 2, 3, 4)
  check(page, given, 0, slice(1, 2), slice(1, 2))  # The pin stays.
  number = float(page.locator('#value').inner_text().replace('−', '-'))  # noqa: RUF001
  assert number == pytest.approx(values(page)[2][2][3, 4], abs=0.006)
  page.mouse.down(), page.mouse.up()
  frame(page)
  a, b = (
    mean(given, 'late', *at)
    for at in ((0, slice(1, 2), slice(1, 2)), (2, slice(3, 4), slice(4, 5)))
  )
  cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
  assert page.evaluate('overlay.between()') == pytest.approx(cosine, abs=0.02)
  for picture, layer, found in values(page):
    expected = compared(given, layer, a, picture, 'cosine') - compared(
      given, layer, b, picture, 'cosine'
    )
    assert np.abs(found - expected).max() <= 0.04  # Two numbers, each within .02.
  pixels, scale = painted(page, 0), page.evaluate('overlay.scale()')
  assert scale >= max(np.abs(found).max() for *_, found in values(page))
  green = pixels[..., 1].astype(int) - pixels[..., 0]
  assert green[1, 1] > 0 and painted(page, 2)[3, 4, 1] < painted(page, 2)[3, 4, 2]
  page.get_by_role('button', name='B', exact=True).click()
  check(page, given, 2, slice(3, 4), slice(4, 5))
  page.keyboard.press('Escape')
  check(page, given, 0, slice(1, 2), slice(1, 2))
  page.keyboard.press('Escape')
  assert '&a=' not in page.url


def test_the_keyboard_alone(ready, given):
  page = ready('#layer=early')
  while page.evaluate("!document.activeElement.matches('.stage')"):
    page.keyboard.press('Tab')
  page.keyboard.press('Tab')
  frame(page)
  at = page.evaluate('overlay.here()')
  assert (at['picture'], at['r0'], at['c0']) == (1, 4, 6)
  for key in ('ArrowUp', 'ArrowLeft', 'ArrowLeft'):
    page.keyboard.press(key)
  check(page, given, 1, slice(3, 4), slice(4, 5))
  assert page.get_by_role('status').inner_text() == 'row 4, column 5 of 8 × 12'  # noqa: RUF001
  for key in ('Shift+ArrowDown', 'Shift+ArrowRight', 'Shift+ArrowRight'):
    page.keyboard.press(key)
  check(page, given, 1, slice(3, 5), slice(4, 7))
  page.keyboard.press('Enter')
  assert 'a=1,0,3,4,4,6' in page.url
  page.keyboard.press('ArrowDown')
  at = page.evaluate('overlay.here()')
  assert (at['r0'], at['r1'], at['c0'], at['c1']) == (5, 5, 6, 6)
  for _ in range(20):
    page.keyboard.press('ArrowRight')
  assert page.evaluate('overlay.here().c0') == 11
  page.keyboard.press(']')
  assert page.get_by_label('Layer', exact=True).input_value() == 'late'
  page.keyboard.press('[')
  assert page.get_by_label('Layer', exact=True).input_value() == 'early'
  page.keyboard.press('?')
  assert page.get_by_role('dialog').is_visible()
  page.keyboard.press('Escape')
  assert not page.get_by_role('dialog').is_visible() and 'a=1,' in page.url
  page.keyboard.press('Escape')
  assert 'a=1,' not in page.url


@pytest.fixture
def touched(browser, address):
  context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
  heard = []
  page = context.new_page()
  page.on('console', lambda message: heard.append(message.text))
  page.on('pageerror', lambda error: heard.append(str(error)))
  page.goto(address + '#layer=early')
  yield settled(page)
  context.close()
  assert heard == []


def test_a_finger(touched, given):
  page = touched
  x, y = point(page, 0, 2, 3)
  page.touchscreen.tap(x, y)
  frame(page)
  check(page, given, 0, slice(2, 3), slice(3, 4))
  assert 'a=' not in page.url
  page.touchscreen.tap(x, y)
  assert 'a=0,0,2,3,2,3' in page.url
  page.get_by_role('button', name='Unpin').tap()
  page.get_by_role('button', name='Region').tap()
  (x, y), (across, down) = point(page, 0, 1, 1), point(page, 0, 4, 5)
  session = page.context.new_cdp_session(page)
  for kind, points in (
    ('touchStart', [{'x': x, 'y': y}]),
    ('touchMove', [{'x': (x + across) / 2, 'y': (y + down) / 2}]),
    ('touchMove', [{'x': across, 'y': down}]),
    ('touchEnd', []),
  ):
    session.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': points})
  frame(page)
  assert 'a=0,0,1,1,4,5' in page.url
  check(page, given, 0, slice(1, 5), slice(1, 6))


def test_the_address_holds_the_view(ready):
  page = ready()
  page.get_by_label('Layer', exact=True).select_option('late')
  page.get_by_label('Alike by').select_option('class:espresso')
  drag(page, 1, ((0, 0), (1, 2)))
  page.get_by_label('Colours', exact=True).select_option('grey')
  before, url = values(page), page.url
  again = ready(url[url.index('#') :])
  for one, other in zip(before, values(again), strict=True):
    assert one[:2] == other[:2] and np.array_equal(one[2], other[2])
  again.reload()
  assert all(
    np.array_equal(p[2], q[2]) for p, q in zip(before, values(settled(again)), strict=True)
  )
  for _ in range(2):
    page.go_back()
  assert page.get_by_label('Colours', exact=True).input_value() == 'amber' and 'a=' not in page.url
  page.go_back()
  assert page.get_by_label('Alike by').input_value() == 'cosine'
  page.go_forward()
  assert page.get_by_label('Alike by').input_value() == 'class:espresso'


@pytest.mark.parametrize(
  'place',
  ['#mode=nothing&layer=none&measure=x&a=9,9,9,9&b=1&map=__proto__&picture=-3&transform=7&hide=x',
   '#mode=__proto__', '#%E0%A4%A', '#a=0,0,0,0,99,0', '#pictures=3-1,x', '#mode=groups&layer=x',
   '#mode=one&picture=0.5'],
)  # fmt: skip
def test_a_wrong_address_does_no_harm(ready, place):
  page = ready(place)
  assert page.get_by_label('Layer', exact=True).input_value() in ('early', 'late')
  assert page.get_by_label('Colours', exact=True).input_value() == 'amber'


def test_pictures_are_chosen(ready):
  page = ready('#pictures=0-1,3')
  assert [picture for picture, *_ in values(page)] == [0, 1, 3]
  page.get_by_role('button', name='Pictures: 3 of 5').click()
  page.locator('#choices input').nth(0).uncheck()
  assert [picture for picture, *_ in values(page)] == [1, 3] and 'pictures=1,3' in page.url
  page.get_by_role('button', name='None').click()
  assert 'No picture is chosen' in page.locator('#grid').inner_text()
  page.get_by_role('button', name='All', exact=True).click()
  assert len(values(page)) == 5


def rows_of(page):
  """The boxes of the stages in each row of the gallery."""
  found = {}
  for stage in page.locator('.stage').all():
    box = stage.bounding_box()
    found.setdefault(round(box['y']), []).append(box)
  return list(found.values())


@VIEWPORTS
def test_pictures_of_different_shapes_stand_in_rows_of_one_height(ready, viewport):
  page = ready(viewport=viewport)
  grid, rows = page.locator('#grid').bounding_box(), rows_of(page)
  assert sum(map(len, rows)) == 5
  for row in rows:
    assert max(box['height'] for box in row) - min(box['height'] for box in row) < 1
  for row in rows[:-1]:
    assert row[-1]['x'] + row[-1]['width'] == pytest.approx(grid['x'] + grid['width'], abs=1)


@VIEWPORTS
def test_a_very_wide_picture_is_scrolled_in_its_own_frame(browser, tmp_path, viewport):
  rng = np.random.default_rng(0)
  picture = Picture('wide', rng.integers(0, 256, (40, 1200, 3), np.uint8))
  layer = Layer('x', [rng.normal(size=(4, 120, 8))], {})
  path = tmp_path / 'page.html'
  path.write_text(overlays_page(view_of([picture], [layer])), 'utf-8')
  page = browser.new_page(viewport=viewport)
  page.goto(path.as_uri())
  settled(page)
  assert page.locator('.stage').bounding_box()['width'] >= 8 * 120 and not runs_off(page)
  page.locator('.pane').evaluate('node => { node.scrollLeft = 1e4; }')
  box = page.locator('.pane').bounding_box()
  page.mouse.move(box['x'] + box['width'] - 3, box['y'] + 3)
  frame(page)
  assert page.evaluate('overlay.here().c0') == 119
  page.close()


def test_a_finger_finds_what_can_be_used(ready):
  page = ready('#mode=groups&layer=early', PHONE)
  small = page.evaluate("""[...document.querySelectorAll(
      'nav a, button, select, .check, summary, input[type=range]')]
    .filter(node => node.checkVisibility() && node.getBoundingClientRect().height < 40)
    .map(node => node.outerHTML)""")
  assert small == []
  legend, grid = (page.locator(name).bounding_box() for name in ('#legend', '#grid'))
  assert legend['y'] + legend['height'] <= grid['y']


def test_the_picture_that_is_saved_says_what_it_is_of(ready):
  page = ready('#layer=early&a=1,0,2,3,2,3&b=2,0,4,4,5,6&view=difference', PHONE)
  layer, measure, a, b, view = page.evaluate('overlay.subtitle()')
  assert (layer, measure, view) == ('layer early', 'cosine', 'A − B')  # noqa: RUF001
  assert a.startswith('A: a very') and a.endswith(', row 3, column 4 of 8 × 12')  # noqa: RUF001
  assert b == 'B: picture 2, rows 5–6, columns 5–7 of 12 × 12'  # noqa: RUF001


def test_a_picture_keeps_its_shape(ready, given):
  page = ready()
  for stage, picture in zip(page.locator('.stage').all(), given.overlay.pictures, strict=False):
    box, (height, width) = stage.bounding_box(), picture.pixels.shape[:2]
    assert box['width'] / box['height'] == pytest.approx(width / height, rel=0.02)


def test_names_are_text_and_long_ones_lose_their_middle(ready):
  page = ready('#mode=one')
  names = page.locator('.tile .name')
  assert names.nth(0).inner_text() == SHOWN
  page = ready('#layer=early&a=1,0,2,3,2,3')
  names = page.locator('.tile .name')
  assert [names.nth(i).get_attribute('title') for i in (0, 1)] == [SHOWN, LONG]
  said = names.nth(1).inner_text()
  first, last = said.split('…')
  assert LONG.startswith(first) and LONG.strip().endswith(last) and min(len(first), len(last)) > 3
  assert 'row 3, column 4 of' in page.locator('#value-of').inner_text()
  tile, name = page.locator('.tile').nth(1).bounding_box(), names.nth(1).bounding_box()
  assert name['width'] < tile['width'] and name['height'] < 24
  assert page.locator('.stage').nth(0).get_attribute('aria-label').startswith(SHOWN)


def test_the_view_as_a_picture(ready, tmp_path):
  page = ready('#mode=transforms&layer=early&a=5,0,5,5,5,5&strength=100')
  with page.expect_download() as download:
    page.get_by_role('button', name='Save as PNG').click()
  name = download.value.suggested_filename
  assert name.startswith('similarity-transforms-script_') and name.endswith('-rotation-early.png')
  download.value.save_as(tmp_path / 'view.png')
  saved = Image.open(tmp_path / 'view.png').convert('RGB')
  grid = page.locator('#grid').bounding_box()
  assert saved.width == pytest.approx(2 * (grid['width'] + 48), abs=2)
  box = page.locator('.stage').nth(1).bounding_box()
  rows, columns = painted(page, 1).shape[:2]
  found = np.asarray(saved)
  for row, column in ((0, 4), (11, 6), (6, 11)):
    x = 2 * (24 + box['x'] - grid['x'] + (column + 0.5) / columns * box['width'])
    y = 2 * (24 + 66 + box['y'] - grid['y'] + (row + 0.5) / rows * box['height'])
    np.testing.assert_allclose(found[int(y), int(x)], painted(page, 1)[row, column, :3], atol=3)


@pytest.mark.parametrize('mode', MODES)
@VIEWPORTS
def test_nothing_runs_off_the_side(ready, mode, viewport):
  page = ready(f'#mode={mode}&layer=late&a=0,1,1,1,1,1&b=1,1,1,1,1,1', viewport)
  assert not runs_off(page)
  page.keyboard.press('?')
  assert not runs_off(page)


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_stands_out(ready, scheme):
  page = ready(scheme=scheme)
  assert background_is_light(page) == (scheme == 'light')
  found = contrasts(page, ('ink', 'soft', 'link', 'a', 'b'))
  assert min(found.values()) >= 4.5, found


@pytest.mark.parametrize('mode', MODES)
def test_whatever_can_be_used_has_a_name(ready, mode):
  page = ready(f'#mode={mode}')
  assert nameless(page) == []
  assert all(box.get_attribute('aria-label') for box in page.locator('[role=application]').all())


def test_a_page_with_little_on_it(browser, tmp_path):
  given = study(1)
  layer = given.overlay.layers[0]._replace(classes={}, groups=None)
  path = tmp_path / 'page.html'
  path.write_text(overlays_page(given.overlay._replace(layers=[layer], transforms=[])), 'utf-8')
  page, heard = browser.new_page(), []
  page.on('console', lambda message: heard.append(message.text))
  page.on('pageerror', lambda error: heard.append(str(error)))
  page.goto(path.as_uri() + '#mode=groups')
  settled(page)
  assert page.locator('nav a').all_inner_texts() == ['One picture']
  assert page.get_by_label('Alike by').locator('option').count() == 2
  hover(page, 0, 2, 2)
  check(page, given, 0, slice(2, 3), slice(2, 3))
  page.close()
  assert heard == []


def test_fifty_pictures(browser, tmp_path):
  given = study(50)
  path = tmp_path / 'page.html'
  path.write_text(overlays_page(given.overlay), 'utf-8')
  page = browser.new_page(viewport=DESKTOP)
  page.goto(path.as_uri() + f'#layer={quote("early")}')
  settled(page)
  assert page.locator('.stage').count() == 50
  hover(page, 49, 3, 3)
  check(page, given, 49, slice(3, 4), slice(3, 4))
  assert page.locator('#near button:visible').count() == 8
  assert Image.open(io.BytesIO(page.screenshot())).width == 1280 and not runs_off(page)
  page.close()
