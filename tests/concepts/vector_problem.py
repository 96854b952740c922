"""A small layer whose concepts are to be segmented."""

import numpy as np

from concepts.labelled_pairs import Pairs

K, H, W = 11, 4, 5
SIZE = 9, 13  # Their product is no multiple of 8.
COUNTS = (7, 2, 4)  # Pictures of each concept.


def active(pictures=10):
  """1[A_k > T_k], bool `[n, h, w, K]`."""
  return np.random.RandomState(0).rand(pictures, H, W, K) < 0.15


def drawn_masks(count):
  """Rectangles: bool `[count, sh, sw]`."""
  random, masks = np.random.RandomState(1), np.zeros((count, *SIZE), bool)
  for mask in masks:
    top, left = random.randint(0, 6, 2)
    mask[top : top + 4, left : left + 5] = True
  return masks


def pairs_of(concept, picture, masks):
  packed = np.packbits(masks.reshape(len(masks), -1), axis=-1)
  return Pairs(np.asarray(concept), np.asarray(picture), packed, masks.shape[1:])


def problem():
  """(packed activations, pairs of concepts 0 to 2, mixed)."""
  random = np.random.RandomState(2)
  concept = random.permutation(np.repeat(np.arange(len(COUNTS)), COUNTS))
  picture = random.randint(0, 10, len(concept))
  packed = np.packbits(active(), axis=-1)
  return packed, pairs_of(concept, picture, drawn_masks(len(concept)))
