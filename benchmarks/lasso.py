"""The mu-lasso of all classes, against scikit-learn's and celer's Lasso.

  python -m benchmarks.lasso --peer=path/of/the/peer/environment/bin/python

Responses as networks have them: not negative, those of a layer sum to one, few causes behind many
correlated features, and a few that never fire. Both sides get the same responses and take turns.
All stop at a gap of 1e-4 ||l||^2. The peers solve the penalised form at the multiplier that our
solution has, for the first classes only. Prints the median processor time of a class, so that other
work on the machine counts little, and how far the penalised objectives are apart as a share of
||l||^2, at most. Before that, the time and the memory of the Gram matrix for N and 2 N images, each
in a process of its own. Also as JSON with --out.
"""

from collections.abc import Iterator
import concurrent.futures
import json
import multiprocessing
import pathlib
import resource
import statistics
import tempfile
import time

from absl import app, flags
import jax
import numpy as np

from benchmarks.peer import Peer
from concepts.gram import Gram, add, empty_gram
from concepts.lasso import Solution, mu_lasso

PEER = flags.DEFINE_string('peer', None, 'Python of the environment with the peers.')
FEATURES = flags.DEFINE_integer('features', 5000, 'm, in ten layers.')
IMAGES = flags.DEFINE_integer('images', 10_000, 'N.')
CLASSES = flags.DEFINE_integer('classes', 100, 'C.')
MUS = flags.DEFINE_list('mus', ['10', '100'], 'Bounds.')
CLASSES_OF_PEER = flags.DEFINE_list('classes_of_peer', ['100', '4'], 'For each bound.')
REPEATS = flags.DEFINE_integer('repeats', 3, 'Of each solution; the median is reported.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')

TOLERANCE = 1e-4
CAUSES = 40
ROWS = 2000


def blocks(images: int, features: int, classes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Responses `[n, m]` and labels `[n, C]` of some images at a time; deeper layers tell more."""
  random, depths, width = np.random.default_rng(0), np.arange(10), features // 10
  shape = (10, 1, width)
  mixing = random.standard_normal((10, CAUSES, width), np.float32) / CAUSES**0.5
  offsets, scales = random.standard_normal(shape), np.exp(random.standard_normal(shape))
  scales = np.where(random.random(shape) < 0.02, 0, scales)
  centres = random.standard_normal((classes, CAUSES), np.float32)
  strengths = (0.3 + 0.12 * depths)[:, None, None]
  for start in range(0, images, ROWS):
    label = np.arange(start, min(start + ROWS, images)) % classes
    causes = random.standard_normal((len(label), CAUSES), np.float32) + strengths * centres[label]
    noise = 0.5 * random.standard_normal((10, len(label), width), np.float32)
    response = scales * np.logaddexp(0, causes @ mixing + noise + offsets)
    response /= response.sum(2, keepdims=True)
    x = response.transpose(1, 0, 2).reshape(len(label), -1).astype(np.float32)
    yield x, np.eye(classes, dtype=np.float32)[label]


def gram_of(images: int, features: int, classes: int) -> tuple[Gram, float]:
  """The Gram, and the processor time without that of drawing the responses."""
  gram, seconds = empty_gram(features, classes), 0.0
  for x, labels in blocks(images, features, classes):
    start = time.process_time()
    gram = add(gram, x, labels)
    seconds += time.process_time() - start
  return gram, seconds


def cost_of_gram(images: int, features: int, classes: int) -> dict[str, float]:
  _, seconds = gram_of(images, features, classes)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  return {'images': images, 'seconds': seconds, 'peak_gib': peak}


def penalised(x, labels, weights, lam):
  """||X^T w - l||^2 + 2 lam ||w||_1 as a share of ||l||^2, of each class."""
  squares = np.square(x @ weights - labels).sum(0)
  return (squares + 2 * lam * np.abs(weights).sum(0)) / labels.sum(0)


def measure(x, labels, gram: Gram, mu: float, classes: int, peer: Peer) -> dict[str, float]:
  """Medians over interleaved calls, after one of ours to compile."""

  def ours() -> Solution:
    return mu_lasso(gram, mu, tolerance=TOLERANCE)

  found = ours()
  lam = found.lam[:classes]
  request = {
    'responses': str(peer.folder / 'responses.npy'),
    'out': str(peer.folder / 'weights.npy'),
    'alphas': (lam / len(x)).tolist(),
    'tolerance': TOLERANCE,
  }
  times: dict[str, list[float]] = {'ours': [], 'scikit-learn': [], 'celer': []}
  apart = {}
  some = labels[:, :classes].astype(np.float64)
  expected = penalised(x, some, found.weights[:, :classes], lam)
  for _ in range(REPEATS.value):
    start = time.process_time()
    ours()
    times['ours'].append((time.process_time() - start) / labels.shape[1])
    for solver in ('scikit-learn', 'celer'):
      times[solver].append(peer.ask(some.T, solver=solver, **request) / classes)
      theirs = penalised(x, some, np.load(request['out']).T, lam)
      apart[solver] = float(np.abs(theirs - expected).max())
  chosen = (found.weights != 0).sum(0)
  return {
    'mu': mu,
    'classes_of_peer': classes,
    'chosen_a_class': float(np.median(chosen)),
    'chosen': int((found.weights != 0).any(1).sum()),
    'objective': float((found.objective / gram.energy).mean()),
    'gap': float((found.gap / gram.energy).max()),
    'seconds_a_class': {side: statistics.median(taken) for side, taken in times.items()},
    'apart': apart,
  }


def main(_: list[str]) -> None:
  size = FEATURES.value, CLASSES.value
  spawned = multiprocessing.get_context('spawn')
  grams = []
  for images in (IMAGES.value, 2 * IMAGES.value):
    with concurrent.futures.ProcessPoolExecutor(1, spawned) as pool:
      grams.append(pool.submit(cost_of_gram, images, *size).result())
    print(grams[-1], flush=True)
  drawn = list(blocks(IMAGES.value, *size))
  x, labels = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
  del drawn
  gram = add(empty_gram(*size), x, labels)
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    peer = Peer(PEER.value, 'lasso_peer.py', pathlib.Path(folder))
    np.save(peer.folder / 'responses.npy', x)
    for mu, classes in zip(MUS.value, CLASSES_OF_PEER.value, strict=True):
      rows.append(measure(x, labels, gram, float(mu), int(classes), peer))
      print(rows[-1], flush=True)
  if OUT.value:
    made = {
      'jax': jax.__version__,
      'images': IMAGES.value,
      'features': FEATURES.value,
      'classes': CLASSES.value,
      'grams': grams,
      'rows': rows,
    }
    pathlib.Path(OUT.value).write_text(json.dumps(made, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  flags.mark_flag_as_required('peer')
  app.run(main)
