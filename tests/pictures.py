"""Makes the pictures of the documents by the commands beside them: python -m tests.pictures [NAME].

Without a name all of them are made anew, which takes two hours, most of it for
benchmark.png, which needs data/composites. What runs/ holds is not computed again.
"""

import pathlib
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
    path: the file there.
  """

  document: str
  workdir: str
  path: str


PICTURES = {
  'area_growth.png': Made('README.md', 'runs/extremal', 'figures/growth.png'),
  'heatmaps.jpg': Made('docs/methods.md', 'runs/heatmaps', 'figures/heatmaps.png'),
  'compare.jpg': Made('docs/methods.md', 'runs/compare', 'compare.png'),
  'channels.jpg': Made('docs/methods.md', 'runs/channels', 'channels/coffee.png'),
  'benchmark.png': Made('docs/benchmarks.md', 'runs/sixteen', 'benchmark.png'),
  'an8flower.jpg': Made('docs/benchmarks.md', 'data/an8flower', 'contact_sheet.png'),
  'net2vec_results.png': Made('docs/net2vec.md', 'runs/net2vec', 'results.png'),
  'net2vec_map.png': Made('docs/net2vec.md', 'runs/net2vec', 'map.png'),
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


def make(made: Made, folder: pathlib.Path) -> tuple[pathlib.Path, str]:
  """(the picture, what its commands have printed), run in a folder that has configs/."""
  printed = ''
  for words in every_command(made.document):
    if option(words, 'workdir') == made.workdir:
      command = [sys.executable, *words[1:]]
      done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
      printed += done.stdout
  return folder / made.workdir / made.path, printed


def main(names: list[str]) -> None:
  """Replaces pictures of docs/."""
  for name in names or PICTURES:
    picture, _ = make(PICTURES[name], ROOT)
    Image.open(picture).convert('RGB').save(ROOT / 'docs' / name, quality=90, optimize=True)
    print(f'docs/{name}')


if __name__ == '__main__':
  main(sys.argv[1:])
