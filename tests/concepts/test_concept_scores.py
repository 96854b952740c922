"""Scores of concepts: tables and distributions counted by hand, correlations as SciPy has them."""

import numpy as np
import pytest
from scipy import stats

from concepts.concept_scores import (
  by_category,
  by_decile,
  deciles,
  minimal_filters,
  weight_correlations,
  wins,
)
from perturb.errors import UserError
from perturb.evaluate.intervals import mean_interval

NAN = np.nan


def test_wins_count_what_is_equal_and_leave_out_what_is_unknown():
  found = wins([0.2, 0.3, 0.1, NAN, 0.5], [0.1, 0.3, 0.2, 0.1, NAN])
  assert found.mean == pytest.approx(2 / 3)
  assert (found.used, found.left_out) == (3, 2)
  assert np.isnan(wins([NAN], [1.0]).mean)
  assert wins([0.2], [0.1])[:3] == (1, 1, 1)


def test_the_interval_of_the_wins_is_that_of_a_bootstrap():
  won = np.arange(40) < 31
  found, drawn = wins(won, np.full(40, 0.5)), mean_interval(won.astype(float), resamples=20000)
  assert found.mean == drawn.mean
  assert abs(found.low - drawn.low) < 0.026 and abs(found.high - drawn.high) < 0.026  # One of 40.


def test_a_concept_of_two_categories_counts_in_both():
  found = by_category(
    [0.2, 0.4, NAN, 0.9], [('object', 'part'), ('object',), ('part',), ('color',)]
  )
  assert found['object'].mean == pytest.approx(0.3)
  assert found['object'].error == pytest.approx(0.1)  # sqrt(2) * 0.1 / sqrt(2).
  assert [found[name].concepts for name in ('object', 'part', 'color')] == [2, 1, 1]
  assert found['part'].mean == pytest.approx(0.2) and np.isnan(found['part'].error)


def test_the_fewest_filters_near_the_best():
  scores = np.array([[0.1, 0.40, 0, NAN], [0.39, 0.41, 0, NAN], [0.4, 0.2, 0, NAN]])
  assert minimal_filters([1, 4, 16], scores, tolerance=0).tolist() == [16, 4, 1, 0]
  assert minimal_filters([1, 4, 16], scores, tolerance=0.05).tolist() == [4, 1, 1, 0]


@pytest.mark.parametrize('ranks', [False, True])
def test_correlations_are_those_of_scipy(ranks):
  random = np.random.default_rng(0)
  weights = random.normal(size=(6, 20))
  scores = np.maximum(weights, 0) * np.linspace(0, 1, 6)[:, None] + random.uniform(size=(6, 20))
  found = weight_correlations(weights, scores, ranks=ranks)
  peer = stats.spearmanr if ranks else stats.pearsonr
  for row in range(6):
    r, p = peer(np.maximum(weights[row], 0), scores[row])
    assert found.r[row] == pytest.approx(r)
    assert found.p[row] == pytest.approx(p)
  assert found.significant() == np.mean(found.p < 0.01)
  assert 0 < found.significant() < 1


def test_a_constant_concept_has_no_correlation():
  weights = np.array([[-1.0, -2, -3, -1], [1, 2, 3, 4], [NAN, 1, 2, 3]])
  found = weight_correlations(weights, np.tile([1.0, 2, 3, 4], (3, 1)))
  assert np.isnan(found.r).tolist() == [True, False, True]
  assert found.r[1] == pytest.approx(1) and found.p[1] < 1e-6
  assert found.significant() == 1


def test_deciles_are_of_what_is_above_zero():
  scores = np.array([0, NAN, *np.random.default_rng(0).permutation(np.arange(1, 31)) / 30, 0])
  found = deciles(scores)
  np.testing.assert_allclose(found.scores, np.arange(3, 31, 3) / 30)
  np.testing.assert_array_equal(scores[found.pictures], found.scores)
  assert found.zero == pytest.approx(2 / 32)
  assert found.mean == pytest.approx(scores[scores > 0].mean())


def test_deciles_of_few_and_of_none():
  assert deciles([0.3, 0.1], (0.5, 0.51, 1)).pictures.tolist() == [1, 0, 0]
  assert deciles([0, 0, NAN]).zero == 1 and not len(deciles([0, 0, NAN]).pictures)
  assert np.isnan(deciles([NAN]).zero)


def test_top_images_do_not_speak_for_the_others():
  strength = np.random.default_rng(0).permutation(100)
  found = by_decile(strength, np.where(strength >= 90, 1.0, 0.2))
  np.testing.assert_allclose(found, [0.2] * 9 + [1.0])
  values = np.where(strength < 10, NAN, strength)
  found = by_decile(strength, values)
  assert np.isnan(found[0])
  np.testing.assert_allclose(found[1:], np.arange(1, 10) * 10 + 4.5)


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: wins([1, 2], [1]), r'combined \[2\], single \[1\]'),
    (lambda: by_category([1], []), '1 scores of concepts, but categories of 0'),
    (lambda: minimal_filters([4, 1], np.ones((2, 3))), r'must rise from 1 or more, not \[4, 1\]'),
    (lambda: minimal_filters([1], np.ones((1, 1)), tolerance=1), 'tolerance must be in'),
    (lambda: minimal_filters([1], np.ones(3)), r'must be \[T, C\]'),
    (lambda: weight_correlations(np.ones((2, 2)), np.ones((2, 2))), '3 filters or more'),
    (lambda: deciles(np.ones((2, 2))), r'scores are \[2, 2\]'),
    (lambda: deciles([1.0], (0,)), r'shares must be in \(0, 1\]'),
    (lambda: by_decile([1.0], [1.0], parts=2), r'2 parts of \[1\] pictures'),
  ],
)
def test_bad_input_is_named(call, message):
  with pytest.raises(UserError, match=message):
    call()
