"""The mu-lasso: its optimality conditions, other solvers, cases with a known solution."""

import numpy as np
import pytest
from sklearn.linear_model import Lasso

from concepts.cross_validation import choose_mu, held_out_error
from concepts.gram import add, empty_gram, total, without
from concepts.lasso import mu_lasso, mu_lasso_path, project_l1, select
from perturb.errors import PerturbWarning, UserError

M, C = 90, 3  # Features and classes of the problems, so that few programs are compiled.


def problem(images, seed=0):
  """Responses of two layers, each normalised, that share few causes with the labels."""
  random = np.random.RandomState(seed)
  labels = np.eye(C)[np.arange(images) % C]
  causes = np.concatenate([labels, random.rand(images, 5)], 1)
  layers = [causes @ random.rand(8, M // 2) + 0.1 * random.rand(images, M // 2) for _ in range(2)]
  x = np.concatenate([layer / layer.sum(1, keepdims=True) for layer in layers], 1)
  return x.astype(np.float32), labels.astype(np.float32)


def gram_of(x, labels):
  return add(empty_gram(x.shape[1], labels.shape[1]), x, labels)


@pytest.mark.parametrize(('images', 'mu'), [(150, 3), (150, 200), (60, 40)])
def test_the_solution_satisfies_the_optimality_conditions(images, mu):
  """|c| is lam with the sign of the weight for those chosen, and at most lam for the others."""
  x, labels = problem(images)
  found = mu_lasso(gram_of(x, labels), mu, tolerance=1e-9)
  w, x = found.weights, x.astype(float)
  residual = labels - x @ w
  c = x.T @ residual
  np.testing.assert_allclose(np.abs(w).sum(0), mu, rtol=1e-9)
  np.testing.assert_allclose(found.objective, (residual**2).sum(0), rtol=1e-8)
  for j in range(C):
    chosen = w[:, j] != 0
    assert 0 < chosen.sum() < min(M, images)
    np.testing.assert_allclose(c[chosen, j], found.lam[j] * np.sign(w[chosen, j]), rtol=1e-4)
    assert np.abs(c[:, j]).max() <= found.lam[j] * (1 + 1e-9)
  gap = 2 * (mu * np.abs(c).max(0) - (w * c).sum(0))
  np.testing.assert_allclose(found.gap, gap, atol=1e-9)
  assert (found.gap <= 1e-9 * labels.sum(0)).all()


def test_the_gap_bounds_the_distance_to_the_optimum():
  """Of the solutions of smaller bounds, which are feasible, and no optima."""
  x, labels = problem(150)
  gram = gram_of(x, labels)
  *worse, best = mu_lasso_path(gram, [2, 10, 40, 60], tolerance=1e-9)
  for found in worse:
    with pytest.warns(PerturbWarning, match='mu = 60: after 1 steps the gap of class'):
      stopped = mu_lasso(gram, 60, steps=1, start=found.weights)
    assert (stopped.weights == found.weights).all()
    assert (stopped.objective - stopped.gap <= best.objective + 1e-9).all()
    assert (stopped.objective > best.objective + 1e-6).all()


def test_scikit_learn_finds_the_same_weights_for_the_multiplier():
  x, labels = problem(150)
  found = mu_lasso(gram_of(x, labels), 20)
  for j in range(C):
    lasso = Lasso(found.lam[j] / len(x), fit_intercept=False, tol=1e-10, max_iter=10**6)
    np.testing.assert_allclose(
      found.weights[:, j], lasso.fit(x.astype(float), labels[:, j]).coef_, atol=1e-3
    )


def test_a_wide_bound_gives_least_squares():
  random = np.random.RandomState(1)
  x = random.randn(200, M)
  labels = np.eye(C)[random.randint(C, size=200)]
  expected = np.linalg.lstsq(x, labels)[0]
  bound = np.abs(expected).sum(0).max()
  for mu in (1.001 * bound, 50 * bound):
    found = mu_lasso(gram_of(x, labels), mu, tolerance=1e-10)
    np.testing.assert_allclose(found.weights, expected, atol=1e-6)
    assert (found.lam < 1e-6).all()


def test_one_feature_worked_out_by_hand():
  """x = (1, 2) and labels (1, 0), (0, 1): least squares is 1/5 and 2/5, the bound cuts to 0.3."""
  gram = gram_of(np.array([[1.0], [2.0]]), np.eye(2))
  found = mu_lasso(gram, 0.3)
  np.testing.assert_allclose(found.weights, [[0.2, 0.3]], atol=1e-9)
  np.testing.assert_allclose(found.lam, [0, 0.5], atol=1e-7)
  np.testing.assert_allclose(found.objective, [0.8, 0.09 + 0.16], rtol=1e-7)


def test_planted_features_are_the_relevant_ones():
  random = np.random.RandomState(2)
  x = random.rand(400, M)
  planted = np.zeros((M, C))
  planted[[3, 30, 77], [0, 1, 2]], planted[50] = 1.0, [-1.0, -0.5, 0.5]
  gram = gram_of(x, x @ planted)
  found = mu_lasso(gram, 1.4)
  assert select(found.weights).tolist() == [3, 30, 50, 77]


def test_the_order_of_the_features_does_not_matter():
  x, labels = problem(150)
  order = np.random.RandomState(3).permutation(M)
  found = mu_lasso(gram_of(x, labels), 30, tolerance=1e-9).weights
  permuted = mu_lasso(gram_of(x[:, order], labels), 30, tolerance=1e-9).weights
  np.testing.assert_allclose(permuted, found[order], atol=1e-5)


def test_features_that_are_equal_or_sums_or_never_fire_do_no_harm():
  """The sum of two has the same fit for half the norm, so that it replaces both."""
  x, labels = problem(150)
  both = mu_lasso(gram_of(x[:, :30], labels), 30).objective
  x[:, 30:60], x[:, 60:89], x[:, 89] = x[:, :30], x[:, :29] + x[:, 1:30], 0
  found = mu_lasso(gram_of(x, labels), 30)
  assert (found.gap <= 1e-6 * labels.sum(0)).all()
  assert (found.objective <= both).all()
  assert not found.weights[89].any()


def test_a_start_changes_the_way_and_not_the_end():
  x, labels = problem(150)
  gram = gram_of(x, labels)
  path = mu_lasso_path(gram, [5, 20, 10])
  for mu, found in zip((5, 20, 10), path, strict=True):
    alone = mu_lasso(gram, mu, start=path[1].weights)
    np.testing.assert_allclose(alone.objective, found.objective, rtol=1e-6)
    assert (np.abs(alone.weights).sum(0) <= mu * (1 + 1e-9)).all()
  assert mu_lasso(gram, 20, start=path[1].weights).steps == 1


def test_blocks_add_up_and_folds_can_be_taken_away():
  x, labels = problem(150)
  whole = gram_of(x, labels)
  blocks = empty_gram(M, C)
  for start in (0, 60, 120):
    blocks = add(blocks, x[start : start + 60], labels[start : start + 60])
  folds = [gram_of(x[fold::3], labels[fold::3]) for fold in range(3)]
  rest = without(total(folds), folds[0])
  assert (whole.images, blocks.images, rest.images) == (150, 150, 100)
  for number, array in enumerate(whole[:3]):
    np.testing.assert_allclose(blocks[number], array, rtol=1e-12)
    np.testing.assert_allclose(rest[number], folds[1][number] + folds[2][number], atol=1e-12)
  np.testing.assert_allclose(whole.features, x.astype(float).T @ x, rtol=1e-12)
  np.testing.assert_allclose(whole.targets, x.astype(float).T @ labels, rtol=1e-12)


def test_features_of_the_held_out_fold_alone_have_no_weight():
  """From any start, feasible, in numbers; as from responses without the fold from the beginning."""
  random = np.random.RandomState(4)
  images, features = 60, 200
  x = np.where(random.rand(images, features) < 0.03, random.rand(images, features), 0)
  labels = np.eye(C)[np.arange(images) % C]
  every = gram_of(x, labels)
  whole = mu_lasso(every, 10).weights
  alone = 0
  for fold in range(5):
    out = np.arange(images) % 5 == fold
    gram = without(every, gram_of(x[out], labels[out]))
    never = ~x[~out].any(0)
    alone += int((never & x[out].any(0)).sum())
    for start in (None, whole):
      found = mu_lasso(gram, 10, start=start).weights
      assert np.isfinite(found).all() and not found[never].any()
      assert (np.abs(found).sum(0) <= 10 * (1 + 1e-12)).all()
    direct = mu_lasso(gram_of(x[~out], labels[~out]), 10)
    error = ((labels[~out] - x[~out] @ found) ** 2).sum(0)
    np.testing.assert_allclose(error, direct.objective, atol=1e-4)
  assert alone > 5


def test_the_error_of_a_held_out_fold_is_that_of_its_images():
  x, labels = problem(150)
  parts = [(x[fold::5], labels[fold::5]) for fold in range(5)]
  folds = [gram_of(*part) for part in parts]
  chosen = choose_mu(folds, [40, 1, 10])
  assert chosen.mus.tolist() == [1, 10, 40] and chosen.errors.shape == (5, 3)
  assert chosen.mu == chosen.mus[chosen.errors.mean(0).argmin()]
  w = mu_lasso(without(total(folds), folds[2]), 10, tolerance=1e-4).weights
  expected = np.square(parts[2][0] @ w - parts[2][1]).mean()
  np.testing.assert_allclose(held_out_error(folds[2], w), expected, rtol=1e-6)
  np.testing.assert_allclose(chosen.errors[2, 1], expected, rtol=1e-3)


def by_sorting(v, radius):
  """Held, Wolfe and Crowder 1974, in NumPy, of one column."""
  if np.abs(v).sum() <= radius:
    return v
  sizes = np.sort(np.abs(v))[::-1]
  theta = (np.cumsum(sizes) - radius) / np.arange(1, len(v) + 1)
  theta = theta[np.flatnonzero(sizes > theta)[-1]]
  return np.sign(v) * np.maximum(np.abs(v) - theta, 0)


def test_the_projection_is_that_by_sorting():
  random = np.random.RandomState(4)
  w = np.concatenate([random.randn(M, 2), random.rand(M, 1) / M, np.zeros((M, 1))], 1)
  w[:9, 1] = w[0, 1] = 3  # Ties.
  projected = project_l1(w.astype(np.float32), 2.5)
  for column in range(4):
    np.testing.assert_allclose(projected[:, column], by_sorting(w[:, column], 2.5), atol=1e-6)
  np.testing.assert_allclose(np.abs(projected[:, :2]).sum(0), 2.5, rtol=1e-6)
  np.testing.assert_allclose(project_l1(projected, 2.5), projected, atol=1e-6)


X, LABELS = problem(20)


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    (lambda: empty_gram(M, 1), '1 classes'),
    (lambda: empty_gram(0, C), '0 features'),
    (lambda: gram_of(X, LABELS[:19]), '20 rows of responses, but 19 of labels'),
    (
      lambda: add(empty_gram(M, C), X[:, 1:], LABELS),
      r'responses are \[20, 89\], not \[images, 90',
    ),
    (lambda: add(empty_gram(M, C), X, LABELS[:, 0]), r'labels are \[20\], not \[images, 3 classes'),
    (
      lambda: gram_of(X * np.where(np.arange(M) == 7, np.nan, 1), LABELS),
      'responses: row 0, column 7 is nan',
    ),
    (lambda: gram_of(X, LABELS / LABELS[:, :1]), 'labels: row 1, column 0 is'),
    (lambda: mu_lasso(gram_of(X, LABELS * [1, 0, 1]), 1), 'class 1 has no images'),
    (lambda: mu_lasso(gram_of(X, LABELS), 0), 'mu is 0'),
    (lambda: mu_lasso(gram_of(X, LABELS), float('nan')), 'mu is nan'),
    (lambda: mu_lasso(gram_of(X, LABELS), 1, tolerance=0), 'tolerance is 0'),
    (lambda: mu_lasso(gram_of(X, LABELS), 1, start=np.ones((C, M))), r'start is \(3, 90\)'),
    (
      lambda: mu_lasso(gram_of(X, LABELS), 1, start=np.full((M, C), np.inf)),
      'start must be finite',
    ),
    (lambda: without(gram_of(X, LABELS), gram_of(X[:, :5], LABELS)), 'do not belong together'),
    (lambda: without(gram_of(X, LABELS), gram_of(X, LABELS)), 'leaves none of 20'),
    (lambda: choose_mu([gram_of(X, LABELS)], [1]), 'two or more'),
    (lambda: choose_mu([gram_of(X, LABELS)] * 2, []), 'one bound or more'),
    (
      lambda: choose_mu([gram_of(X[i::3], LABELS[i::3]) for i in range(3)], [1]),
      'fold 0 has all images of class 0',
    ),
  ],
)
@pytest.mark.filterwarnings('ignore:divide by zero', 'ignore:invalid value')
def test_what_is_wrong_is_said_in_one_line(wrong, message):
  with pytest.raises(UserError, match=message) as error:
    wrong()
  assert '\n' not in str(error.value)
