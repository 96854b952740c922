"""The features that each class rests on, chosen from the stored responses."""

from collections.abc import Iterator
import math
import pathlib
import sys
from typing import NamedTuple

import jax
import numpy as np

from concepts.cross_validation import choose_mu, held_out_error
from concepts.features import Features
from concepts.gram import Gram, add, empty_gram, without
from concepts.lasso import Solution, mu_lasso
from concepts.tasks.respond import Known
from concepts.tasks.setting import Setting
from perturb.console import format_table
from perturb.errors import UserError
from perturb.run import devices
from perturb.run.inputs import check_digests, digest_of
from perturb.store import files

ALL, CONV = 'all', 'conv'  # Features that can be chosen: every one, or those with an extent.
NONE = -1  # No fold is held out.
WEIGHTS, LASSO = 'weights.csv', 'lasso.csv'
WEIGHT_HEADER = ('features', 'held_out', 'class', 'target', 'feature', 'layer', 'filter', 'weight')
MU_HEADER = ('mu', 'error', 'deviation')
MU = 2  # Its column in `LASSO_HEADER`.
LASSO_HEADER = (
  'features', 'held_out', 'mu', 'class', 'target', 'images', 'selected', 'objective', 'gap',
  'lambda', 'held_out_error',
)  # fmt: skip


