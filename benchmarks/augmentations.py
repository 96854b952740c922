"""Time of a training step with each augmentation, against the plain step of B and of 2 B images.

  python -m benchmarks.augmentations
  python -m benchmarks.augmentations --network=resnet50 --batch=128 --half --out=FILE

Calls are interleaved, and a step begins when the one before it is done. A joint recipe sees 2 B
images, so that its time is also divided by that of a plain step of 2 B; of the salient patch also
what remains beyond that step, in plain steps of B, which is a pass forward and one back at most.
Pictures and weights are random, and what a step computes does not depend on them.
"""

import json
import pathlib
import statistics
import time

from absl import app, flags
import jax
import numpy as np

from perturb import keep_freed_memory
from perturb.nets.zoo import NETWORKS, untrained
from perturb.training import steps
from perturb.training.optimisers import sgd
from perturb.training.recipe import Recipe
from perturb.training.state import start

NETWORK = flags.DEFINE_string('network', 'small_resnet', 'A ResNet of perturb.nets.')
BATCH = flags.DEFINE_integer('batch', 64, 'B, images in a plain step.')
HALF = flags.DEFINE_bool('half', False, 'Train in bfloat16.')
ONLY = flags.DEFINE_list('only', [], 'Names of augmentations; all by default.')
REPEATS = flags.DEFINE_integer('repeats', 9, 'Of each step; the median is reported.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')


def recipes(size: int) -> dict[str, Recipe]:
  """By name; squares have a quarter of the image's side, as 56 of 224 pixels."""
  side, half = size // 4, HALF.value
  salient = {'layer': 'layer3.0.conv1', 'side': side, 'jitter': size // 14}
  return {
    'plain': Recipe(half=half),
    'plain 2B': Recipe(half=half),
    'joint': Recipe(joint=True, half=half),
    'joint hide_and_seek': Recipe('hide_and_seek', joint=True, half=half),
    'joint cutout': Recipe('cutout', {'side': side, 'count': 4}, joint=True, half=half),
    'joint salient': Recipe('salient', salient, joint=True, half=half),
    'hide_and_seek': Recipe('hide_and_seek', half=half),
    'salient': Recipe('salient', salient, half=half),
    'dropout': Recipe(dropout='dropout', half=half),
    'spatial_dropout': Recipe(dropout='spatial_dropout', half=half),
    'drop_block': Recipe(dropout='drop_block', half=half),
    'shift and flip': Recipe(pad=4, flip=True, half=half),
    'average and smoothing': Recipe(average=0.999, label_smoothing=0.1, half=half),
  }


class Timed:
  """A compiled step and its state; `seconds` has the time of each call but the first."""

  def __init__(self, recipe: Recipe, batch: int):
    net, rule = untrained(NETWORK.value, tuple(map(str, range(10)))), sgd(1e-3)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, net.size, net.size, 3), dtype=np.uint8)
    labels = random.integers(0, 10, batch).astype(np.int32)
    self.batch = jax.device_put((images, labels))
    self.step, self.state = steps.make_step(net, rule, recipe), start(net, rule, recipe)
    self.seconds = list[float]()

  def call(self) -> float:
    began = time.perf_counter()
    self.state, measured = self.step(self.state, *self.batch, jax.random.key(0))
    jax.block_until_ready((self.state, measured))
    return time.perf_counter() - began


def main(_: list[str]) -> None:
  keep_freed_memory()  # As the command lines do.
  size = NETWORKS[NETWORK.value].size
  chosen = {
    name: recipe
    for name, recipe in recipes(size).items()
    if not ONLY.value or name in ONLY.value or name.startswith('plain')
  }
  timed = {
    name: Timed(recipe, BATCH.value * (2 if name == 'plain 2B' else 1))
    for name, recipe in chosen.items()
  }
  for one in timed.values():
    one.call()
  for _ in range(REPEATS.value):
    for one in timed.values():
      one.seconds.append(one.call())
  medians = {name: statistics.median(one.seconds) for name, one in timed.items()}
  plain, double = medians['plain'], medians['plain 2B']
  rows = []
  print(f'{"step":26} {"ms":>8} {"/ plain":>8} {"/ 2 B":>8} {"beyond 2 B, in plain steps":>27}')
  for name, seconds in medians.items():
    row = {'step': name, 'milliseconds': 1000 * seconds, 'to_plain': seconds / plain}
    if name.startswith('joint'):
      row |= {'to_double': seconds / double, 'beyond_double': (seconds - double) / plain}
    rows.append(row)
    joint = [f'{row[key]:.3f}' if key in row else '' for key in ('to_double', 'beyond_double')]
    print(
      f'{name:26} {row["milliseconds"]:8.1f} {row["to_plain"]:8.3f} {joint[0]:>8} {joint[1]:>27}'
    )
  if OUT.value:
    figures = {
      'jax': jax.__version__,
      'device': jax.devices()[0].device_kind,
      'network': NETWORK.value,
      'batch': BATCH.value,
      'half': HALF.value,
      'steps': rows,
    }
    pathlib.Path(OUT.value).write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  app.run(main)
