"""Extremal perturbations that a run has stored: what figures and notebooks read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from perturb.methods.area_growth import trusted_fraction
from perturb.methods.extremal import ExtremalResult, other_regions, render_masks
from perturb.methods.extremal_solvers import Settings, lattice_shape, searches_of
from perturb.store.arrays import Field, Group, read_attributes
from perturb.store.doubts import doubts_of, game_value, star_of
from perturb.store.manifest import group_shape, names_by_row
from perturb.store.results import Results

PER_IMAGE = ('full_score', 'blank_score')
CHEAP = 'grad_cam_value'  # What the game maximises, of the largest pixels of Grad-CAM.
PER_AREA = ('mean_area', 'share_area', 'scores', 'deleted_scores', 'binary_scores')
_NUMBERS = (*PER_IMAGE, *PER_AREA)
# Of the `robust` mode, whose searches may differ.
OF_SEARCHES = (
  'agreement', 'consensus', 'candidates', 'candidate_scores', 'candidate_overlaps',
)  # fmt: skip
_BESIDE = ('mean_area', 'share_area', 'binary_scores', 'probability')

SCORES = (
  'image', 'class', 'target', 'label', 'probability', 'rank', 'area', 'mean_area', 'share_area',
  'score', 'deleted_score', 'binary_score', 'full_score', 'blank_score', 'kept', 'smallest_area',
  'agreement', 'doubt',
)  # fmt: skip


class Explanation(NamedTuple):
  """The extremal perturbations of one picture, with all that a figure of them shows.

  Attributes:
    name: of the picture.
    class_name: of the class that was explained.
    target: its index.
    probability: its softmax probability in the unperturbed image; NaN for a channel of a layer.
    rank: its place among all classes by their score, 1 for the first; -1 where it is not known.
    image: uint8 `[H, W, 3]`, what the network saw, before its normalisation.
    picture: uint8 `[2H, 2W, 3]`, the same at twice the resolution.
    blurred: uint8 `[H, W, 3]`, the fully perturbed image.
    threshold: tau of a*'s lower bound Phi_0; see `smallest_area`.
    game: 'preserve', 'delete' or 'hybrid'.
    doubts: why not to trust it at each area, '' if nothing speaks against it.
    result: arrays as numpy, with B = 1.
  """

  name: str
  class_name: str
  target: int
  probability: float
  rank: int
  image: np.ndarray
  picture: np.ndarray
  blurred: np.ndarray
  threshold: float
  game: str
  doubts: list[str]
  result: ExtremalResult


def fields(shape: tuple[int, int], areas: int, settings: Settings) -> dict[str, Field]:
  """What is stored of each image of a shape (H, W)."""
  lattice, searches = lattice_shape(shape, settings), searches_of(settings)
  candidate = Field('float32', ('area', 'search'), (areas, searches))
  robust = {
    'agreement': Field('float32', ('area',), (areas,)),
    'consensus': Field('float32', ('area', 'row', 'column'), (areas, *lattice)),
    'candidates': Field(
      'float32', ('area', 'search', 'row', 'column'), (areas, searches, *lattice)
    ),
    'candidate_scores': candidate,
    'candidate_overlaps': candidate,
  }
  return {
    'target': Field('int32'),
    'probability': Field(),
    'rank': Field('int32'),
    **{name: Field() for name in PER_IMAGE},
    **{name: Field('float32', ('area',), (areas,)) for name in PER_AREA},
    CHEAP: Field('float32', ('area',), (areas,)),
    'parameters': Field('float32', ('area', 'row', 'column'), (areas, *lattice)),
    **(robust if searches else {}),
  }


class Explanations(Results, Mapping[str, ExtremalResult]):
  """The results in a workdir of configs/extremal.py, while the run goes on or after.

  A mapping of the names of the images that are done to their results.

  Example (of a network whose images have 28 x 28 pixels, at two areas):
    >>> found = perturb.Explanations('runs/extremal')
    >>> found.names
    ['chelsea', 'coffee']
    >>> found['chelsea'].masks.shape
    (1, 2, 28, 28)
  """

  def __getitem__(self, name: str) -> ExtremalResult:
    """The result of an image, B = 1; without its histories (T = 0).

    The masks are rendered from the parameters, together with those of the block in which they were
    computed: on the same kind of device, to the last bit as they were.

    Raises:
      UserError: for an image that is not there, with its near matches.
    """
    group, row = self.place(name)
    shape, made = group_shape(group.path.name), read_attributes(group.path)
    first = row // made['block'] * made['block']
    rows = range(first, min(first + made['block'], self.manifest.counts[group.path.name]))
    parameters = np.zeros((made['block'], *group.read('parameters', [row]).shape[1:]), 'f4')
    parameters[: len(rows)] = np.nan_to_num(group.read('parameters', list(rows)))
    one = row - first
    areas = group.read('area')
    masks = render_masks(
      parameters, areas, shape, mode=made['mode'], chunk=made['chunk'], **made['settings']
    )
    empty = np.zeros((1, len(areas), 0), np.float32)
    arrays: dict[str, Any] = {field: group.read(field, [row]) for field in _NUMBERS}
    arrays |= {'areas': areas, 'rewards': empty, 'area_losses': empty}
    arrays |= _searches(group, row, parameters[one : one + 1].shape)
    arrays['masks'] = np.asarray(masks)[one : one + 1]
    arrays['parameters'] = parameters[one : one + 1]
    return ExtremalResult(**arrays)

  def doubts(self, name: str, threshold: float, game: str) -> list[str]:
    """Why not to trust the explanation of an image, at each area; '' if nothing speaks against it.

    Args:
      name: of the image.
      threshold: tau of a*.
      game: 'preserve', 'delete' or 'hybrid'.

    Raises:
      UserError: for an image that is not there, with its near matches.
    """
    group, row = self.place(name)
    return _doubts(_scores(group, [row]), threshold, game)[0]

  def rows(
    self, names: Sequence[str], threshold: float, game: str, class_name: Callable[[int], str]
  ) -> Iterator[tuple[Any, ...]]:
    """A row of `SCORES` for each image and area, by groups.

    Args:
      names: of images that are done.
      threshold: tau of a*.
      game: 'preserve', 'delete' or 'hybrid'.
      class_name: index of a class -> its name.
    """
    wanted = set(names)
    for group, by_row in names_by_row(self.manifest.entries).items():
      chosen = {row: name for row, name in by_row.items() if name in wanted}
      yield from self._rows_of(self.groups[group], chosen, threshold, game, class_name)

  def _rows_of(
    self,
    group: Group,
    names: dict[int, str],
    threshold: float,
    game: str,
    class_name: Callable[[int], str],
  ) -> Iterator[tuple[Any, ...]]:
    scores = _scores(group, slice(None))
    values = scores._asdict() | {name: group.read(name) for name in ('target', 'label', *_BESIDE)}
    values |= {'rank': group.read('rank') if 'rank' in group else np.full(len(scores.scores), -1)}
    kept, smallest = trusted_fraction(scores, np.inf), star_of(scores, threshold, game)
    doubts = _doubts(scores, threshold, game)
    unknown = np.full(scores.scores.shape, np.nan)
    agreement = group.read('agreement') if 'agreement' in group else unknown
    for row, name in names.items():
      target, rank = int(values['target'][row]), int(values['rank'][row])
      for i, area in enumerate(scores.areas):
        numbers = [values[field][row, i] for field in PER_AREA]
        numbers += [values[field][row] for field in PER_IMAGE]
        numbers += [kept[row, i], smallest[row], agreement[row, i]]
        yield (
          name, class_name(target), target, int(values['label'][row]),
          f'{values["probability"][row]:.6g}', rank if rank > 0 else '', f'{area:g}',
          *(f'{number:.6g}' for number in numbers), doubts[row][i],
        )  # fmt: skip


def _searches(group: Group, row: int, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
  """What the searches of an image found; `[1, A, h, w]` the shape of its parameters."""
  if 'candidates' in group:
    return {name: group.read(name, [row]) for name in OF_SEARCHES}
  return {
    'agreement': np.full(shape[:2], np.nan, np.float32),
    'consensus': np.full(shape, np.nan, np.float32),
    'candidates': np.zeros((*shape[:2], 0, *shape[2:]), np.float32),
    'candidate_scores': np.zeros((*shape[:2], 0), np.float32),
    'candidate_overlaps': np.zeros((*shape[:2], 0), np.float32),
  }


class _Scores(NamedTuple):
  """Scores of some images of a group; see `ExtremalResult`."""

  areas: np.ndarray
  scores: np.ndarray
  deleted_scores: np.ndarray
  full_score: np.ndarray
  blank_score: np.ndarray
  cheap: np.ndarray
  others: np.ndarray


def _scores(group: Group, rows: slice | Sequence[int]) -> _Scores:
  names = ('scores', 'deleted_scores', 'full_score', 'blank_score')
  read = {name: group.read(name, rows) for name in names}
  unknown = np.full(read['scores'].shape, np.nan)  # In results of before it was computed.
  cheap = group.read(CHEAP, rows) if CHEAP in group else unknown
  others = np.zeros(read['scores'].shape, bool)
  if 'candidates' in group:
    candidates = (group.read(f'candidate_{name}', rows) for name in ('scores', 'overlaps'))
    others = np.asarray(np.any(other_regions(*candidates), axis=-1))
  return _Scores(areas=group.read('area'), cheap=cheap, others=others, **read)


def _doubts(scores: _Scores, threshold: float, game: str) -> list[list[str]]:
  values = game_value(game, scores.scores, scores.deleted_scores)
  return doubts_of(scores, threshold, game, values, scores.cheap, scores.others)
