"""The contract of `perturb.base`, which every method keeps."""

from collections.abc import Sequence
import functools

from flax import nnx
import flax.linen as nn
import jax
import numpy as np
import pytest

import perturb
from perturb.base import check_arguments, probability
from perturb.errors import PerturbWarning, UserError
from perturb.options import fits
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


def mean_of_channel(x):
  return x.mean((1, 2))


@pytest.mark.parametrize(
  ('f', 'x', 'target', 'message'),
  [
    (lambda x: x.mean((1, 2)).mean(0, keepdims=True), IMAGES[0], 0, r'not \(1, 3\) for 2'),
    (lambda x: (x, x), IMAGES, 0, 'f returns a tuple; it must return one array'),
    (lambda x: {'logits': x}, IMAGES, 0, 'f returns a dict; it must return one array'),
    (lambda x: x.mean((1, 2)).argmax(-1, keepdims=True), IMAGES, 0, 'before any argmax'),
    (lambda x: np.asarray(x).mean((1, 2)), IMAGES, 0, 'it must compute with jax.numpy'),
    (lambda x: x @ np.zeros((7, 2)), IMAGES, 0, r'f cannot be applied to images of shape \(2, 32'),
    (IMAGES, mean_of_channel, 0, 'x must be of real numbers'),
    (mean_of_channel, 'cat.png', 0, 'x must be of real numbers'),
    (mean_of_channel, [[1.0], [1.0, 2.0]], 0, 'x must be an array'),
    (mean_of_channel, IMAGES * 1j, 0, 'x must be of real numbers, not complex'),
    (mean_of_channel, IMAGES, [[1], [1, 2]], 'target must be an array'),
    (nn.Dense(3), IMAGES, 0, r'a Flax module has no weights of its own: give model\.bind'),
    (nnx.BatchNorm(3, rngs=nnx.Rngs(0)), IMAGES, 0, r'in training mode\? Call model\.eval'),
  ],
)
def test_what_is_no_model_or_no_image_is_named(f, x, target, message):
  with pytest.raises(UserError, match=message):
    perturb.gradient(f, x, target)


def test_one_image_at_a_time_will_do():
  def alone(x):
    return x.reshape(32 * 32, 3).mean(0)[None]

  assert perturb.gradient(alone, IMAGES[0], 1).shape == (1, 32, 32)


def test_models_of_flax_are_functions():
  model = nn.Dense(4)
  variables = model.init(jax.random.key(0), IMAGES)
  expected = perturb.gradient(jax.tree_util.Partial(model.apply, variables), IMAGES, 1)
  np.testing.assert_array_equal(perturb.gradient(model.bind(variables), IMAGES, 1), expected)
  norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
  norm.eval()
  assert perturb.gradient(norm, IMAGES, 1).shape == (2, 32, 32)


def test_images_that_seem_to_be_turned_are_warned_of():
  with pytest.warns(PerturbWarning, match='the axes look swapped'):
    perturb.gradient(mean_of_channel, np.zeros((1, 3, 32, 32)), 1)


def test_scores_that_are_no_numbers_give_no_probability():
  """As XLA compiles it: its softmax makes numbers of some NaN."""
  heat = perturb.rise(lambda x: x.mean((1, 2)) * np.nan, IMAGES, 0, masks=3)
  assert np.isnan(heat).all()


def test_options_may_be_numbers_without_axes_a_range_and_a_seed():
  net, options = small_net(), {'masks': 4, 'cells': 3}
  expected = perturb.rise(net, IMAGES, TARGETS, key=jax.random.key(1), **options)
  given = {'masks': np.array(4), 'cells': jax.numpy.array(3), 'key': 1}
  np.testing.assert_array_equal(perturb.rise(net, IMAGES, TARGETS, **given), expected)
  for wrong in (np.array(4.5), np.array(True), np.nan, 0):
    with pytest.raises(UserError, match='masks must be a whole number, at least 1'):
      perturb.rise(net, IMAGES, TARGETS, masks=wrong)
  with pytest.raises(UserError, match="rise has no option 'mask'; did you mean 'masks'"):
    perturb.rise(net, IMAGES, TARGETS, mask=4)
  assert fits(range(3), Sequence[int])


def test_weights_of_double_precision_will_do():
  with jax.enable_x64(True):
    weights = jax.numpy.asarray(np.random.RandomState(0).randn(3, 4))

    def f(x):
      return x.mean((1, 2)) @ weights

    assert f(IMAGES).dtype == np.float64
    for heat in (
      perturb.integrated_gradients(f, IMAGES, 1, steps=2),
      perturb.smooth_grad(f, IMAGES.astype(np.float64), 1, samples=2),
      perturb.occlusion(f, IMAGES, 1, size=8, stride=8),
      perturb.extremal_perturbation(f, IMAGES, 1, areas=[0.1], iterations=2).heatmap,
      perturb.meaningful_perturbation(f, IMAGES, 1, iterations=2).heatmap,
    ):
      assert heat.dtype == np.float32 and np.isfinite(heat).all()


def test_a_class_that_is_ruled_out_leaves_the_others_their_probability():
  """A score of minus infinity is a probability of 0, not an unknown one."""
  scores = np.float32([[1.0, -np.inf, 2.0], [np.nan, 0.0, 0.0]])
  found = probability(scores, np.array([2, 1]))
  np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-1)), rtol=1e-6)
  assert np.isnan(found[1])
