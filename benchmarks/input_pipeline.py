"""Random crops of JPEGs, images a second, against a DataLoader of torchvision's transforms.

  taskset -c 0,1 python -m benchmarks.input_pipeline --peer=path/of/the/peer/environment/bin/python

Generated JPEGs of quality 90: parts of scikit-image's photographs, with noise. Both sides read the
same files in random order, cut as torchvision's RandomResizedCrop does, mirror, and give batches of
uint8; threads here, as many worker processes there. They take turns, and first use up what they
have read ahead. Prints for each size of the pictures the medians of images a second, the peer's,
their ratio, and the milliseconds of a processor an image, so that other work on the machine counts
little; also as JSON with --out.
"""

from collections.abc import Iterator
import json
import pathlib
import statistics
import tempfile
import time
from typing import Any

from absl import app, flags
import numpy as np
from PIL import Image

from benchmarks.peer import Peer
from perturb import keep_freed_memory
from perturb.data.datasets import of_class_folders
from perturb.data.images import Source, bundled_folder
from perturb.training.batches import Batch, TrainingBatches

PEER = flags.DEFINE_string('peer', None, 'Python of the environment with torchvision.')
SIDES = flags.DEFINE_list('sides', ['500x375', '1600x1200'], 'Width and height of the pictures.')
COUNT = flags.DEFINE_integer('count', 256, 'Pictures of each size.')
SIZE = flags.DEFINE_integer('size', 224, 'Of a crop.')
BATCH = flags.DEFINE_integer('batch', 64, 'Pictures in a batch.')
BATCHES = flags.DEFINE_integer('batches', 8, 'In a turn.')
WORKERS = flags.DEFINE_integer('workers', 2, 'Threads here, processes there.')
REPEATS = flags.DEFINE_integer('repeats', 9, 'Turns of each; the median is reported.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')

AHEAD = 4  # Batches: two for each of the peer's workers.
PHOTOGRAPHS = ('astronaut.png', 'chelsea.png', 'coffee.png', 'motorcycle_left.png', 'rocket.jpg')
NOISE = 4.0  # Its standard deviation, in grey levels.


def write_pictures(folder: pathlib.Path, width: int, height: int) -> None:
  """Files of eight classes."""
  random = np.random.default_rng(0)
  photographs = [Image.open(bundled_folder() / name).convert('RGB') for name in PHOTOGRAPHS]
  for number in range(COUNT.value):
    photograph = photographs[number % len(photographs)]
    across = random.uniform(0.5, 1) * min(photograph.width, photograph.height * width / height)
    sides = np.array([across, across * height / width])
    corner = random.uniform(0, np.array(photograph.size) - sides)
    part = photograph.resize(
      (width, height), Image.Resampling.BICUBIC, (*corner, *(corner + sides))
    )
    pixels = part + random.normal(0, NOISE, (height, width, 3))
    path = folder / f'class_{number % 8}' / f'{number:04d}.jpg'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8)).save(path, quality=90)


def batches_of(folder: pathlib.Path) -> Iterator[Batch]:
  def fail(_: Source, line: str) -> None:
    raise AssertionError(line)

  batches = TrainingBatches(
    of_class_folders(str(folder), '--folder'),
    np.arange(COUNT.value),
    size=SIZE.value,
    batch_size=BATCH.value,
    seed=0,
    crop='resized',
    flip=True,
    workers=WORKERS.value,
    ahead=AHEAD,
    fail=fail,
  )
  return batches.start(0)


def turn(batches: Iterator[Batch]) -> dict[str, float]:
  for _ in range(AHEAD + 1):
    next(batches)
  begin, used = time.perf_counter(), time.process_time()
  for _ in range(BATCHES.value):
    next(batches)
  return {
    'seconds': time.perf_counter() - begin,
    'processor_seconds': time.process_time() - used,
  }


def measure(folder: pathlib.Path, sides: str, peer: Peer) -> dict[str, Any]:
  """Medians over interleaved turns, after one of each to warm up."""
  width, height = map(int, sides.split('x'))
  write_pictures(folder, width, height)
  batches = batches_of(folder)
  request = {
    'folder': str(folder), 'size': SIZE.value, 'batch': BATCH.value, 'workers': WORKERS.value,
    'skip': AHEAD + 1, 'count': BATCHES.value,
  }  # fmt: skip
  turns: dict[str, list[dict[str, float]]] = {'ours': [], 'theirs': []}
  for _ in range(REPEATS.value + 1):
    turns['ours'].append(turn(batches))
    time.sleep(1)  # What is read ahead after a turn is not to slow the other's.
    turns['theirs'].append(peer.reply(np.empty(0), **request))
    time.sleep(1)
  images = BATCH.value * BATCHES.value
  found: dict[str, Any] = {'pictures': sides, 'size': SIZE.value}
  for side, prefix in (('ours', ''), ('theirs', 'peer_')):
    some = turns[side][1:]
    found[f'{prefix}images_a_second'] = images / statistics.median(one['seconds'] for one in some)
    used = statistics.median(one['processor_seconds'] for one in some)
    found[f'{prefix}processor_ms_an_image'] = 1000 * used / images
  ratios = [b['seconds'] / a['seconds'] for a, b in zip(*turns.values(), strict=True)][1:]
  return found | {'ratio': statistics.median(ratios), 'ratios': sorted(ratios)}


def main(_: list[str]) -> None:
  keep_freed_memory()  # As the command lines do.
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    peer = Peer(PEER.value, 'input_pipeline_peer.py', pathlib.Path(folder))
    for sides in SIDES.value:
      rows.append(measure(pathlib.Path(folder) / sides, sides, peer))
      print(rows[-1], flush=True)
    peer.process.terminate()
  if OUT.value:
    pathlib.Path(OUT.value).write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  flags.mark_flag_as_required('peer')
  app.run(main)
