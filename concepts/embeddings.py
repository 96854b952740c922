"""Concept vectors as embeddings: what is near what, and how alike two geometries are.

Source: Fong and Vedaldi, Net2Vec (CVPR 2018), section 5.3. Letters: C concepts, K filters, E
embeddings. A row of NaN is a concept without a vector: it is never an answer.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from perturb.errors import MissingError, UserError, did_you_mean

Answers = list[tuple[str, float]]  # (name of a concept, cosine), nearest first.


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
  """w / ||w|| of each row of `[C, K]`, float64; NaN where it has no direction: zeros, or NaN."""
  vectors = np.asarray(vectors, np.float64)
  if vectors.ndim != 2:
    raise UserError(f'vectors are {list(vectors.shape)}, not [concepts, filters]')
  scale = np.abs(vectors).max(1, keepdims=True, initial=0)  # A square may overflow, or vanish.
  usable = np.isfinite(scale) & (scale > 0)
  scaled = np.where(usable, vectors, np.nan) / np.where(usable, scale, 1)
  return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


def similarities(vectors: np.ndarray) -> np.ndarray:
  """d(W) = W W^T of the unit vectors: cosines `[C, C]` of the concepts."""
  units = unit_vectors(vectors)
  cosines = units @ units.T
  return np.clip((cosines + cosines.T) / 2, -1, 1)


@dataclasses.dataclass(frozen=True)
class Embedding:
  """Concepts by name, and their vectors; `Embedding(names, vectors).nearest('dog')`.

  Attributes:
    names: C names, each once.
    vectors: `[C, K]`, of any length.

  Raises:
    UserError: for another number of names than vectors, and a name that is there twice.
  """

  names: Sequence[str]
  vectors: np.ndarray

  def __post_init__(self) -> None:
    if len(self.names) != len(self._units):
      raise UserError(f'{len(self.names)} names for {len(self._units)} vectors')
    if len(self._places) < len(self.names):
      twice = next(name for name in self.names if list(self.names).count(name) > 1)
      raise UserError(f'concept {twice!r} is there twice')

  @functools.cached_property
  def _units(self) -> np.ndarray:
    return unit_vectors(self.vectors)

  @functools.cached_property
  def _places(self) -> dict[str, int]:
    return {name: place for place, name in enumerate(self.names)}

  def unit(self, name: str) -> np.ndarray:
    """The unit vector of a concept, `[K]`.

    Raises:
      MissingError: for a name that is none of a concept, or of one without a vector.
    """
    if name not in self._places:
      raise MissingError(f'no concept {name!r}{did_you_mean(name, list(self.names))}')
    unit = self._units[self._places[name]]
    if np.isnan(unit).any():
      raise MissingError(f'concept {name!r} has no vector')
    return unit

  def nearest(self, name: str, count: int = 5) -> Answers:
    """The concepts of largest cosine with one, which is left out (table 2)."""
    return self.arithmetic([name], count=count)

  def arithmetic(
    self, plus: Sequence[str], minus: Sequence[str] = (), *, count: int = 5
  ) -> Answers:
    """The concepts nearest to a sum of unit vectors, without its operands (table 3).

    'grass' + 'blue' - 'green' is `arithmetic(['grass', 'blue'], ['green'])`.

    Raises:
      MissingError: as `unit`.
      UserError: if the sum is zero, which is near nothing.
    """
    none = np.zeros(self._units.shape[1])
    total = sum(map(self.unit, plus), none) - sum(map(self.unit, minus), none)
    length = np.linalg.norm(total)
    if length < 1e-9:
      text = ' + '.join(plus) + ''.join(f' - {name}' for name in minus)
      raise UserError(f'{text or "the sum of no concepts"} is zero, and near nothing')
    cosines = np.clip(self._units @ (total / length), -1, 1)
    operands = {*plus, *minus}
    order = np.argsort(-cosines, kind='stable')  # NaN comes last.
    found = ((self.names[i], float(cosines[i])) for i in order if not np.isnan(cosines[i]))
    return [one for one in found if one[0] not in operands][:count]


class Distances(NamedTuple):
  """How much the geometries of E embeddings differ (fig. 10).

  Attributes:
    shared: which concepts all of them know, bool `[C]`; the distances are over these alone.
    total: D_ij = ||d(W^i) - d(W^j)||^2, the sum over all pairs of concepts, `[E, E]`.
    by_concept: D_ijc = ||d(W^i)_c - d(W^j)_c||^2, `[E, E, C]`; NaN for a concept not shared.
  """

  shared: np.ndarray
  total: np.ndarray
  by_concept: np.ndarray


def distances(geometries: Sequence[np.ndarray]) -> Distances:
  """The distances of each pair of embeddings, over the concepts that all of them know.

  Args:
    geometries: E matrices `[C, C]` of the same concepts: `similarities` of vectors, of a network
      or of words, or those of WordNet. What an embedding does not know is NaN on the diagonal.

  Raises:
    UserError: for shapes that differ, and where no concept is shared.
  """
  shapes = {np.shape(one) for one in geometries}
  if len(shapes) != 1 or len(set(shape := shapes.pop())) != 1 or len(shape) != 2:
    sizes = ', '.join(str(list(np.shape(one))) for one in geometries)
    raise UserError(f'geometries are {sizes or "missing"}: all must be [C, C] of the same concepts')
  known = np.array([~np.isnan(np.diagonal(one)) for one in geometries])
  shared = np.asarray(known.all(0))
  if not shared.any():
    raise UserError('no concept is known to all embeddings')
  stacked = np.array([np.asarray(one)[np.ix_(shared, shared)] for one in geometries])
  by_concept = np.full((len(stacked), len(stacked), len(shared)), np.nan)
  for row, one in enumerate(stacked):
    by_concept[row][:, shared] = np.square(stacked - one).sum(-1)
  return Distances(shared, by_concept[..., shared].sum(-1), by_concept)
