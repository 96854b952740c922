"""The forms of convolution and pooling against the library's, forward and backward."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.nets.kernels import convolution
from perturb.nets.kernels import padding as pad
from perturb.nets.kernels.depthwise import depthwise_conv_shifted
from perturb.nets.kernels.pooling import adaptive_mean_matrix, max_pool_shifted

LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def noise(seed, *shape):
  return jnp.asarray(np.random.RandomState(seed).randn(*shape), jnp.float32)


def check_same(ours, library, *inputs, atol=2e-5):
  """Same output and same gradients, up to rounding in proportion to their size."""

  @functools.partial(jax.jit, static_argnums=0)
  def forward_and_back(function, *inputs):
    y, back = jax.vjp(function, *inputs)
    return y, *back(noise(9, *y.shape))

  values = (forward_and_back(function, *inputs) for function in (ours, library))
  for got, expected in zip(*values, strict=True):
    np.testing.assert_allclose(got, expected, atol=atol * float(jnp.abs(expected).max()))


@pytest.mark.parametrize('size', [(9, 12), (8, 7)])
@pytest.mark.parametrize(('kernel', 'stride'), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_depthwise_convolution(kernel, stride, size):
  padding = pad.same(size, kernel, stride)

  def library(x, w):
    return jax.lax.conv_general_dilated(
      x,
      w[:, :, None],
      (stride, stride),
      padding,
      feature_group_count=6,
      dimension_numbers=LAYOUT,
    )

  def ours(x, w):
    return depthwise_conv_shifted(x, w, stride, padding)

  check_same(ours, library, noise(0, 2, *size, 6), noise(1, kernel, kernel, 6))


# One case for each form, told by its shapes, and for the sides that do not divide.
CONVOLUTIONS = {
  'windows': (2, (10, 13), 3, 8, 3, 2, pad.symmetric(1)),
  'windows, stride over the kernel': (2, (11, 12), 3, 8, 2, 3, pad.symmetric(0)),
  'windows, one image at a time': (2, (150, 150), 3, 4, 7, 1, pad.symmetric(3)),
  'image in phases': (2, (10, 13), 3, 8, 7, 2, pad.symmetric(3)),
  'image in phases, pixels to spare': (2, (15, 14), 1, 5, 8, 3, pad.symmetric(0)),
  'phases, kernel less than two strides': (1, (23, 21), 3, 40, 11, 4, pad.symmetric(2)),
  'phases, stride over the kernel': (2, (10, 11), 3, 40, 3, 4, pad.symmetric(1)),
  'by rows': (2, (12, 10), 32, 40, 3, 1, pad.symmetric(1)),
  'one by one': (2, (8, 9), 6, 5, 1, 2, pad.symmetric(0)),
  'columns': (2, (9, 8), 6, 5, 3, 2, ((0, 1), (1, 0))),
  'columns, no padding': (2, (12, 12), 7, 4, 5, 1, pad.symmetric(0)),
  'columns, one image at a time': (3, (60, 60), 64, 8, 3, 1, pad.symmetric(1)),
  'library': (2, (64, 64), 80, 8, 3, 1, pad.symmetric(1)),
}


@pytest.mark.parametrize('case', CONVOLUTIONS)
def test_convolution(case):
  n, size, channels, features, kernel, stride, padding = CONVOLUTIONS[case]
  check_same(
    lambda x, w: convolution.cpu_conv(x, w, stride, padding),
    lambda x, w: convolution.library_conv(x, w, stride, padding),
    noise(0, n, *size, channels),
    noise(1, kernel, kernel, channels, features),
  )


@pytest.mark.parametrize('size', [(12, 12), (11, 14)])
@pytest.mark.parametrize(
  ('window', 'stride', 'padding'),
  [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)],
)
@pytest.mark.parametrize('round_up', [False, True])
def test_max_pooling(size, window, stride, padding, round_up):
  sides = pad.symmetric(padding)
  if round_up:
    sides = pad.rounded_up(size, window, stride, padding)

  def library(x):
    return jax.lax.reduce_window(
      x,
      -jnp.inf,
      jax.lax.max,
      (1, window, window, 1),
      (1, stride, stride, 1),
      ((0, 0), *sides, (0, 0)),
    )

  check_same(lambda x: max_pool_shifted(x, window, stride, sides), library, noise(0, 2, *size, 5))


def test_a_tie_goes_to_the_first_maximum_in_reading_order():
  x = jnp.asarray([[1.0, 2, 0], [2, 2, 0], [0, 0, 0]])[None, :, :, None]
  gradient = jax.grad(lambda x: max_pool_shifted(x, 3, 2, pad.symmetric(0)).sum())(x)
  np.testing.assert_array_equal(gradient[0, :, :, 0], [[0, 1, 0], [0, 0, 0], [0, 0, 0]])


def test_same_padding_is_tensorflows():
  for size in (7, 8, 224):
    for kernel, stride in ((3, 1), (3, 2), (5, 2)):
      x = jnp.ones((1, size, size, 1))
      w = jnp.ones((kernel, kernel, 1, 1))
      same = jax.lax.conv_general_dilated(x, w, (stride, stride), 'SAME', dimension_numbers=LAYOUT)
      ours = convolution.library_conv(x, w, stride, pad.same((size, size), kernel, stride))
      np.testing.assert_array_equal(same, ours)


def test_rounding_up_drops_a_window_that_begins_in_the_padding():
  # Caffe's rule, by hand: 5 pixels, window 2, stride 2, padding 1 -> starts at -1, 1, 3; not 5.
  assert pad.rounded_up((5, 6), 2, 2, 1) == ((1, 0), (1, 1))
  # 112 -> 56 with the last window one pixel short: ResNet's first pooling.
  assert pad.rounded_up((112, 112), 3, 2, 0) == ((0, 1), (0, 1))


def test_adaptive_means_are_the_means_of_the_cells():
  np.testing.assert_allclose(
    adaptive_mean_matrix(5, 2) @ np.arange(5.0), [(0 + 1 + 2) / 3, (2 + 3 + 4) / 3]
  )
  np.testing.assert_array_equal(adaptive_mean_matrix(3, 3), np.eye(3))
