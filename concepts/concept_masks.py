"""Where a concept vector finds its concept: masks, and how well they fit.

Source: Fong and Vedaldi, Net2Vec (CVPR 2018), section 3.1.

Letters: as of `concepts.concept_vectors`; Q rows, each of a vector and a picture of its concept.
"""

from collections.abc import Sequence
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from concepts.bilinear import HIGHEST, interpolated
from concepts.binarised import Binarised, planes
from concepts.labelled_pairs import Pairs, grouped, in_planes
from concepts.vector_networks import check_vector
from perturb.chunks import mapped
from perturb.nets import Pretrained


class Fits(NamedTuple):
  """How well masks fit, of each vector and picture of its concept. Those of more pictures add on.

  Attributes:
    vector: index of the vector, int `[Q]`.
    pair: index of the pair, int `[Q]`.
    intersection: pixels of mask and label, int `[Q]`.
    union: pixels of mask or label, int `[Q]`.
  """

  vector: np.ndarray
  pair: np.ndarray
  intersection: np.ndarray
  union: np.ndarray

  def of_sets(self, vectors: int) -> np.ndarray:
    """IoU_set (eq. 1) of each of R vectors, float64 `[R]`; NaN where neither has a pixel."""
    inside, either = (
      np.bincount(self.vector, weights=values, minlength=vectors)
      for values in (self.intersection, self.union)
    )
    with np.errstate(invalid='ignore'):
      return inside / either

  def of_pictures(self) -> np.ndarray:
    """IoU_ind (eq. 3) of each row, float64 `[Q]`; NaN where neither has a pixel."""
    with np.errstate(invalid='ignore'):
      return self.intersection / self.union


def vector_fits(
  weights: np.ndarray,
  concept: Sequence[int] | np.ndarray,
  activations: Binarised,
  pairs: Pairs,
  *,
  align_corners: bool = True,
  chunk: int = 32,
) -> Fits:
  """How well the masks M > 1/2 of vectors fit the labels of their concepts.

  M > 1/2 where the upsampled sum of the weights is above zero. So a vector of one filter does not
  give that filter's mask, which is where its upsampled activation is above 1/2, but that mask
  dilated: all that has some of it. Pictures can be given some at a time: rows and pairs are counts,
  which belong together if `pair` is set off by how many pairs came before.

  Args:
    weights: of the vectors, `[R, K]`.
    concept: of each vector, int `[R]`.
    activations: of the pictures that `pairs` names.
    pairs: pictures to judge by; those of other concepts do not count.
    align_corners: see `concepts.bilinear.bilinear_weights`.
    chunk: rows at a time, which bounds the memory.
  """
  starts, counts, listed = grouped(pairs.concept, np.asarray(concept))
  vector = np.repeat(np.arange(len(counts)), counts)
  within = np.arange(len(vector)) - np.repeat(np.cumsum(counts) - counts, counts)
  pair = listed[starts[vector] + within]
  if not len(pair):
    return Fits(vector, pair, np.zeros(0, np.int64), np.zeros(0, np.int64))
  some = pairs.take(pair)
  found = _overlaps(
    np.float32(weights),
    activations,
    vector,
    some.picture,
    in_planes(some.masks),
    pairs.size,
    align_corners,
    min(chunk, len(pair)),
  )
  return Fits(vector, pair, *(np.asarray(values, np.int64) for values in found))


@functools.partial(jax.jit, static_argnums=(5, 6, 7))
def _overlaps(weights, activations, vector, picture, masks, size, align_corners, chunk):
  def one(place):
    sums = activations.combine(picture[place][None], weights[vector[place]])[0]
    found = interpolated(sums, size, align_corners) > 0
    label = planes(masks[place]).reshape(-1)[: size[0] * size[1]].reshape(size) > 0
    return (found & label).sum(), (found | label).sum()

  return mapped(jax.vmap(one), vector.shape[0], chunk)


def concept_mask(
  net: Pretrained,
  layer: str,
  vector: np.ndarray,
  thresholds: np.ndarray,
  x: jax.Array | np.ndarray,
  *,
  align_corners: bool = True,
) -> jax.Array:
  """M(x; w) of new pictures (eq. 2): the concept is where it is above 1/2.

  Args:
    net: the network.
    layer: whose filters the vector weights.
    vector: w, `[K]`.
    thresholds: T_k, `[K]`.
    x: preprocessed images `[n, H, W, C]`.
    align_corners: see `concepts.bilinear.bilinear_weights`.

  Returns:
    float32 `[n, H, W]` in (0, 1); 1/2 where no filter of a weight is active.

  Raises:
    UserError: for a layer that the network does not have, one without maps, and vectors or
      thresholds of other filters.
  """
  layer = check_vector(net, layer, vector, thresholds)
  arrays = (np.asarray(values, np.float32) for values in (vector, thresholds))
  return _mask(net, *arrays, jnp.asarray(x), layer, align_corners)


@functools.partial(jax.jit, static_argnums=(4, 5))
def _mask(net, vector, thresholds, x, layer, align_corners):
  active = (net.activations(x, [layer])[layer] > thresholds).astype(jnp.float32)
  sums = jnp.einsum('nhwk,k->nhw', active, vector, precision=HIGHEST)
  return jax.nn.sigmoid(interpolated(sums, x.shape[1:3], align_corners))
