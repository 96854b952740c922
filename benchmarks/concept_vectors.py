"""Concept vectors: all concepts by one program, against PyTorch, one concept after the other.

  python -m benchmarks.concept_vectors --peer=path/of/the/peer/environment/bin/python

A layer of drawn activations: smooth fields, of which each filter exceeds its threshold at one
position in 200, in clumps. Concepts have different numbers of pictures, from 10 to 200, as drawn on
a logarithmic scale. Both sides get the same activations, masks and first weights, and take the same
steps. They take turns, and PyTorch trains some of the concepts. Prints the median and the least
seconds for a picture of a concept in an epoch, by the clock and of processors, which other work on
the machine changes less; and how far the vectors are apart. Also as JSON with --out.
"""

import json
import os
import pathlib
import statistics
import tempfile
import time

from absl import app, flags
import jax
import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.peer import Peer
from concepts.binarised import binarised
from concepts.concept_vectors import start_vectors, train_vectors
from concepts.labelled_pairs import Pairs

PEER = flags.DEFINE_string('peer', None, 'Python of the environment with the peer.')
CONCEPTS = flags.DEFINE_integer('concepts', 100, 'C.')
CONCEPTS_OF_PEER = flags.DEFINE_integer('concepts_of_peer', 4, 'Of these, in each turn.')
FILTERS = flags.DEFINE_integer('filters', 320, 'K.')
SIDE = flags.DEFINE_integer('side', 14, 'h = w.')
LABELS = flags.DEFINE_integer('labels', 112, 'sh = sw.')
PICTURES = flags.DEFINE_integer('pictures', 600, 'N.')
EPOCHS = flags.DEFINE_integer('epochs', 10, 'Of each concept.')
TURNS = flags.DEFINE_integer('turns', 5, 'Of both sides; medians are reported.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')

TAU, BATCH = 0.005, 64


def activations() -> np.ndarray:
  """`[N, K, h, w]`, not negative."""
  random, side = np.random.default_rng(0), SIDE.value
  shape = (PICTURES.value, FILTERS.value, side, side)
  fields = gaussian_filter(random.standard_normal(shape, np.float32), (0, 0, 1, 1))
  return np.maximum(fields, 0)


def drawn_pairs() -> Pairs:
  """Rectangles and ellipses of all sizes."""
  random, size = np.random.default_rng(1), LABELS.value
  counts = np.geomspace(10, 200, CONCEPTS.value).round().astype(int)
  concept = np.repeat(random.permutation(CONCEPTS.value), counts)
  place = (np.arange(size) + 0.5) / size
  masks = np.empty((len(concept), -(-size * size // 8)), np.uint8)
  for row in range(len(concept)):
    centre, reach = random.random(2), random.uniform(0.05, 0.5, 2)
    far = np.abs(place - centre[:, None]) / reach[:, None]
    round_ = np.add.outer(far[0] ** 2, far[1] ** 2) < 1
    square = np.logical_and.outer(far[0] < 1, far[1] < 1)
    masks[row] = np.packbits(round_ if row % 2 else square)
  return Pairs(concept, random.integers(0, PICTURES.value, len(concept)), masks, (size, size))


def main(_: list[str]) -> None:
  values, pairs = activations(), drawn_pairs()
  thresholds = np.quantile(values, 1 - TAU, axis=(0, 2, 3)).astype(np.float32)
  bits = (values > thresholds[:, None, None]).transpose(0, 2, 3, 1)
  active = binarised(np.packbits(bits, axis=-1), FILTERS.value)
  first = start_vectors(np.arange(CONCEPTS.value), FILTERS.value, key=0)
  counts = np.bincount(pairs.concept, minlength=CONCEPTS.value)
  # The middle of equal parts, so that theirs have as many pictures as all have.
  parts = np.array_split(np.argsort(counts), CONCEPTS_OF_PEER.value)
  chosen = [int(part[len(part) // 2]) for part in parts]

  def ours() -> np.ndarray:
    trained = train_vectors(first, active, pairs, epochs=EPOCHS.value, batch_size=BATCH)
    return np.asarray(trained.weights)

  start = time.perf_counter()
  found = ours()
  compiling = time.perf_counter() - start
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    peer = Peer(PEER.value, 'concept_vectors_peer.py', pathlib.Path(folder))
    problem, out = peer.folder / 'problem.npz', peer.folder / 'trained.npy'
    np.savez(
      problem,
      activations=values,
      thresholds=thresholds,
      concept=pairs.concept,
      picture=pairs.picture,
      masks=pairs.masks,
      size=pairs.size,
    )
    del values, bits
    request = {'problem': str(problem), 'epochs': EPOCHS.value, 'out': str(out)}
    sides = {'torch': {'lean': False}, 'torch, lean': {'lean': True}}
    for options in sides.values():
      peer.ask(np.asarray(first.weights), concepts=chosen[:1], **request, **options)
    for _ in range(TURNS.value):
      wall, processor = time.perf_counter(), time.process_time()
      ours()
      taken = time.perf_counter() - wall, time.process_time() - processor
      row = {'ours': per_picture(*taken, counts)}
      for side, options in sides.items():
        said = peer.reply(np.asarray(first.weights), concepts=chosen, **request, **options)
        row[side] = per_picture(said['seconds'], said['processor'], counts[chosen])
        apart = float(np.abs(np.load(out) - found[chosen]).max())
      rows.append(row)
      print(row, apart, flush=True)
  medians, least = (
    {side: {clock: of(row[side][clock] for row in rows) for clock in row[side]} for side in row}
    for of in (statistics.median, min)
  )
  made = {
    'jax': jax.__version__,
    'cores': os.cpu_count(),
    'concepts': CONCEPTS.value,
    'filters': FILTERS.value,
    'side': SIDE.value,
    'labels': LABELS.value,
    'pairs': int(counts.sum()),
    'steps': int((-(-counts // BATCH)).sum()) * EPOCHS.value,
    'seconds_with_compiling': compiling,
    'median_seconds_a_pair': medians,
    'least_seconds_a_pair': least,
    'apart': apart,
    'moved': float(np.abs(found - np.asarray(first.weights))[chosen].max()),
  }
  print(json.dumps(made, indent=1))
  if OUT.value:
    pathlib.Path(OUT.value).write_text(json.dumps(made, indent=1) + '\n', encoding='utf-8')


def per_picture(wall: float, processor: float, counts: np.ndarray) -> dict[str, float]:
  pictures = int(counts.sum()) * EPOCHS.value
  return {'wall': wall / pictures, 'processor': processor / pictures}


if __name__ == '__main__':
  flags.mark_flag_as_required('peer')
  app.run(main)
