"""Makes what the documents show by the commands beside it: python -m tests.pictures [NAME].

Without a name all pictures and pages are made anew, which takes two hours, most of it for
benchmark.png, which needs data/composites. What runs/ holds is not computed again.
"""

import io
import pathlib
import shutil
import subprocess
import sys
from typing import NamedTuple

from PIL import Image

from tests.commands import ROOT
from tests.test_docs import every_command, option


class Made(NamedTuple):
  """Where a picture comes from.

  Attributes:
    document: that has its commands.
    workdir: of these commands.
    path: the file there; of a page, a picture of its window is taken.
    part: behind the address of the page: its state.
  """

  document: str
  workdir: str
  path: str
  part: str = ''


PICTURES = {
  'area_growth.png': Made('README.md', 'runs/extremal', 'figures/growth.png'),
  'heatmaps.jpg': Made('docs/methods.md', 'runs/heatmaps', 'figures/heatmaps.png'),
  'compare.jpg': Made('docs/methods.md', 'runs/compare', 'compare.png'),
  'channels.jpg': Made('docs/methods.md', 'runs/channels', 'channels/coffee.png'),
  'benchmark.png': Made('docs/benchmarks.md', 'runs/sixteen', 'benchmark.png'),
  'an8flower.jpg': Made('docs/benchmarks.md', 'data/an8flower', 'contact_sheet.png'),
  'net2vec_results.png': Made('docs/net2vec.md', 'runs/net2vec', 'results.png'),
  'net2vec_map.png': Made('docs/net2vec.md', 'runs/net2vec', 'map.png'),
  'overlays.png': Made(
    'docs/overlays.md', 'runs/small', 'overlays.html', '#layer=blocks.9&a=1,1,5,4,5,4'
  ),
  'overlays_sensitivity.png': Made('docs/overlays.md', 'runs/turning', 'sensitivity.png'),
  'overlays_correspondence.jpg': Made('docs/overlays.md', 'runs/overlays', 'correspondence.png'),
  'relevant_average.jpg': Made('docs/relevant.md', 'runs/relevant', 'average_images.png'),
  'relevant_explanations.jpg': Made(
    'docs/relevant.md', 'runs/relevant_an8flower', 'explanations.png'
  ),
  'occlusion_robustness.png': Made(
    'docs/occlusion.md', 'runs/occlusion_robustness', 'occlusion_robustness.png'
  ),
  'augmentations.png': Made('docs/occlusion.md', 'runs/augmentations', 'augmentations.png'),
  'roar.png': Made('docs/benchmarks.md', 'runs/roar', 'roar.png'),
  'sweep.png': Made('docs/runs.md', 'runs/sweep', 'summary.png'),
}

PAGES = {'overlays.html': PICTURES['overlays.png']}  # Of the documents, whole.
WINDOW = {'width': 1280, 'height': 530}


def make(made: Made, folder: pathlib.Path) -> tuple[pathlib.Path, str]:
  """(the picture, what its commands have printed), run in a folder that has configs/."""
  printed = ''
  for words in every_command(made.document):
    if option(words, 'workdir') == made.workdir:
      command = [sys.executable, *words[1:]]
      done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
      printed += done.stdout
  return folder / made.workdir / made.path, printed


def photographed(page: pathlib.Path, part: str) -> Image.Image:
  """The window of Debian's chromium with a page in it."""
  from playwright.sync_api import sync_playwright  # Only the pictures of pages need it.

  with sync_playwright() as driver:
    browser = driver.chromium.launch(executable_path='/usr/bin/chromium', args=['--no-sandbox'])
    window = browser.new_page(viewport=WINDOW, device_scale_factor=1.5)
    window.goto(f'{page.as_uri()}{part}', wait_until='load')
    window.wait_for_timeout(500)
    found = Image.open(io.BytesIO(window.screenshot()))
    browser.close()
  return found


def main(names: list[str]) -> None:
  """Replaces pictures and pages of docs/."""
  for name in names or [*PICTURES, *PAGES]:
    made = PAGES[name] if name in PAGES else PICTURES[name]
    path, _ = make(made, ROOT)
    if name in PAGES:
      shutil.copyfile(path, ROOT / 'docs' / name)
    else:
      found = photographed(path, made.part) if path.suffix == '.html' else Image.open(path)
      found.convert('RGB').save(ROOT / 'docs' / name, quality=90, optimize=True)
    print(f'docs/{name}')


if __name__ == '__main__':
  main(sys.argv[1:])
