"""Concept vectors as embeddings: geometry that is known by hand."""

import numpy as np
import pytest

from concepts.embeddings import Embedding, distances, similarities, unit_vectors
from perturb.errors import MissingError, UserError


@pytest.fixture
def vectors():
  return np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def test_unit_vectors_have_length_one_whatever_their_size(vectors):
  units = unit_vectors(vectors * np.array([1e-200, 1, 1e200, 3, 1, 1, 1])[:, None])
  np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, rtol=1e-12)
  np.testing.assert_allclose(units, unit_vectors(vectors), atol=1e-12)


def test_what_has_no_direction_has_no_vector(vectors):
  vectors[2], vectors[4, 1], vectors[5, 0] = 0, np.nan, np.inf
  assert np.isnan(unit_vectors(vectors)).all(1).tolist() == [0, 0, 1, 0, 1, 1, 0]


def test_similarities_are_cosines(vectors):
  found = similarities(vectors)
  np.testing.assert_allclose(np.diagonal(found), 1)
  np.testing.assert_array_equal(found, found.T)
  a, b = vectors[1].astype(float), vectors[3].astype(float)
  assert found[1, 3] == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_the_nearest_come_first_and_without_the_concept_itself():
  angles = np.deg2rad([0, 10, 60, 180, 30])
  around = Embedding('abcde', 3 * np.stack([np.cos(angles), np.sin(angles)], 1))
  names, cosines = zip(*around.nearest('a', 4), strict=True)
  assert ''.join(names) == 'becd'
  np.testing.assert_allclose(cosines, np.cos(np.deg2rad([10, 30, 60, 180])))


def test_arithmetic_of_planted_directions():
  """'grass' is green ground, 'sky' blue ground: grass + blue - green is sky."""
  ground, green, blue, fur = np.eye(4)
  names = ('grass', 'sky', 'green', 'blue', 'cat')
  planted = Embedding(names, np.array([ground + green, ground + blue, green, blue, fur]))
  answers = planted.arithmetic(['grass', 'blue'], ['green'])
  assert [name for name, _ in answers] == ['sky', 'cat']
  total = (ground + green) / np.sqrt(2) + blue - green
  expected = total @ (ground + blue) / np.sqrt(2) / np.linalg.norm(total)
  assert answers[0][1] == pytest.approx(expected)


def test_a_concept_without_a_vector_is_no_answer(vectors):
  vectors[3] = np.nan
  found = Embedding('abcdefg', vectors).nearest('a', 10)
  assert {name for name, _ in found} == set('bcefg')


@pytest.mark.parametrize(
  ('ask', 'message'),
  [
    (lambda e: e.nearest('zebr'), r"no concept 'zebr'; did you mean 'zebra'\?"),
    (lambda e: e.nearest('dark'), "concept 'dark' has no vector"),
    (lambda e: e.arithmetic(['zebra'], ['zebra']), 'zebra - zebra is zero'),
    (lambda e: e.arithmetic([]), 'the sum of no concepts is zero'),
  ],
)
def test_a_question_without_an_answer_is_named(ask, message):
  with pytest.raises(UserError, match=message):
    ask(Embedding(('zebra', 'dark'), np.array([[1.0, 2], [np.nan, 0]])))


@pytest.mark.parametrize(
  ('names', 'shape', 'message'),
  [
    ('ab', (3, 2), '2 names for 3 vectors'),
    ('aba', (3, 2), "'a' is there twice"),
    ('ab', (2,), r'vectors are \[2\], not'),
  ],
)
def test_embeddings_that_do_not_fit_are_named(names, shape, message):
  with pytest.raises(UserError, match=message):
    Embedding(names, np.ones(shape))


def test_distances_by_hand():
  same, apart = np.eye(2), np.array([[1, 0.5], [0.5, 1]])
  found = distances([same, apart, same])
  np.testing.assert_allclose(found.total, [[0, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0]])
  np.testing.assert_allclose(found.by_concept[0, 1], [0.25, 0.25])


def test_distances_do_not_change_with_rotation_and_add_up(vectors):
  rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
  other = np.random.default_rng(2).normal(size=(7, 9))
  vectors[6] = np.nan
  other[1] = np.nan
  found = distances([similarities(one) for one in (vectors, vectors @ rotation, other)])
  assert found.shared.tolist() == [1, 0, 1, 1, 1, 1, 0]
  np.testing.assert_array_equal(np.diagonal(found.total), 0)
  np.testing.assert_array_equal(found.total, found.total.T)
  assert found.total[0, 1] < 1e-12 < 0.1 < found.total[0, 2]
  assert found.total[0, 2] == pytest.approx(np.nansum(found.by_concept[0, 2]))
  assert np.isnan(found.by_concept[..., [1, 6]]).all()


def test_geometries_that_do_not_fit_are_named():
  with pytest.raises(UserError, match=r'\[2, 2\], \[3, 3\]'):
    distances([np.eye(2), np.eye(3)])
  with pytest.raises(UserError, match='no concept is known to all'):
    distances([np.diag([1, np.nan]), np.diag([np.nan, 1])])
  with pytest.raises(MissingError):
    Embedding('a', np.ones((1, 1))).unit('b')