class Weights(NamedTuple):
  """Which features classes rest on.

  Attributes:
    features: m, how many there are.
    classes: of the network.
    entries: (which features, fold held out) -> (classes, features, weights), `[k]` each.
    mu: the bound.
  """

  features: int
  classes: int
  entries: dict[tuple[str, int], tuple[np.ndarray, np.ndarray, np.ndarray]]
  mu: float

  def _of(self, kind: str, held_out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    none = np.zeros(0, np.int64)
    return self.entries.get((kind, held_out), (none, none, np.zeros(0, np.float32)))

  def dense(self, held_out: int = NONE, kind: str = ALL) -> np.ndarray:
    """`[m, C]`, float32."""
    classes, features, values = self._of(kind, held_out)
    weights = np.zeros((self.features, self.classes), np.float32)
    weights[features, classes] = values
    return weights

  def of_class(self, index: int, held_out: int = NONE) -> list[tuple[int, float]]:
    """(feature, weight) of a class, largest absolute weight first."""
    classes, features, values = self._of(ALL, held_out)
    pairs = zip(features[classes == index], values[classes == index], strict=True)
    return sorted(((int(f), float(w)) for f, w in pairs), key=lambda pair: -abs(pair[1]))


def select(setting: Setting, known: Known) -> Weights:
  """Solves the regressions that `weights.csv` does not hold yet; process 0 does."""
  path = setting.path / WEIGHTS
  if jax.process_index() == 0:
    names = np.frombuffer('\n'.join(known.names).encode(), np.uint8)
    # Folds are dealt anew where images come or go; weights of others would not be held out.
    images = digest_of((names, known.labels, known.predicted, known.folds))
    check_digests(setting.path, {'set of images': images})
    if not path.exists():
      _solve_all(setting, known)
  devices.barrier('features are chosen')
  return _read(path, setting)


def _read(path: pathlib.Path, setting: Setting) -> Weights:
  found = dict[tuple[str, int], list[tuple[int, int, float]]]()
  try:
    for kind, held_out, _, target, feature, _, _, weight in files.read_table(path):
      row = (int(target), int(feature), float(weight))
      found.setdefault((kind, int(held_out)), []).append(row)
  except (OSError, ValueError) as error:
    raise UserError(f'{path}: cannot be read ({error}); remove it to solve again') from error
  entries = {}
  for key, rows in found.items():
    classes, features, weights = zip(*rows, strict=True)
    entries[key] = np.array(classes), np.array(features), np.array(weights, np.float32)
  mu = float(files.read_table(path.with_name(LASSO))[0][MU])
  return Weights(setting.features.count, len(setting.net.class_names), entries, mu)


def held_out_folds(setting: Setting) -> list[int]:
  """The folds whose images are explained by features that the others have chosen."""
  return list(range(setting.config.folds)) if setting.config.folds > 1 else [NONE]


def _solve_all(setting: Setting, known: Known) -> None:
  features, config = setting.features, setting.config
  classes = np.unique(known.labels)
  mu = _mu(setting, known, classes)
  every = _gram(known, np.ones(len(known.labels), bool), classes, features)
  solved = list[tuple[str, int, Solution, Gram, Gram | None]]()
  for held_out in dict.fromkeys([NONE, *held_out_folds(setting)]):
    out = None if held_out == NONE else _gram(known, known.folds == held_out, classes, features)
    gram = every if out is None else without(every, out)
    solution = mu_lasso(gram, mu, tolerance=config.tolerance)
    solved.append((ALL, held_out, solution, gram, out))
    if held_out == held_out_folds(setting)[0]:
      with_extent = _with_extent(gram, features)
      of_conv = mu_lasso(with_extent, mu, tolerance=config.tolerance)
      solved.append((CONV, held_out, of_conv, gram, out))
  names = [setting.net.class_name(int(index)) for index in classes]
  rows = [
    (*about, repr(float(weight)))
    for kind, held_out, solution, _, _ in solved
    for *about, weight in _chosen(kind, held_out, solution, classes, names, features)
  ]
  files.write_table(
    setting.path / LASSO, LASSO_HEADER, _table(solved, classes, names, config.tolerance, mu)
  )
  files.write_table(setting.path / WEIGHTS, WEIGHT_HEADER, rows)


def _mu(setting: Setting, known: Known, classes: np.ndarray) -> float:
  """`config.mu`, or that of `config.mus` with the smallest error; writes `mu.csv` for these."""
  config, features = setting.config, setting.features
  if not config.mus:
    return float(config.mu)
  grams = [_gram(known, known.folds == fold, classes, features) for fold in range(config.folds)]
  choice = choose_mu(grams, list(config.mus), tolerance=config.tolerance)
  means, deviations = choice.errors.mean(0), choice.errors.std(0)
  rows = [
    (f'{mu:g}', f'{mean:.6g}', f'{deviation:.6g}')
    for mu, mean, deviation in zip(choice.mus, means, deviations, strict=True)
  ]
  files.write_table(setting.path / 'mu.csv', MU_HEADER, rows)
  print(f'mu is {choice.mu:g}, of the smallest error on the folds held out; see mu.csv')
  return choice.mu


def _gram(known: Known, among: np.ndarray, classes: np.ndarray, features: Features) -> Gram:
  gram = empty_gram(features.count, len(classes))
  for at, responses in known.blocks(among):
    gram = add(gram, responses, (known.labels[at][:, None] == classes).astype(np.float32))
  return gram


def _with_extent(gram: Gram, features: Features) -> Gram:
  """As if the other features never fired."""
  kept = features.has_extent.astype(np.float64)
  return gram._replace(
    features=gram.features * kept[:, None] * kept, targets=gram.targets * kept[:, None]
  )


def _chosen(
  kind: str,
  held_out: int,
  solution: Solution,
  classes: np.ndarray,
  names: list[str],
  features: Features,
) -> Iterator[tuple]:
  """A row for each weight that is not zero: by class, largest absolute weight first."""
  weights = np.asarray(solution.weights)
  for column, (index, name) in enumerate(zip(classes, names, strict=True)):
    found = np.flatnonzero(weights[:, column])
    for feature in found[np.argsort(-np.abs(weights[found, column]), kind='stable')]:
      layer, number = features.place(feature)
      yield kind, held_out, name, index, feature, layer, number, weights[feature, column]


def _table(
  solved: list[tuple[str, int, Solution, Gram, Gram | None]],
  classes: np.ndarray,
  names: list[str],
  tolerance: float,
  mu: float,
) -> Iterator[tuple]:
  """A row for each regression and class; those of all images are printed."""
  shown = []
  for kind, held_out, solution, gram, out in solved:
    selected = np.count_nonzero(np.asarray(solution.weights), axis=0)
    error = math.nan
    if out is not None:
      error = held_out_error(out, solution.weights)
    share = np.asarray(solution.gap) / np.asarray(gram.energy)
    for i, (index, name) in enumerate(zip(classes, names, strict=True)):
      objective, gap, lam = (
        float(value[i]) for value in (solution.objective, solution.gap, solution.lam)
      )
      yield (
        kind, held_out, f'{mu:g}', name, index, int(gram.energy[i]), selected[i],
        f'{objective:.6g}', f'{gap:.3g}', f'{lam:.6g}', f'{error:.6g}',
      )  # fmt: skip
      if (kind, held_out) == (ALL, NONE):
        shown.append((name, int(gram.energy[i]), selected[i], f'{objective:.4g}', f'{gap:.2g}'))
      if not share[i] <= tolerance:
        print(
          f'warning: the regression of {name!r} ({kind}, fold {held_out} held out) stopped at a '
          f'gap of {share[i]:.2g} of its images, not {tolerance:.2g}',
          file=sys.stderr,
        )
  print(format_table(('class', 'images', 'features', 'objective', 'gap'), shown))
