"""The page of similarity overlays against the published article's sprites: size and time.

  python -m benchmarks.overlays

Pictures are parts of scikit-image's photographs. For each number of them: the seconds, of the clock
and of the processor, to compute the activations of three layers of EfficientNet-Lite0 and to write
the page, the size of the page, and that of the sprites of all pairs, of which some are written and
the mean is taken. Compiling counts in the first line. Also as JSON with --out.
"""

import json
import pathlib
import time

from absl import app, flags
import numpy as np
from PIL import Image

from concepts.overlays import similarity_overlay
from concepts.patch_similarity import similarity
from concepts.sprites import sprite
from perturb.data.images import BUNDLED, find_images, open_picture
from perturb.nets import load
from perturb.store.files import png_bytes

COUNTS = flags.DEFINE_list('counts', ['5', '20', '50'], 'Pictures.')
LAYERS = flags.DEFINE_list('layers', ['blocks.4', 'blocks.9', 'head'], 'Of EfficientNet-Lite0.')
PAIRS = flags.DEFINE_integer('pairs', 20, 'Sprites of each layer that are written.')
GROUPS = flags.DEFINE_integer('groups', 4, 'Groups of patches in each layer.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')


def pictures(count: int, size: int) -> list[np.ndarray]:
  """Squares of a third to all of the shorter side, at random, of one photograph after the other."""
  random = np.random.default_rng(0)
  found, _ = find_images(', '.join(BUNDLED))
  sources = [open_picture(one.path, one.place) for one in found]
  made = []
  for number in range(count):
    source = sources[number % len(sources)]
    side = int(min(source.size) * random.uniform(0.33, 1))
    left, top = (int(random.integers(0, whole - side + 1)) for whole in source.size)
    part = source.crop((left, top, left + side, top + side))
    made.append(np.asarray(part.resize((size, size), Image.Resampling.BICUBIC)))
  return made


def sprite_bytes(net, shown: list[np.ndarray], layers: list[str], pairs: int) -> int:
  """Of all pairs of pictures in all layers, from the mean of some."""
  random, total = np.random.default_rng(0), 0.0
  for layer in layers:
    sizes = []
    for i, j in random.integers(0, len(shown), (pairs, 2)):
      both = net.activations(net.preprocess(np.stack([shown[i], shown[j]])), [layer])[layer]
      grey = sprite(similarity(*np.asarray(both)), own=bool(i == j))
      sizes.append(len(png_bytes(grey)))
    total += float(np.mean(sizes)) * len(shown) ** 2
  return round(total)


def measure(net, count: int, layers: list[str]) -> dict[str, float]:
  """One row."""
  shown = pictures(count, net.size)
  clock, processor = time.perf_counter(), time.process_time()
  page = similarity_overlay(net, shown, layers, groups=GROUPS.value)
  clock, processor = time.perf_counter() - clock, time.process_time() - processor
  return {
    'pictures': count,
    'seconds': clock,
    'processor': processor,
    'page': len(page.html.encode()),
    'sprites': sprite_bytes(net, shown, layers, PAIRS.value),
  }


def main(_: list[str]) -> None:
  net, rows = load('efficientnet_lite0'), []
  print('pictures  seconds  processor  page, MB  sprites, MB')
  for count in map(int, COUNTS.value):
    row = measure(net, count, LAYERS.value)
    rows.append(row)
    print(
      f'{count:8}  {row["seconds"]:7.1f}  {row["processor"]:9.1f}  {row["page"] / 1e6:8.2f}  '
      f'{row["sprites"] / 1e6:11.1f}',
      flush=True,
    )
  if OUT.value:
    pathlib.Path(OUT.value).write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  app.run(main)
