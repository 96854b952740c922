"""A study's methods against what a planted network loses without each part."""

import csv

import ml_collections
import numpy as np
import pytest

from concepts.features import features_of
from concepts.tasks.explain import PART, Explained
from concepts.tasks.overlap import rows_of
from concepts.tasks.parts import parts, without_parts
from concepts.tasks.respond import Known
from concepts.tasks.setting import Setting
from perturb.run.steps import heatmap, prediction
from tests.concepts.planted import planted_net, planted_parts

DATASET = planted_parts(
  ('red', 'green'), ('red', 'green', 'blue'), ('red',), ('green', 'blue', 'outside')
)


def test_the_gradient_of_a_network_that_reads_one_part_ranks_the_parts(tmp_path):
  """Its rectifiers are open where the colour of the class is, and nowhere else."""
  net, names = planted_net(16), [source.name for source in DATASET.sources]
  config = ml_collections.ConfigDict({'fit': 'crop', 'batch': 4, 'workers': 1})
  setting = Setting(net, features_of(net), DATASET, (), config, tmp_path)
  at, classes = np.arange(4), np.array([0, 0, 0, 1])
  known = Known(names, at, classes, classes, np.array([0, 1, 0, 1]), stored=None)
  methods = {'gradient': 'Gradient', 'guided_backprop': 'Guided backprop'}
  steps = [prediction(), *(heatmap(method, {}) for method in methods)]
  outcome = setting.compute(PART, steps, at)
  explained = Explained(names, at, None, None, methods, outcome)
  assert without_parts(setting, explained).failed == 0
  rows = parts(setting, known, explained)
  # The third image shows one part, which ranks nothing.
  np.testing.assert_allclose([row.folds for row in rows], 1, rtol=1e-5)
  with open(tmp_path / 'parts.csv', newline='') as file:
    written = list(csv.reader(file))
  assert written[0] == ['method', 'evidence', 'mean', 'deviation', 'fold_0', 'fold_1']
  numbers = '1.0000', '0.0000', '1.0000', '1.0000'
  assert sorted(written[1:]) == [
    [method, evidence, *numbers] for method in methods for evidence in ('mean', 'sum')
  ]


def test_means_by_fold_over_classes_without_the_images_that_have_no_number():
  """Two images of a class in a fold count as much as one of another."""
  values = np.array([[0.5, 1, np.nan], [np.nan, 0, np.nan], [np.nan, 0, np.nan], [-0.5, 1, 1]])
  methods, labels = {'a': 'A', 'b': 'B', 'c': 'C'}, np.array([1, 0, 0, 0])
  rows = rows_of(values, np.array([0, 0, 0, 1]), labels, methods, {'a': (0.1, 0.2)})
  assert [row.name for row in rows] == ['b', 'a', 'c']  # What has no mean is last.
  assert [row.folds.tolist() for row in rows[:2]] == [[0.5, 1], [0.5, -0.5]]
  assert (rows[0].mean, rows[0].deviation) == pytest.approx((0.75, 0.25))
  assert rows[1].paper == (0.1, 0.2) and np.isnan(rows[2].mean)
