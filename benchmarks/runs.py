"""What a run costs an image, and how much memory it takes, as the dataset grows.

  python -m benchmarks.runs

Photographs of 500 x 375 pixels as JPEG files, the digits' network, two areas, 50 iterations; each
size is a run of its own in a new process. Prints a table, also as JSON with --out.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from absl import app, flags
import numpy as np

from configs import extremal
from perturb.data.datasets import open_dataset
from perturb.data.images import find_images, open_picture
from perturb.memory import keep_freed_memory
from perturb.nets import load
from perturb.run.experiment import Targets
from perturb.run.loop import Run
from perturb.store.tensorboard import peak_memory
from perturb.tasks.extremal import experiment_of

SIZES = flags.DEFINE_list('sizes', ['16', '64', '256', '1024'], 'Numbers of images.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')
FOLDER = flags.DEFINE_string('folder', '', 'Of the photographs: of a run of one size.')
COUNT = flags.DEFINE_integer('count', 0, 'Images of that run.')


def make_photographs(folder: pathlib.Path, count: int) -> None:
  """Crops of the bundled photographs, all different."""
  sources, _ = find_images('astronaut, chelsea, coffee, rocket')
  pictures = [open_picture(source.path, source.path) for source in sources]
  for i in range(count):
    random = np.random.RandomState(i)
    picture = pictures[i % len(pictures)]
    left, top = (random.randint(0, side // 4) for side in picture.size)
    crop = picture.crop((left, top, picture.width - left // 2, picture.height - top // 2))
    crop.resize((500, 375)).save(folder / f'{i:05d}.jpg', quality=92)


def one_run(folder: pathlib.Path, count: int) -> dict[str, float]:
  """Figures of a run over the first images of a folder."""
  keep_freed_memory()
  config = extremal.get_config()
  config.network, config.weights, config.areas = 'mnist', 'random', (0.1, 0.3)
  config.batch = 16
  net = load(config.network, config.weights, '', '')
  dataset = open_dataset(str(folder / 'photographs'), f'[:{count}]')
  before = peak_memory()
  experiment = experiment_of(net, config, Targets(lambda _: -1))
  outcome = Run(experiment, dataset, config, folder / f'out{count}')()
  steady = outcome.seconds - outcome.compile_seconds
  return {
    'images': count,
    'done': outcome.computed,
    'ms_per_image': 1000 * steady / count,
    'waiting_percent': 100 * outcome.waiting / steady,
    'compile_seconds': outcome.compile_seconds,
    'peak_mb': peak_memory() / 2**20,
    'before_mb': before / 2**20,
  }


def main(_: list[str]) -> None:
  if COUNT.value:
    print(json.dumps(one_run(pathlib.Path(FOLDER.value), COUNT.value)))
    return
  rows = []
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    (folder / 'photographs').mkdir()
    make_photographs(folder / 'photographs', max(map(int, SIZES.value)))
    for count in SIZES.value:
      command = [sys.executable, '-m', 'benchmarks.runs', f'--folder={folder}', f'--count={count}']
      said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
      rows.append(json.loads(said.splitlines()[-1]))
      print({key: round(value, 1) for key, value in rows[-1].items()}, flush=True)
  if OUT.value:
    pathlib.Path(OUT.value).write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
  app.run(main)
