"""Records how PyTorch trains a concept vector, for tests/concepts/test_concept_vectors.py.

Run once, in an environment of its own:

  pip install numpy torch==2.13.0 jax
  python -m tests.record_concept_vectors
"""

import pathlib

import numpy as np
import torch

from benchmarks.concept_vectors_peer import train
from tests.concepts import vector_problem as small

STEPS, BATCH = 10, 3
RATES = {'overlap': 0.05, 'bce': 0.01}  # At which weights of a small problem move.


def main() -> None:
  packed, pairs = small.problem()
  of_one = pairs.take(pairs.concept == 0)
  bits = np.unpackbits(packed[of_one.picture], axis=-1, count=small.K).transpose(0, 3, 1, 2)
  masks = np.unpackbits(of_one.masks, axis=-1, count=small.SIZE[0] * small.SIZE[1])
  weights = np.random.RandomState(3).uniform(-0.5, 0.5, small.K).astype(np.float32)
  found = {'weights': weights}
  for loss, rate in RATES.items():
    for corners in (True, False):
      found[f'{loss}_{"corners" if corners else "cells"}'] = np.stack(
        train(
          lambda some: torch.from_numpy(bits[some]).float(),
          masks.reshape(-1, *small.SIZE),
          weights,
          epochs=STEPS,
          steps=STEPS,
          batch_size=BATCH,
          learning_rate=rate,
          loss=loss,
          align_corners=corners,
        )
      )
  folder = pathlib.Path(__file__).parent / 'recorded'
  np.savez_compressed(folder / 'concept_vectors.npz', **found)


if __name__ == '__main__':
  main()
