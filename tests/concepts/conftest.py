"""A browser for the tests of the pages."""

import shutil

import pytest

from tests.concepts.browsing import DESKTOP


@pytest.fixture(scope='session')
def browser():
  from playwright.sync_api import sync_playwright  # Only these tests need it.

  with sync_playwright() as driver:
    path = shutil.which('chromium') or '/usr/bin/chromium'
    chromium = driver.chromium.launch(executable_path=path, args=['--no-sandbox'])
    yield chromium
    chromium.close()


@pytest.fixture
def opened(browser, address):
  """Opens the page; afterwards it has said nothing to the console and asked for nothing.

  `address` is that of the page, a fixture of the module.
  """
  heard, asked, pages = [], [], []

  def at(place='', viewport=DESKTOP, scheme='light'):
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    pages.append(page)
    page.on('console', lambda message: heard.append(message.text))
    page.on('pageerror', lambda error: heard.append(str(error)))
    page.on('dialog', lambda dialog: heard.append(dialog.message))
    page.on('request', lambda request: asked.append(request.url))
    page.goto(address + place)
    return page

  yield at
  for page in pages:
    page.close()
  assert heard == []
  assert [url for url in asked if not url.startswith(('data:', address))] == []
