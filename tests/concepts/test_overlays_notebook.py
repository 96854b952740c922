"""A notebook is executed, and what its cell shows is rendered as a notebook shows it."""

import pathlib

import pytest

from tests.concepts.browsing import DESKTOP

ROOT = pathlib.Path(__file__).parents[2]
CELL = """
import numpy as np
import concepts

random = np.random.default_rng(0)
pictures = list(random.integers(0, 256, (2, 64, 64, 3), np.uint8))
activations = list(random.normal(size=(2, 7, 7, 16)))
concepts.overlay_of(activations, pictures, names=['<b>left</b>', 'right'], title='In a notebook')
"""


@pytest.fixture(scope='module')
def output():
  """The HTML of the cell's output."""
  import nbclient  # Only this test needs them.
  import nbformat

  notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
  client = nbclient.NotebookClient(
    notebook, timeout=120, kernel_name='python3', resources={'metadata': {'path': str(ROOT)}}
  )
  return client.execute().cells[0].outputs[-1].data['text/html']


@pytest.mark.system
def test_a_cell_shows_the_page(output, browser):
  """A page around it, with a style of its own, stays as it is; nothing is said or asked for."""
  page = browser.new_page(viewport=DESKTOP)
  heard, asked = [], []
  page.on('console', lambda message: heard.append(message.text))
  page.on('pageerror', lambda error: heard.append(str(error)))
  page.on('request', lambda request: asked.append(request.url))
  page.set_content(f'<style>p {{ color: rgb(1, 2, 3) }}</style><p>cell</p>{output}')
  frame = page.frame_locator('iframe')
  frame.get_by_role('heading', name='In a notebook').wait_for(timeout=10_000)
  stages = frame.get_by_role('application')
  assert stages.count() == 2 and '<b>left</b>' in stages.first.get_attribute('aria-label')
  colour = page.locator('p').evaluate('node => getComputedStyle(node).color')
  assert colour == 'rgb(1, 2, 3)'
  stages.first.hover()
  stages.first.click()  # Pins a patch, which changes the state that the address holds elsewhere.
  page.wait_for_timeout(200)
  assert heard == []
  assert [url for url in asked if not url.startswith(('data:', 'blob:', 'about:'))] == []
  page.close()
