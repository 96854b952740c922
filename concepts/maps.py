"""Concepts as places in the plane, near each other where their vectors are (t-SNE)."""

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from concepts.embeddings import unit_vectors
from perturb.errors import UserError

FEWEST = 4
PERPLEXITY = 30.0


def flat_map(
  vectors: np.ndarray, *, key: jax.Array | int | None = None, perplexity: float = PERPLEXITY
) -> np.ndarray:
  """Places of the unit vectors in the plane; the same vectors and key give the same places.

  Squared distances of unit vectors are 2 (1 - cos), so near means a large cosine. The start is the
  plane of most variance; distances between far groups mean little.

  Source: van der Maaten and Hinton, Visualizing data using t-SNE (JMLR 2008), by scikit-learn.

  Args:
    vectors: `[C, K]`; NaN rows for concepts without one.
    key: a PRNG key or its seed.
    perplexity: about how many concepts count as near one; at most a third of them.

  Returns:
    float32 `[C, 2]`, NaN for the concepts without a vector.

  Raises:
    UserError: with fewer than four vectors.
  """
  from sklearn.manifold import TSNE  # Takes a second, for which no other import should wait.

  units = unit_vectors(vectors)
  known = ~np.isnan(units).any(1)
  count = int(known.sum())
  if count < FEWEST:
    raise UserError(f'{count} vectors: a map takes {FEWEST} or more')
  if not perplexity > 0:
    raise UserError(f'perplexity is {perplexity}: it must be above zero')
  method = TSNE(
    perplexity=min(perplexity, (count - 1) / 3),
    init='pca',
    random_state=_seed(key),
  )
  places = np.full((len(units), 2), np.nan, np.float32)
  with threadpool_limits(1):  # Sums of several threads come in any order.
    places[known] = method.fit_transform(units[known].astype(np.float32))
  return places


def _seed(key: jax.Array | int | None) -> int:
  if key is None or isinstance(key, int):
    return key or 0
  return int(jax.random.bits(key) >> 1)
