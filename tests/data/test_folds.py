"""Folds: of even sizes, by class, and no group in two of them."""

import numpy as np
import pytest

from perturb.data.folds import folds
from perturb.errors import UserError

LABELS = np.random.RandomState(0).randint(0, 7, 1003)


def spread(values):
  return max(values) - min(values)


@pytest.mark.parametrize('count', [2, 5, 8])
def test_folds_are_as_even_as_they_can_be_in_every_class(count):
  found = folds(LABELS, None, count, seed=1)
  assert spread(np.bincount(found, minlength=count)) <= 1
  for label in range(7):
    assert spread(np.bincount(found[label == LABELS], minlength=count)) <= 1


def test_they_are_random_and_the_same_again():
  found = folds(LABELS, None, 5, seed=1)
  np.testing.assert_array_equal(found, folds(LABELS, None, 5, seed=1))
  again = folds(LABELS, None, 5, seed=2)
  assert 0.1 < np.mean(found == again) < 0.3  # A fifth by chance.
  # Neighbours in the order of the items are no more often together than by chance.
  assert abs(np.mean(found[1:] == found[:-1]) - 0.2) < 0.05


def test_no_group_is_in_two_folds_and_groups_are_even():
  """40 viewpoints of 6 classes, 25 pictures of each."""
  viewpoints, labels = (a.ravel().repeat(25) for a in np.meshgrid(np.arange(40), np.arange(6)))
  found = folds(labels, viewpoints, 5, seed=0)
  assert [len(np.unique(found[viewpoints == v])) for v in range(40)] == [1] * 40
  assert np.bincount(found).tolist() == [1200] * 5
  for label in range(6):
    assert np.bincount(found[labels == label]).tolist() == [200] * 5
  other = folds(labels, viewpoints, 5, seed=1)
  assert 0.05 < np.mean(found == other) < 0.5


def test_groups_of_a_single_class_are_even_in_that_class():
  """Numbered by whatever numbers, of uneven sizes."""
  random = np.random.RandomState(3)
  class_of_group = random.randint(0, 4, 90)
  groups = random.randint(0, 90, 2000)
  found = folds(class_of_group[groups], 7 * groups - 100, 4, seed=0)
  fold_of_group = np.array([found[groups == g][0] for g in range(90)])
  np.testing.assert_array_equal(found, fold_of_group[groups])
  assert spread(np.bincount(fold_of_group)) <= 1
  for label in range(4):
    assert spread(np.bincount(fold_of_group[class_of_group == label])) <= 1


def test_a_group_counts_for_its_most_frequent_class():
  """By class, the groups 0-3 and 4-7 are dealt apart: each fold has one of each."""
  groups = np.arange(8).repeat(3)
  labels = np.where(groups < 4, 0, 1)
  labels[::3] = 1 - labels[::3]
  found = folds(labels, groups, 4, seed=5)[::3]
  assert sorted(found[:4]) == sorted(found[4:]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
  ('labels', 'groups', 'count', 'message'),
  [
    ([0, 0, 1, 1], None, 1, 'must be at least 2, not 1'),
    ([0, 0, 0, 1, 1], None, 3, 'class 1 has 2 items that can be apart, for 3 folds'),
    ([0, 0, 0, 0], [5, 5, 6, 6], 3, 'class 0 has 2 items that can be apart, for 3 folds'),
    ([0, 0, 1], [1, 2], 2, '2 groups for 3 labels'),
    ([], None, 2, 'there are no items'),
  ],
)
def test_what_cannot_be_split_is_refused(labels, groups, count, message):
  with pytest.raises(UserError, match=message):
    folds(np.array(labels, int), groups, count, seed=0)
