"""Bootstrap intervals."""

import jax
import numpy as np
import pytest
from scipy import stats

from perturb.errors import UserError
from perturb.evaluate.intervals import (
  class_mean_interval,
  mean_interval,
  paired_interval,
  paired_runs,
)

RANDOM = np.random.RandomState(0)
VALUES = RANDOM.exponential(size=60)


def test_it_is_that_of_scipy():
  theirs = stats.bootstrap(
    (VALUES,), np.mean, method='percentile', n_resamples=20000, rng=np.random.default_rng(0)
  )
  found = mean_interval(VALUES, resamples=20000)
  # Both ends vary by about 1 % of the standard error: density 0.058 at the 2.5 % quantile.
  margin = 4 * np.sqrt(2 * 0.025 * 0.975 / 20000) / 0.058 * theirs.standard_error
  assert abs(found.low - theirs.confidence_interval.low) < margin
  assert abs(found.high - theirs.confidence_interval.high) < margin
  assert found.mean == pytest.approx(VALUES.mean()) and found.used == 60


def test_it_covers_the_truth_as_often_as_it_says():
  hits = RANDOM.rand(300, 60) < 0.6
  found = [mean_interval(values, resamples=400, level=0.8) for values in hits]
  covered = np.mean([each.low <= 0.6 <= each.high for each in found])
  assert abs(covered - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 300)


def test_the_same_key_gives_the_same_numbers():
  first, again = (mean_interval(VALUES, key=key) for key in (None, jax.random.key(0)))
  assert first == again != mean_interval(VALUES, key=1)
  assert mean_interval(VALUES, key=1) == mean_interval(VALUES, key=jax.random.key(1))
  with jax.enable_x64(True):
    assert mean_interval(VALUES) == first


def test_nan_is_left_out_and_counted():
  with_nan = np.concatenate([VALUES[:20], [np.nan], VALUES[20:], [np.nan]])
  assert mean_interval(with_nan) == mean_interval(VALUES)._replace(left_out=2)
  images = np.arange(62)
  assert mean_interval(with_nan, images=images) == mean_interval(VALUES)._replace(left_out=2)
  nothing = mean_interval([np.nan])
  assert np.isnan(nothing[:3]).all() and (nothing.used, nothing.left_out) == (0, 1)


def test_equal_values_leave_no_doubt():
  found = mean_interval(np.full(7, 0.1))
  assert found[:3] == pytest.approx((0.1, 0.1, 0.1), abs=1e-12)


def test_paired_differences_forget_what_the_images_share():
  difficulty, noise = RANDOM.randn(60), 0.01 * RANDOM.randn(60)
  found = paired_interval(difficulty + 1 + noise, difficulty)
  assert found.mean == pytest.approx(1 + noise.mean())
  width = 2 * 1.96 * noise.std() / np.sqrt(60)
  assert found.high - found.low == pytest.approx(width, rel=0.1)
  assert paired_interval(VALUES, VALUES)[:3] == (0, 0, 0)
  holes = np.where(np.arange(60) < 5, np.nan, VALUES)
  assert paired_interval(VALUES, holes).left_out == 5


def test_images_are_drawn_with_all_their_values():
  """Each value four times over tells no more than once, unless they pass for images."""
  images = np.tile(np.arange(60), 4)
  same, four = mean_interval(VALUES), mean_interval(np.tile(VALUES, 4), images=images)
  assert four[:3] == pytest.approx(same[:3], abs=1e-6)
  names = np.array([f'picture {i:02}' for i in images])
  assert mean_interval(np.tile(VALUES, 4), images=names) == four
  as_images = mean_interval(np.tile(VALUES, 4))
  ratio = (as_images.high - as_images.low) / (same.high - same.low)
  assert ratio == pytest.approx(0.5, abs=0.06)


def test_within_classes_a_small_class_weighs_as_much():
  """The variance of the mean of class means is that of each mean, over the square of the count."""
  values = np.concatenate([RANDOM.randn(10), RANDOM.randn(90)])
  classes = np.repeat([2, 0], [10, 90])
  found = class_mean_interval(values, classes, 3)
  parts = values[:10], values[10:]
  assert found.mean == pytest.approx(np.mean([part.mean() for part in parts]))
  width = 2 * 1.96 * np.sqrt(sum(part.var() / len(part) for part in parts)) / 2
  assert found.high - found.low == pytest.approx(width, rel=0.1)
  torchray = class_mean_interval(values, classes, 3, mode='torchray')
  assert torchray[:3] == pytest.approx(tuple(np.array(found[:3]) * 2 / 3), abs=1e-6)


def test_a_class_that_is_not_drawn_is_left_out_or_counts_as_zero():
  """Two images of a class each: drawn are either both, or one of them twice."""
  values, classes, images = [1.0, 0.0], [0, 1], [5, 7]
  found = class_mean_interval(values, classes, 2, images=images)
  assert found[:3] == (0.5, 0, 1)
  torchray = class_mean_interval(values, classes, 2, images=images, mode='torchray')
  assert torchray[:3] == (0.5, 0, 0.5)
  within = class_mean_interval(values, classes, 2)
  assert within[:3] == (0.5, 0.5, 0.5)


def test_what_does_not_fit_is_named():
  with pytest.raises(UserError, match='level must be between 0 and 1, not 95'):
    mean_interval(VALUES, level=95)
  with pytest.raises(UserError, match='resamples must be at least 1, not 0'):
    mean_interval(VALUES, resamples=0)
  with pytest.raises(UserError, match='images has 2 items, and values has 60'):
    mean_interval(VALUES, images=[1, 2])
  with pytest.raises(UserError, match='others has 1 items, and values has 60'):
    paired_interval(VALUES, [1.0])


def test_paired_runs_are_students():
  values, others = RANDOM.rand(2, 5)
  theirs = stats.ttest_rel(values, others).confidence_interval(0.9)
  found = paired_runs(values, others, level=0.9)
  assert found[:3] == pytest.approx(((values - others).mean(), theirs.low, theirs.high))
  # 12.706 of the table for one degree of freedom; the differences are 1 and 3.
  few = paired_runs([1.0, 3.0, 5.0], [0.0, 0.0, np.nan])
  assert few == pytest.approx((2, 2 - 12.7062, 2 + 12.7062, 2, 1), rel=1e-5)
  one = paired_runs([1.0], [0.5])
  assert one.mean == 0.5 and np.isnan([one.low, one.high]).all()
  assert paired_runs([np.nan], [0.5]).used == 0
  with pytest.raises(UserError, match='others has 1 items, and values has 2'):
    paired_runs([1.0, 2.0], [1.0])
