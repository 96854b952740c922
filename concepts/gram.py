"""What the mu-lasso needs of the responses of all images: sums of products, block by block.

Letters: N images, m features, C classes. The sums are float64 on the host. NumPy's product of a
matrix with its own transpose computes one half, and is faster on a CPU in float64 than XLA's in
float32; and features that depend on each other do not leave a matrix that is not positive.
"""

from collections.abc import Iterable
import functools
from typing import NamedTuple

import jax
import numpy as np

from perturb.errors import UserError

Rows = jax.Array | np.ndarray

RESIDUE = 1e-12  # Of a sum of squares, what rounding leaves of it.
BLOCK = 2048  # Rows that are converted to float64 and multiplied at once.


class Gram(NamedTuple):
  """Sums over images, which are those of all images once every block is added.

  Grams of the same features and classes add up, and the Gram of a training set is that of all
  images without the held-out fold: see `total` and `without`.

  Attributes:
    features: X X^T, float64 `[m, m]`.
    targets: X L^T, float64 `[m, C]`.
    energy: ||l_j||^2 of each class, float64 `[C]`: its number of images.
    images: N.
  """

  features: np.ndarray
  targets: np.ndarray
  energy: np.ndarray
  images: int


def empty_gram(features: int, classes: int) -> Gram:
  """The Gram of no images, of m features and C classes.

  Raises:
    UserError: without features, or with fewer than two classes.
  """
  if features < 1:
    raise UserError(f'{features} features: the regression needs one or more')
  if classes < 2:
    raise UserError(f'{classes} classes: what tells a class apart takes two or more')
  return Gram(np.zeros((features, features)), np.zeros((features, classes)), np.zeros(classes), 0)


def add(gram: Gram, responses: Rows, labels: Rows) -> Gram:
  """The Gram with some more images. Its arrays are changed in place.

  Each call passes over `[m, m]`, so a thousand images a call are cheaper than ten.

  Args:
    gram: of the images so far.
    responses: x_i of some images as rows, `[n, m]`.
    labels: 1 for the class of an image and 0 for the others, `[n, C]`.

  Raises:
    UserError: for shapes that do not match, and for values that are not finite.
  """
  responses, labels = np.asarray(responses), np.asarray(labels)
  _check_rows('responses', responses, ('images', 'features'), len(gram.features))
  _check_rows('labels', labels, ('images', 'classes'), len(gram.energy))
  if len(responses) != len(labels):
    raise UserError(f'{len(responses)} rows of responses, but {len(labels)} of labels')
  for start in range(0, len(responses), BLOCK):
    x = responses[start : start + BLOCK].astype(np.float64)
    targets = labels[start : start + BLOCK].astype(np.float64)
    np.add(gram.features, x.T @ x, out=gram.features)
    np.add(gram.targets, x.T @ targets, out=gram.targets)
    np.add(gram.energy, np.square(targets).sum(0), out=gram.energy)
  return gram._replace(images=gram.images + len(responses))


def total(grams: Iterable[Gram]) -> Gram:
  """The Gram of all images of several, in arrays of its own."""
  first, *others = grams
  start = Gram(first.features.copy(), first.targets.copy(), first.energy.copy(), first.images)
  return functools.reduce(_added, others, start)


def without(gram: Gram, part: Gram) -> Gram:
  """The Gram of the images of one that are not in a part of it, such as the held-out fold."""
  _check_alike(gram, part)
  if part.images >= gram.images:
    raise UserError(f'a part of {part.images} images leaves none of {gram.images}')
  features, targets = gram.features - part.features, gram.targets - part.targets
  # Of a feature that fires in the part alone, sums leave a residue, which is nobody's response.
  gone = np.diagonal(features) <= RESIDUE * np.diagonal(gram.features)
  features[gone], features[:, gone], targets[gone] = 0, 0, 0
  return Gram(features, targets, gram.energy - part.energy, gram.images - part.images)


def _added(gram: Gram, other: Gram) -> Gram:
  _check_alike(gram, other)
  np.add(gram.features, other.features, out=gram.features)
  np.add(gram.targets, other.targets, out=gram.targets)
  np.add(gram.energy, other.energy, out=gram.energy)
  return gram._replace(images=gram.images + other.images)


def _check_alike(gram: Gram, other: Gram) -> None:
  if gram.targets.shape != other.targets.shape:
    raise UserError(
      f'Grams of {gram.targets.shape} and {other.targets.shape} features and classes: they do not '
      'belong together'
    )


def _check_rows(name: str, rows: np.ndarray, axes: tuple[str, str], width: int) -> None:
  if rows.ndim != 2 or rows.shape[1] != width:
    shape = ', '.join(map(str, rows.shape))
    raise UserError(f'{name} are [{shape}], not [{axes[0]}, {width} {axes[1]}]')
  if not np.isfinite(rows).all():
    row, column = np.argwhere(~np.isfinite(rows))[0]
    raise UserError(f'{name}: row {row}, column {column} is {rows[row, column]}, not finite')
