"""Parts of a dataset for training and test: by class, and never through a group."""

import numpy as np

from perturb.errors import UserError


def folds(
  labels: np.ndarray, groups: np.ndarray | tuple[int, ...] | None, count: int, seed: int
) -> np.ndarray:
  """The fold of each item, from 0: int `[N]`.

  Without groups an item is a group of its own. The groups of a class, by default its items, are
  spread over the folds at random; their numbers in two folds differ by at most 1, and so do the
  numbers of all groups. A group with items of several classes counts for the most frequent one.

  Args:
    labels: the class of each item, int `[N]`.
    groups: of each item, the group that is not to be split, int `[N]`; None for no groups.
    count: of folds, 2 or more.
    seed: of the order; the same arguments give the same folds.

  Raises:
    UserError: for fewer than two folds; no items; a class with fewer items, or in fewer groups,
      than there are folds.
  """
  labels = np.asarray(labels)
  groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
  if count < 2:
    raise UserError(f'folds: there must be at least 2, not {count}')
  if groups.shape != labels.shape:
    raise UserError(f'folds: {len(groups)} groups for {len(labels)} labels; give one an item')
  if not labels.size:
    raise UserError('folds: there are no items')
  pairs, frequency = np.unique(np.stack([groups, labels]), axis=1, return_counts=True)
  _check_classes(pairs[1], count)
  group_of = np.unique(groups, return_inverse=True)[1]
  by_frequency = np.lexsort([-frequency, pairs[0]])  # Stable: of equals, the first class.
  firsts = np.unique(pairs[0][by_frequency], return_index=True)[1]
  return _dealt(pairs[1][by_frequency][firsts], count, seed)[group_of]


def _check_classes(labels_of_groups: np.ndarray, count: int) -> None:
  """Refuses a class that is in fewer groups than there are folds."""
  for label, found in zip(*np.unique(labels_of_groups, return_counts=True), strict=True):
    if found < count:
      raise UserError(
        f'folds: class {label} has {found} items that can be apart, for {count} folds; '
        'take fewer folds'
      )


def _dealt(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
  """Folds by class alone; where a class does not come out even, it goes on where the last ended."""
  random = np.random.RandomState(seed)
  result, dealt = np.zeros(len(labels), np.int64), 0
  for label in np.unique(labels):
    members = random.permutation(np.flatnonzero(labels == label))
    result[members] = np.sort((dealt + np.arange(len(members))) % count)
    dealt += len(members)
  return result
