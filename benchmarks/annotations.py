"""How long COCO's annotations take to be read, and how much memory.

  python -m benchmarks.annotations

A file of instances like that of val2014, 40 000 pictures and 300 000 annotations with polygons of
some 25 corners and a crowd in a hundred, is written to a temporary folder, with pictures that are
links to one. A process of its own opens it as `coco:FILE`. Then the regions and masks of some items
are drawn. Of VOC, as many annotations as its test set has, 4952.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags
import numpy as np
from PIL import Image

PICTURES = flags.DEFINE_integer('pictures', 40_000, 'Of COCO.')
ANNOTATIONS = flags.DEFINE_integer('annotations', 300_000, 'Of COCO.')
XML = flags.DEFINE_integer('xml', 4_952, 'Pictures of VOC.')
OPEN = flags.DEFINE_string('open', '', 'A dataset to open in this process, and to draw masks of.')
DRAWN = 1000
WIDTH, HEIGHT = 640, 480


def write_coco(folder: pathlib.Path) -> pathlib.Path:
  """The file; its pictures are in `val2014`."""
  random = np.random.RandomState(0)
  images = [
    {
      'id': i, 'file_name': f'COCO_val2014_{i:012d}.jpg', 'width': WIDTH, 'height': HEIGHT,
      'license': 3, 'coco_url': f'http://images.cocodataset.org/val2014/{i:012d}.jpg',
      'date_captured': '2013-11-14 11:18:45',
    }
    for i in range(PICTURES.value)
  ]  # fmt: skip
  write_picture(folder / 'val2014' / 'one.jpg')
  for image in images:
    (folder / 'val2014' / str(image['file_name'])).symlink_to('one.jpg')
  annotations = [instance(random, i) for i in range(ANNOTATIONS.value)]
  categories = [{'id': i, 'name': f'category {i}', 'supercategory': 'all'} for i in range(1, 91)]
  data = {'images': images, 'annotations': annotations, 'categories': categories}
  path = folder / 'instances_val2014.json'
  path.write_text(json.dumps(data))
  return path


def instance(random: np.random.RandomState, key: int) -> dict[str, object]:
  """A star of about 25 corners, or a crowd as plain runs."""
  picture = int(random.randint(PICTURES.value))
  x, y, radius = random.randint(100, 380, 3) / (1, 1, 4)
  angles = np.linspace(0, 2 * np.pi, random.randint(10, 40), endpoint=False)
  radii = radius * random.uniform(0.5, 1, len(angles))
  corners = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)
  (left, top), (right, bottom) = corners.min(0), corners.max(0)
  crowd = key % 100 == 0
  runs = [1000, 200] * 256
  return {
    'id': key,
    'image_id': picture,
    'category_id': 1 + (picture + int(random.randint(4))) % 90,
    'segmentation': {'counts': runs, 'size': [HEIGHT, WIDTH]}
    if crowd
    else [corners.round(2).ravel().tolist()],
    'bbox': np.round([left, top, right - left, bottom - top], 2).tolist(),
    'area': round(float(np.pi * radius**2 / 2), 4),
    'iscrowd': int(crowd),
  }


def write_picture(path: pathlib.Path) -> None:
  path.parent.mkdir(parents=True)
  Image.new('RGB', (WIDTH, HEIGHT)).save(path)


def write_voc(folder: pathlib.Path) -> pathlib.Path:
  """The folder that has JPEGImages."""
  from tests.data.annotated import save_xml

  random = np.random.RandomState(0)
  write_picture(folder / 'JPEGImages' / 'one.jpg')
  keys = [f'{i:06d}' for i in range(XML.value)]
  for key in keys:
    (folder / 'JPEGImages' / f'{key}.jpg').symlink_to('one.jpg')
    boxes = [(*random.randint(1, 200, 2), *random.randint(200, 480, 2)) for _ in range(3)]
    objects = [(name, *box) for name, box in zip(('dog', 'car', 'car'), boxes, strict=True)]
    save_xml(folder / 'Annotations' / f'{key}.xml', objects, (WIDTH, HEIGHT))
  (folder / 'ImageSets' / 'Main').mkdir(parents=True)
  (folder / 'ImageSets' / 'Main' / 'test.txt').write_text('\n'.join(keys))
  return folder


def peak_memory() -> float:
  """GB of this program; that of the process counts the program that started it."""
  status = pathlib.Path('/proc/self/status').read_text()
  return int(status.partition('VmHWM:')[2].split()[0]) / 1e6


def open_and_draw(name: str) -> None:
  from perturb.data.datasets import open_dataset

  before = peak_memory()
  start = time.perf_counter()
  dataset = open_dataset(name)
  seconds = time.perf_counter() - start
  peak = peak_memory()
  items = np.random.RandomState(0).randint(0, len(dataset.sources), DRAWN)
  start = time.perf_counter()
  for item in items:
    dataset.region(int(item)).mask()
  each = (time.perf_counter() - start) / DRAWN
  print(
    f'{name.partition(":")[0]}: {len(dataset.sources)} items, {len(dataset.problems)} problems, '
    f'opened in {seconds:.1f} s, at most {peak:.2f} GB, of which {before:.2f} were '
    f'there before; {1000 * each:.2f} ms for the region and mask of an item'
  )


def main(_: list[str]) -> None:
  if OPEN.value:
    open_and_draw(OPEN.value)
    return
  with tempfile.TemporaryDirectory() as folder:
    path = write_coco(pathlib.Path(folder) / 'coco')
    print(f'{path.name}: {path.stat().st_size / 1e6:.0f} MB')
    root = write_voc(pathlib.Path(folder) / 'VOC2007')
    for name in (f'coco:{path}', f'voc:{root}'):
      command = [sys.executable, '-m', 'benchmarks.annotations', f'--open={name}']
      subprocess.run(command, check=True)


if __name__ == '__main__':
  app.run(main)
