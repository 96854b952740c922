"""What an image costs on the way to single filters: activations, thresholds, dissection.

  python -m benchmarks.dissection

EfficientNet-Lite0 with random weights, random pictures, 12 concepts a picture of 1197, label maps
of 112 x 112. Prints for each layer, in milliseconds of a processor an image, medians of several
blocks in turns: the network up to the layer; adding to the sketch of the quantiles; selecting
exactly; keeping the largest values instead, at its best, with a buffer as large as a block; and
counting. Then counting by a loop over the filters in NumPy, as the released code does, whose counts
must be the same. Before that, the peak memory of a process that streams N and 4 N images. Also as
JSON with --out.
"""

from collections.abc import Callable
import concurrent.futures
import json
import multiprocessing
import pathlib
import resource
import statistics
import time
from typing import Any

from absl import app, flags
import jax
import jax.numpy as jnp
import numpy as np

from concepts.bilinear import bilinear_weights
from concepts.dissection import Counts, count, empty_counts
from concepts.quantiles import add, empty_sketch, exact_thresholds, threshold
from concepts.regions import Overlaps, overlaps
from perturb import keep_freed_memory, nets

LAYERS = flags.DEFINE_list(
  'layers',
  ['blocks.3.depthwise', 'blocks.6.depthwise', 'blocks.10.depthwise', 'blocks.13.depthwise'],
  'Outputs of a ReLU.',
)
BLOCK = flags.DEFINE_integer('block', 16, 'Images at once.')
REPEATS = flags.DEFINE_integer('repeats', 5, 'Of each; the median is reported.')
IMAGES = flags.DEFINE_integer('images', 64, 'N of the memory; and 4 N.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')

CONCEPTS, A_PICTURE, SIZE = 1197, 12, (112, 112)


def block_of(images: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(pictures, their concepts, the masks of these)."""
  random = np.random.default_rng(seed)
  concepts = np.stack([random.choice(CONCEPTS, A_PICTURE, replace=False) for _ in range(images)])
  corners = random.integers(0, 80, (images, A_PICTURE, 2))
  masks = np.zeros((images, A_PICTURE, *SIZE), bool)
  for i, places in enumerate(corners):
    for mask, (top, left) in zip(masks[i], places, strict=True):
      mask[top : top + 30, left : left + 30] = True
  return random.standard_normal((images, 224, 224, 3), np.float32), concepts, masks


def largest_kept(kept: np.ndarray, values: np.ndarray) -> np.ndarray:
  """The largest values of each filter, `[m, K]`, of those kept and some more."""
  together = np.concatenate([kept, values])
  return np.partition(together, len(values), axis=0)[len(values) :]


def loop(active: np.ndarray, masks: np.ndarray) -> Overlaps:
  """Of one image: a filter after the other."""
  rows, high = bilinear_weights(active.shape[0], SIZE[0])
  columns, wide = bilinear_weights(active.shape[1], SIZE[1])
  both, areas = [], []
  for k in range(active.shape[-1]):
    region = 2 * (rows @ active[..., k].astype(np.float32) @ columns.T) > high * wide
    both.append((masks & region).sum((1, 2)))
    areas.append(region.sum())
  return Overlaps(np.stack(both, -1), masks.sum((1, 2)), np.array(areas))


def processor_ms(run: Callable[[], Any], images: int) -> float:
  start = time.process_time()
  jax.block_until_ready(run())
  return 1000 * (time.process_time() - start) / images


def measure(net: nets.Pretrained, layer: str) -> dict[str, Any]:
  images = BLOCK.value
  x, concepts, masks = block_of(images, 0)
  a = net.activations(jnp.asarray(x), [layer])[layer]
  filters = a.shape[-1]
  values = a.reshape(-1, filters)
  levels = exact_thresholds(values).levels
  active, train = np.asarray(a > levels), np.arange(images) % 4 > 0
  some = np.asarray(values[:, :1])  # Of one filter.
  state = {'sketch': empty_sketch(filters), 'counts': empty_counts(CONCEPTS, filters)}

  def add_to_sketch() -> jax.Array:
    state['sketch'] = add(state['sketch'], values)
    return state['sketch'].total

  def add_to_counts() -> Counts:
    state['counts'] = count(state['counts'], active, concepts, masks, train)
    return state['counts']

  runs = {
    'activations': lambda: net.activations(jnp.asarray(x), [layer]),
    'sketch': add_to_sketch,
    'selection': lambda: exact_thresholds(values),
    'largest kept': lambda: largest_kept(some, some),
    'dissection': add_to_counts,
  }
  times: dict[str, list[float]] = {name: [] for name in runs}
  for repeat in range(REPEATS.value + 1):
    for name, run in runs.items():
      taken = processor_ms(run, images) * (filters if name == 'largest kept' else 1)
      times[name] += [taken] if repeat else []
  start = time.process_time()
  expected = loop(active[0], masks[0])
  naive = 1000 * (time.process_time() - start)
  found = overlaps(jnp.asarray(active), jnp.asarray(masks))
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_array_equal(one[0], other)
  return {
    'layer': layer,
    'maps': list(a.shape[1:]),
    'bytes': a.nbytes // images,
    'bytes_packed': a.shape[1] * a.shape[2] * -(-filters // 8),
    'bytes_of_sketch': state['sketch'].counts.nbytes,
    'bytes_of_counts': sum(part.nbytes for part in state['counts']),
    'ms': {name: statistics.median(taken) for name, taken in times.items()} | {'loop': naive},
  }


def peak_of(images: int, layer: str, block: int) -> dict[str, float]:
  """GiB of a process that takes the thresholds of some images, and counts them."""
  net = nets.load('efficientnet_lite0', 'random')
  filters = net.shapes((layer,))[layer].shape[-1]
  sketch, counts = empty_sketch(filters), empty_counts(CONCEPTS, filters)

  def activations(start: int) -> tuple[jax.Array, np.ndarray, np.ndarray]:
    x, concepts, masks = block_of(block, start)
    return net.activations(jnp.asarray(x), [layer])[layer], concepts, masks

  for start in range(0, images, block):
    sketch = add(sketch, activations(start)[0])
  levels = threshold(sketch).levels
  for start in range(0, images, block):
    a, concepts, masks = activations(start)
    count(counts, a > levels, concepts, masks, np.ones(block, bool))
  return {'images': images, 'gib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def main(_: list[str]) -> None:
  spawned, peaks = multiprocessing.get_context('spawn'), []
  for images in (IMAGES.value, 4 * IMAGES.value):
    with concurrent.futures.ProcessPoolExecutor(1, spawned) as pool:
      peaks.append(pool.submit(peak_of, images, LAYERS.value[-1], BLOCK.value).result())
    print(peaks[-1], flush=True)
  keep_freed_memory()  # As the command lines do.
  net, rows = nets.load('efficientnet_lite0', 'random'), []
  for layer in LAYERS.value:
    rows.append(measure(net, layer))
    print(rows[-1], flush=True)
  if OUT.value:
    made = {'jax': jax.__version__, 'backend': jax.default_backend(), 'peaks': peaks, 'rows': rows}
    pathlib.Path(OUT.value).write_text(json.dumps(made, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  app.run(main)
