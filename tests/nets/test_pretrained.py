"""A network bound to its weights and the names of its classes."""

import jax
import jax.numpy as jnp
import pytest

from perturb.errors import UserError
from perturb.nets import load


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
