"""The contract of `perturb.base`, which every method keeps."""

import functools

import jax
import numpy as np
import pytest

import perturb
from perturb.base import check_arguments
from perturb.errors import UserError
from tests.small_net import IMAGES, TARGETS, small_net

METHODS = {
  'gradient': perturb.gradient,
  'grad_cam': perturb.grad_cam,
  'occlusion': functools.partial(perturb.occlusion, size=8, stride=8),
}


def test_one_image_counts_as_a_batch_of_one_and_one_target_as_that_of_all():
  x, targets = check_arguments(small_net(), np.asarray(IMAGES[0], np.float64), 3)
  assert x.shape == (1, 32, 32, 3) and x.dtype == np.float32
  x, targets = check_arguments(small_net(), IMAGES, 3)
  np.testing.assert_array_equal(targets, [3, 3])
  assert targets.dtype == np.int32


@pytest.mark.parametrize(
  ('f', 'x', 'target', 'message'),
  [
    (small_net(), IMAGES[0, 0], 0, r'x must be \[B, H, W, C\] or \[H, W, C\]'),
    (lambda x: x.mean((1, 2, 3)), IMAGES, 0, r'f must return \[N, K\] or \[N, h, w, K\]'),
    (small_net(), IMAGES, [0, 1, 2], 'target must be one integer or 2 of them'),
    (small_net(), IMAGES, 0.5, 'target must be one integer'),
    (small_net(), IMAGES, -1, 'target -1: f has outputs 0 to 4'),
  ],
)
def test_what_breaks_it_is_named(f, x, target, message):
  with pytest.raises(UserError, match=message):
    check_arguments(f, x, target)


@pytest.mark.parametrize('name', METHODS)
def test_f_x_and_target_may_be_traced(name):
  method = METHODS[name]
  expected = np.asarray(method(small_net(), IMAGES, TARGETS))
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5 * expected.max())
  close(jax.jit(method)(small_net(), IMAGES, TARGETS), expected)
  each = jax.vmap(lambda x, target: method(small_net(), x, target)[0])
  close(each(IMAGES, TARGETS), expected)
