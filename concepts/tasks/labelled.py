"""What the pictures of a probe dataset show, in memory: a packed mask for each concept of each."""

import sys
from typing import NamedTuple

import numpy as np

from concepts.labelled_pairs import Pairs
from concepts.probe import Probe
from perturb.data.loader import load_ahead
from perturb.errors import ImageError, UserError


class Labelled(NamedTuple):
  """The labels of N pictures.

  Attributes:
    pairs: of pictures and the concepts that they contain, by picture.
    train: which pictures are for training, bool `[N]`.
    readable: which pictures have labels that can be read, bool `[N]`.
    categories: in which categories each is labelled, bool `[N, G]`.
    problems: name of each picture whose labels cannot be read -> why.
  """

  pairs: Pairs
  train: np.ndarray
  readable: np.ndarray
  categories: np.ndarray
  problems: dict[str, str]

  def of_pictures(self, at: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """(concepts of some pictures `[n, P]`, -1 for none; their masks, bool `[n, P, sh, sw]`)."""
    size = self.pairs.size
    concepts = np.full((len(at), room), -1, np.int64)
    masks = np.zeros((len(at), room, *size), bool)
    starts = np.searchsorted(self.pairs.picture, at)
    ends = np.searchsorted(self.pairs.picture, at, side='right')
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
      concepts[row, : end - start] = self.pairs.concept[start:end]
      bits = np.unpackbits(self.pairs.masks[start:end], axis=-1, count=size[0] * size[1])
      masks[row, : end - start] = bits.reshape(-1, *size)
    return concepts, masks

  @property
  def most(self) -> int:
    """The largest number of concepts in a picture."""
    return int(np.bincount(self.pairs.picture).max(initial=1))


def read_labels(probe: Probe, indices: np.ndarray, names: list[str], workers: int) -> Labelled:
  """Reads the labels of some pictures by threads; those that cannot be read are named on stderr.

  Args:
    probe: the dataset.
    indices: of the pictures, `[N]`.
    names: the categories, G.
    workers: threads.

  Raises:
    UserError: if not one can be read, or a split is empty.
  """

  def read(index: int) -> tuple[np.ndarray, np.ndarray, set[str]] | str:
    try:
      labels, concepts, masks = probe.labelled(index)
      packed = np.packbits(masks.reshape(len(masks), probe.size[0] * probe.size[1]), -1)
      return concepts, packed, labels.categories()
    except ImageError as error:
      return str(error)

  concept, picture, masks, problems = [], [], [], dict[str, str]()
  readable = np.zeros(len(indices), bool)
  categories = np.zeros((len(indices), len(names)), bool)
  found = load_ahead(read, indices.tolist(), ahead=64, workers=workers)
  for i, one in enumerate(found):
    if isinstance(one, str):
      problems[probe.pictures.sources[int(indices[i])].name] = one
      print(f'left out: {one}', file=sys.stderr)
      continue
    readable[i] = True
    categories[i] = [name in one[2] for name in names]
    concept.append(one[0])
    picture.append(np.full(len(one[0]), i))
    masks.append(one[1])
  train = probe.train[indices]
  for split, chosen in (('train', train), ('val', ~train)):
    if not (chosen & readable).any():
      raise UserError(f'config.dataset: no picture of the split {split!r} can be used')
  if not sum(map(len, concept)):
    raise UserError('config.dataset: nothing is labelled in any picture that can be used')
  pairs = Pairs(np.concatenate(concept), np.concatenate(picture), np.concatenate(masks), probe.size)
  return Labelled(pairs, train, readable, categories, problems)
