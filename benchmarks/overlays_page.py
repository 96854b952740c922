"""Frame time of the page of similarity overlays: from a move of the mouse until it is painted.

  python -m benchmarks.overlays_page

Fifty pictures, three layers of 14 x 14 patches, in Debian's chromium (headless, without a GPU). Of
each mode it prints the median and the 95th percentile of three times in ms: of the page's own work
(compare, colour, mark), from the event's handler until the frame is done (the page's work, style,
layout, paint records), and from the mouse (the time stamp of the browser's input, which waits for
the next frame of a 60 Hz screen).
"""

import argparse
import pathlib
import shutil
import tempfile
import time
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright
from skimage.transform import resize

from concepts.figures.overlay_views import Groups, LayerView, Overlay, Picture
from concepts.figures.overlays_page import overlays_page
from concepts.packing import pack

GRID, PIXELS = 14, 224
CHANNELS = {'mixed4a': 508, 'mixed4d': 528, 'mixed4e': 832}  # As GoogLeNet's.
MODES = ('one', 'all', 'layers&picture=all', 'groups')
MOVES = 120
# Times of each frame that follows a move, in `window.times`.
CLOCK = """(() => {
  window.times = [];
  let from = 0, begun = 0, done = 0, stamp = 0, waits = false;
  const painted = new MessageChannel();  // Its message comes after the frame.
  painted.port1.onmessage = () => {
    const now = performance.now();
    times.push([done - begun, now - from, now - stamp]);
    waits = false;
  };
  addEventListener('pointermove', event => {  // Before the page's handler, and its frame.
    if (waits) return;
    from = performance.now();
    stamp = event.timeStamp;
    requestAnimationFrame(() => { begun = performance.now(); });
  }, true);
  addEventListener('pointermove', () => {  // After them.
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { done = performance.now(); painted.port2.postMessage(0); });
  });
})()"""


def overlay(pictures: int) -> Overlay:
  """Of activations whose spectrum falls as 1 / axis, as a network's about does."""
  rng = np.random.default_rng(0)
  shown = [
    Picture(
      f'picture {i}', (255 * resize(rng.random((9, 9, 3)), (PIXELS, PIXELS))).astype(np.uint8)
    )
    for i in range(pictures)
  ]
  layers = []
  for name, channels in CHANNELS.items():
    along = rng.normal(size=(pictures, GRID, GRID, channels)) / np.arange(1, channels + 1)
    turned = (along @ np.linalg.qr(rng.normal(size=(channels, channels)))[0]).astype(np.float32)
    groups = Groups(list(rng.random((pictures, GRID, GRID, 5)).astype(np.float32)))
    layers.append(LayerView(name, pack(list(turned)), {}, groups))
  return Overlay('Frame time', shown, pictures, layers, [], '')


def frames(page: Any, mode: str) -> np.ndarray:
  """Times of frames `[N, 3]` in ms while the mouse crosses the first pictures."""
  page.goto(page.url.split('#')[0] + f'#mode={mode}')
  page.wait_for_timeout(800)
  page.evaluate('times.length = 0')
  box = page.locator('.stage').first.bounding_box()
  rng = np.random.default_rng(1)
  for x, y in rng.random((MOVES, 2)):
    page.mouse.move(box['x'] + 0.98 * x * box['width'], box['y'] + 0.98 * y * box['height'])
    page.wait_for_timeout(40)
  return np.array(page.evaluate('times'))


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--pictures', type=int, default=50)
  pictures = parser.parse_args().pictures
  with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
    given, start = overlay(pictures), time.perf_counter()
    path = pathlib.Path(folder) / 'page.html'
    path.write_text(overlays_page(given), encoding='utf-8')
    axes = [layer.packed.codes[0].shape[2] for layer in given.layers]
    elapsed, size = time.perf_counter() - start, path.stat().st_size / 1e6
    print(f'{pictures} pictures, axes {axes}: {size:.1f} MB, written in {elapsed:.1f} s')
    chromium = shutil.which('chromium') or '/usr/bin/chromium'
    browser = driver.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
    page = browser.new_page(viewport={'width': 1280, 'height': 900})
    page.add_init_script(CLOCK)
    page.goto(path.as_uri())
    page.wait_for_selector('html[data-ready]', state='attached')
    for mode in MODES:
      times = frames(page, mode)
      median, high = np.median(times, 0), np.percentile(times, 95, 0)
      text = ', '.join(
        f'{name} {m:.1f} ({h:.1f})'
        for name, m, h in zip(
          ('work', 'handler to paint', 'mouse to paint'), median, high, strict=True
        )
      )
      print(f'{mode:20} {len(times)} frames, median (95 %) in ms: {text}')
    browser.close()


if __name__ == '__main__':
  main()
