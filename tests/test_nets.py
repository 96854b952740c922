import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.nets import EfficientNetLite, load
from perturb.nets.layers import depthwise_conv_shifted, same_padding

TINY = EfficientNetLite(blocks=((1, 3, 1, 1, 4), (2, 5, 2, 2, 6)), stem=4, head=8, classes=5)


@pytest.mark.parametrize('size', [(9, 12), (8, 7)])
@pytest.mark.parametrize(('kernel', 'stride'), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_depthwise_convolution_and_its_backward_equal_the_librarys(kernel, stride, size):
  random = np.random.RandomState(0)
  x = jnp.asarray(random.randn(2, *size, 6), jnp.float32)
  w = jnp.asarray(random.randn(kernel, kernel, 6), jnp.float32)
  padding = same_padding(size, kernel, stride)

  def library(x, w):
    return jax.lax.conv_general_dilated(
      x,
      w[:, :, None],
      (stride, stride),
      padding,
      feature_group_count=6,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  def ours(x, w):
    return depthwise_conv_shifted(x, w, stride, padding)

  np.testing.assert_allclose(ours(x, w), library(x, w), atol=1e-5)
  g = jnp.asarray(random.randn(*library(x, w).shape), jnp.float32)
  for got, expected in zip(jax.vjp(ours, x, w)[1](g), jax.vjp(library, x, w)[1](g), strict=True):
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_same_padding_is_tensorflows():
  for size in (7, 8, 224):
    for kernel, stride in ((3, 1), (3, 2), (5, 2)):
      x = jnp.ones((1, size, size, 1))
      w = jnp.ones((kernel, kernel, 1, 1))
      same = jax.lax.conv_general_dilated(
        x, w, (stride, stride), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
      )
      ours = jax.lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        same_padding((size, size), kernel, stride),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      )
      np.testing.assert_array_equal(same, ours)


def test_the_part_below_a_layer_and_the_part_above_it_make_the_whole():
  x = jnp.asarray(np.random.RandomState(0).randn(1, 20, 24, 3), jnp.float32)
  variables = TINY.init(jax.random.key(0), x)
  whole = TINY.apply(variables, x)
  for layer in TINY.layer_names():
    below = TINY.apply(variables, x, stop=layer)
    if layer != 'logits':
      np.testing.assert_allclose(TINY.apply(variables, below, start=layer), whole, rtol=1e-5)


def test_lite0_sees_what_is_in_the_photographs(lite0):
  from perturb.data.images import find_images, load_image

  expected = {
    'chelsea': ('Egyptian cat', 0.36),
    'coffee': ('espresso', 0.82),
    'camera': ('tripod', 0.95),
  }
  sources, _ = find_images(', '.join(expected))
  x = jnp.stack([lite0.preprocess(load_image(source.path, size=224)) for source in sources])
  probabilities = jax.nn.softmax(lite0(x))
  for source, row in zip(sources, probabilities, strict=True):
    name, probability = expected[source.name]
    assert lite0.class_name(int(row.argmax())) == name
    assert row.max() == pytest.approx(probability, abs=0.02)


def test_a_mistyped_layer_gets_its_near_matches(lite0):
  with pytest.raises(UserError, match=r"no layer 'block.3'.*'blocks.3'"):
    lite0.part(stop='block.3')


def test_a_class_is_found_by_index_or_any_of_its_names(lite0):
  for name in (285, '285', 'Egyptian cat', 'egyptian CAT '):
    assert lite0.class_index(name) == 285
  assert lite0.class_index('tabby cat') == lite0.class_index('tabby') == 281
  with pytest.raises(UserError, match="'Egyptian cat'"):
    lite0.class_index('Egiptian cat')
  with pytest.raises(UserError, match='classes 0 to 999'):
    lite0.class_index('1000')


def test_an_unknown_network_gets_its_near_matches():
  with pytest.raises(UserError, match="'efficientnet_lite0'"):
    load('efficientnet_lite')
