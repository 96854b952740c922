"""Similarities of patches, and which patches belong together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from concepts.patch_similarity import as_array, correspondence, similarity
from perturb.errors import UserError


class Tensor:
  """What is read of a tensor of PyTorch, which is bfloat16 on a device and has a gradient."""

  def __init__(self, values, size=4):
    self.values, self.size, self.free = values, size, False

  def detach(self):
    self.free = True
    return self

  def cpu(self):
    assert self.free
    return self

  def element_size(self):
    return self.size

  def float(self):
    self.size = 4
    return self

  def numpy(self):
    assert self.size > 2, 'NumPy has no bfloat16'
    return self.values


@pytest.fixture(scope='module')
def pair():
  random = np.random.default_rng(0)
  return random.normal(size=(3, 4, 5)).astype(np.float32), random.normal(size=(2, 6, 5))


def test_the_cosine_is_that_of_each_pair(pair):
  a, b = pair
  found = similarity(a, b)
  assert found.shape == (3, 4, 2, 6) and found.dtype == np.float64
  u, v = a[2, 1], b[1, 5]
  assert found[2, 1, 1, 5] == pytest.approx(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
  np.testing.assert_allclose(similarity(b, a), found.transpose(2, 3, 0, 1), atol=1e-12)
  own = similarity(b, b).reshape(12, 12)
  np.testing.assert_allclose(np.diag(own), 1)
  assert similarity(a, b, measure='dot')[2, 1, 1, 5] == pytest.approx(u @ v)


@pytest.mark.parametrize('length', [1e-30, 1e30])
def test_the_cosine_knows_no_length(pair, length):
  a, b = pair
  np.testing.assert_allclose(similarity(np.float32(length) * a, b), similarity(a, b), atol=1e-6)


def test_zeros_are_like_nothing(pair):
  a = pair[0].copy()
  a[0, 0] = 0
  found = similarity(a, a)
  assert not found[0, 0].any() and np.isfinite(found).all()


def test_weights_make_what_is_alike_for_a_class(pair):
  a, b = pair
  w = np.array([0, 1, 2, 0.5, 3])
  u, v = a[0, 3], b[1, 0]
  expected = (w * u * v).sum() / np.sqrt((w * u * u).sum() * (w * v * v).sum())
  assert similarity(a, b, weights=w)[0, 3, 1, 0] == pytest.approx(expected, rel=1e-6)
  assert similarity(a, b, measure='dot', weights=w)[0, 3, 1, 0] == pytest.approx(
    (w * u * v).sum(), rel=1e-6
  )
  np.testing.assert_allclose(similarity(a, b, weights=np.full(5, 7)), similarity(a, b), atol=1e-6)


def test_arrays_of_every_kind(pair):
  a = pair[0]
  plain = similarity(a, a)
  assert isinstance(plain, np.ndarray) and plain.dtype == np.float32
  compiled = jax.jit(similarity)(a, a)
  assert isinstance(compiled, jax.Array)
  np.testing.assert_allclose(compiled, plain, atol=1e-6)
  np.testing.assert_array_equal(similarity(Tensor(a), Tensor(a, 2)), plain)
  np.testing.assert_allclose(similarity(a.tolist(), a), plain, atol=1e-6)
  assert as_array(jnp.ones((1, 1, 1), jnp.bfloat16)).dtype == np.float32


@pytest.mark.parametrize(
  ('shapes', 'message'),
  [
    (((1, 2, 2, 3), (2, 2, 3)), r'a must be \[H, W, C\], not of shape \(1, 2, 2, 3\).*batch axis'),
    (((2, 2, 3), (1, 3)), 'b must be .*a layer without extent has no patches'),
    (((2, 2, 3), (2, 2, 4)), 'a has 3 channels and b 4'),
  ],
)
def test_what_cannot_be_compared(shapes, message):
  with pytest.raises(UserError, match=message):
    similarity(*map(np.ones, shapes))


def test_what_is_no_number_is_refused():
  x = np.ones((1, 1, 2))
  with pytest.raises(UserError, match='real numbers, not complex128'):
    similarity(x * 1j, x)
  with pytest.raises(UserError, match='must be an array'):
    similarity([[[1.0], [1.0, 2.0]]], x)
  with pytest.raises(UserError, match='measure must be one of cosine, dot'):
    similarity(x, x, measure='angle')
  with pytest.raises(UserError, match='weights must be one for each of 2 channels'):
    similarity(x, x, weights=[1.0])
  with pytest.raises(UserError, match='must not be negative'):
    similarity(x, x, weights=[1.0, -1.0])


def test_the_patches_of_a_moved_picture_are_found():
  """Of a picture that was moved by one patch, each patch has moved by one."""
  picture = np.random.default_rng(1).normal(size=(4, 5, 32))
  found = correspondence(picture[:, :4], 9 * picture[:, 1:])
  sure = found.similarity > 0.99
  assert sure.sum() == 12
  np.testing.assert_array_equal(found.first[sure] - [0, 1], found.second[sure])
  assert (np.diff(found.similarity) <= 0).all()


def test_a_pair_is_mutual(pair):
  a, b = pair
  cosines, found = similarity(a, b), correspondence(a, b)
  for one, other, value in zip(*found, strict=True):
    best = cosines[*one].max(), cosines[..., *other].max(), cosines[*one, *other]
    assert best == (value, value, value)
  assert len({tuple(place) for place in found.second}) == len(found.second)
  assert len(correspondence(np.zeros((2, 2, 5)), b).first) == 0


def test_zeros_are_the_nearest_of_none():
  """Their cosine, 0, is more than that of opposed patches."""
  a, b = np.array([[[1.0, 0.0]]]), np.array([[[0.0, 0.0], [-1.0, 0.5]]])
  for one, other, column in ((a, b, 1), (b, a, 0)):
    found = correspondence(one, other)
    assert found.second.tolist() == [[0, column]]
    assert found.similarity == pytest.approx(-1 / np.sqrt(1.25))
